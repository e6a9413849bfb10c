"""A second look for faults that the event path could not locate: it was down, or an indicator spoke late.

The event path decides within a fraction of a second on what has arrived by then. The platform keeps where every
indicator sat before the trip and looks again, with all the flags that have come since, until one line fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from gridloom.core.units import NS_PER_S
from gridloom.orchestrator.location_kernel import locate
from gridloom.orchestrator.preparation import HOLD_NS

if TYPE_CHECKING:
    from gridloom.ioe.telemetry import LatestValues
    from gridloom.orchestrator.prepared import Zones

_FIRST_NS: Final = HOLD_NS + NS_PER_S
"""The event path has the first word this long after the lock-out [ns]."""
_EVERY_NS: Final = NS_PER_S
_GIVE_UP_NS: Final = 30 * NS_PER_S
_LOOK_BACK_NS: Final = 5 * NS_PER_S
"""Indicators may report this long before their relay first moves [ns]."""
_LOCKED_OUT: Final = 3


@dataclass(slots=True)
class _Open:
    """A trip that nobody has explained yet."""

    zones: Zones
    """Where the indicators sat when the relay first moved."""
    since_ns: int
    seen_ns: int = 0
    """Time of the lock-out; 0 before it."""
    due_ns: int = 0
    until_ns: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A fault that the second look has located."""

    breaker: int
    seen_ns: int
    line: int


class SecondLook:
    """Trips of breakers, by row, until somebody has located their fault."""

    def __init__(self, latest: LatestValues) -> None:
        """Read flags from `latest`."""
        self._latest = latest
        self._open: dict[int, _Open] = {}
        self._explained: set[tuple[int, int]] = set()

    def relay(
        self, breaker: int, state: int, time_ns: int, zones: Zones | None, now_ns: int
    ) -> None:
        """Take a relay's report; `now_ns` is any steady time for waits."""
        if not state:
            self._open.pop(breaker, None)
            return
        if zones is not None and breaker not in self._open:
            self._open[breaker] = _Open(zones, time_ns - _LOOK_BACK_NS)
        trip = self._open.get(breaker)
        if trip is None or state != _LOCKED_OUT or trip.seen_ns:
            return
        if (breaker, time_ns) in self._explained:
            del self._open[breaker]
            return
        trip.seen_ns, trip.due_ns = time_ns, now_ns + _FIRST_NS
        trip.until_ns = now_ns + _GIVE_UP_NS

    def explained(self, breaker: int, seen_ns: int) -> None:
        """Take from the event path that it has located the fault behind a lock-out."""
        self._explained.add((breaker, seen_ns))
        self._open.pop(breaker, None)

    def look(self, now_ns: int) -> tuple[Found, ...]:
        """Return the faults that fit one line now."""
        found: list[Found] = []
        for breaker, trip in list(self._open.items()):
            if not trip.seen_ns or now_ns < trip.due_ns:
                continue
            line = self._locate(breaker, trip)
            if line >= 0:
                found.append(Found(breaker, trip.seen_ns, line))
                self.explained(breaker, trip.seen_ns)
            elif now_ns >= trip.until_ns:
                del self._open[breaker]
            else:
                trip.due_ns = now_ns + _EVERY_NS
        return tuple(found)

    def _locate(self, breaker: int, trip: _Open) -> int:
        zones = trip.zones
        return int(
            locate(
                breaker,
                trip.since_ns,
                True,  # noqa: FBT003 - compiled
                np.ascontiguousarray(self._latest.values[0]),
                self._latest.time_ns,
                zones.parent,
                zones.depth,
                zones.line,
                zones.breaker,
                zones.head_line,
            )
        )
