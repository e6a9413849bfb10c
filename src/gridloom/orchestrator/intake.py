"""What comes over the wire, taken in: last values, switch positions, gaps, and a count of everything.

One thread writes. Hostile or foreign bytes are counted and named, and the loop goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from gridloom.core.errors import Malformed
from gridloom.ioe.frames import Frame, FrameKind, decode
from gridloom.ioe.telemetry import GapDetector, LatestValues

if TYPE_CHECKING:
    from gridloom.grid.instruments import Instruments
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags, Rows

log = structlog.get_logger(__name__)

_CLOSED: Final = 0.5
_FIRST_ROUND_NS: Final = 10_000_000_000
_NAMED_MALFORMED: Final = 20
"""So many malformed messages are logged by name; the rest is counted."""


@dataclass(slots=True)
class IntakeCounts:
    """Everything that arrived."""

    frames: int = 0
    readings: int = 0
    events: int = 0
    malformed: int = 0
    foreign: int = 0
    """Frames of another epoch than the birth's."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A switch whose position turned out to be another."""

    switch: int
    closed: bool
    at_ns: int


@dataclass(eq=False, kw_only=True)
class Intake:
    """The platform's ears."""

    grid: Grid
    instruments: Instruments
    epoch: int
    positions: Flags
    """Position of each switch as last reported, shape (switch,)."""
    ahead_tolerance_ns: int = 5_000_000_000
    counts: IntakeCounts = field(default_factory=IntakeCounts)
    unknown: set[int] = field(default_factory=set)
    """Switches that say that they are moving or do not know."""
    positions_version: int = 0
    """Counts the changes of positions."""
    newest_epoch: int = 0
    """Highest epoch that any frame has carried: above ours, the field has started anew."""

    def __post_init__(self) -> None:
        """Lay out the tables."""
        self.positions = np.array(self.positions, dtype=np.bool_)
        self.latest = LatestValues(
            len(self.instruments), ahead_tolerance_ns=self.ahead_tolerance_ns
        )
        self.gaps = GapDetector()
        is_switch = self.instruments.kind == "switch"
        self._fast = np.flatnonzero(
            (self.instruments.kind == "bus") | (self.instruments.kind == "branch")
        )
        self._first_ns = 0
        self._switch_of: Rows = np.where(is_switch, self.instruments.element, -1).astype(np.int64)

    def telemetry(self, data: bytes, now_ns: int) -> list[Moved]:
        """Take a telemetry message; return the switches that it found elsewhere."""
        frame = self._decoded(data)
        if frame is None:
            return []
        self.counts.frames += 1
        self.counts.readings += len(frame.index)
        self.gaps.observe(frame)
        return self._apply(frame, now_ns)

    def event(self, frame: Frame, now_ns: int) -> list[Moved]:
        """Take an event frame that the event lane has delivered; return the switches that it found elsewhere."""
        self.counts.events += 1
        self.counts.readings += len(frame.index)
        if self._is_foreign(frame):
            return []
        return self._apply(frame, now_ns)

    def has_picture(self, now_ns: int) -> bool:
        """Whether the fast units have had their first round, or had long enough for it.

        An estimate before that would rest on habits alone and look like one that does not.
        """
        if not self._first_ns:
            return False
        heard = self.latest.time_ns[self._fast] >= 0
        return bool(heard.all()) or now_ns - self._first_ns > _FIRST_ROUND_NS

    def _decoded(self, data: bytes) -> Frame | None:
        try:
            frame = decode(data)
        except Malformed as error:
            self.counts.malformed += 1
            if self.counts.malformed <= _NAMED_MALFORMED:
                log.warning("frame_malformed", reason=str(error), count=self.counts.malformed)
            return None
        if self._is_foreign(frame):
            return None
        self._first_ns = self._first_ns or frame.time_ns
        return frame

    def _is_foreign(self, frame: Frame) -> bool:
        self.newest_epoch = max(self.newest_epoch, frame.epoch)
        self.counts.foreign += frame.epoch != self.epoch
        return frame.epoch != self.epoch

    def _apply(self, frame: Frame, now_ns: int) -> list[Moved]:
        if not self.latest.apply(frame, now_ns) or frame.kind is not FrameKind.SWITCH:
            # What was not taken over, for example because it comes from the future, says nothing.
            return []
        moved: list[Moved] = []
        for row in frame.index.tolist():
            switch = int(self._switch_of[row]) if row < len(self._switch_of) else -1
            if switch >= 0:
                moved += self._position(switch, float(self.latest.values[0, row]), frame.time_ns)
        return moved

    def _position(self, switch: int, value: float, at_ns: int) -> list[Moved]:
        if not np.isfinite(value):
            if switch not in self.unknown:
                self.unknown.add(switch)
                self.positions_version += 1
            return []
        was_unknown = switch in self.unknown
        self.unknown.discard(switch)
        closed = value > _CLOSED
        if closed == self.positions[switch]:
            self.positions_version += was_unknown
            return []
        self.positions[switch] = closed
        self.positions_version += 1
        return [Moved(switch, closed, at_ns)]
