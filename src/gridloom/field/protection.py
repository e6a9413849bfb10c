"""Over-current relays: pick-up, trip, automatic reclosing, lock-out.

A relay is a small state machine without a clock of its own: the world tells it what happens and asks what it does
next. Which relay sees a fault is decided in `faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from gridloom.core.errors import BadInput


class RelayState(IntEnum):
    """What a relay reports; the numbers go over the wire."""

    RESET = 0
    PICKED_UP = 1
    TRIPPED = 2
    LOCKED_OUT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Settings that all relays of a world share (assumptions of usual size)."""

    pickup_ms: tuple[float, float] = (10.0, 30.0)
    """From fault current to trip order, instantaneous stage [ms]."""
    pickup_factor: float = 1.5
    """Pick-up current as a multiple of the rated current of what the breaker protects."""
    pickup_floor_ka: float = 0.4
    """Pick-up current where no rating is known [kA]."""
    backup_s: float = 0.3
    """Time grading: a relay behind a breaker that failed trips after this long [s]."""
    reclose_after_s: tuple[float, ...] = ()
    """Dead times of the automatic reclosing [s]; cable grids have none."""
    reclaim_s: float = 10.0
    """A reclosing that holds this long was a success [s]."""
    indicator_ka: float = 0.3
    """Fault passage indicators latch above this [kA]."""
    indicator_report_ms: tuple[float, float] = (20.0, 60.0)
    """From latching to sending [ms]."""
    indicator_reset_s: float = 5.0
    """Voltage that stays this long resets an indicator [s]."""
    fuse_ms: tuple[float, float] = (10.0, 100.0)
    """Melting and arcing time of a fuse [ms]."""

    def __post_init__(self) -> None:
        """Check that every time is positive."""
        times = (
            *self.pickup_ms,
            *self.fuse_ms,
            *self.indicator_report_ms,
            *self.reclose_after_s,
            self.backup_s,
            self.reclaim_s,
            self.indicator_reset_s,
            self.indicator_ka,
            self.pickup_factor,
            self.pickup_floor_ka,
        )
        if min(times) <= 0.0:
            message = f"relay settings must all be positive, got {self}"
            raise BadInput(message)


class Relay:
    """One relay on one breaker."""

    def __init__(self, settings: RelaySettings) -> None:
        """Start reset, with all reclosing shots available."""
        self._settings = settings
        self._shots_used = 0
        self.state = RelayState.RESET

    def pick_up(self) -> None:
        """See fault current."""
        self.state = RelayState.PICKED_UP

    def trip(self) -> float | None:
        """Confirm the open breaker; return the dead time before reclosing [s], None after the last shot."""
        self.state = RelayState.TRIPPED
        shots = self._settings.reclose_after_s
        if self._shots_used == len(shots):
            return None
        self._shots_used += 1
        return shots[self._shots_used - 1]

    def lock_out(self) -> None:
        """Give up: from here on only a command closes the breaker."""
        self.state = RelayState.LOCKED_OUT

    def reset(self) -> None:
        """Return to rest, after the breaker held or was closed by command."""
        self._shots_used = 0
        self.state = RelayState.RESET
