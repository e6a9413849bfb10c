"""The telemetry lane: a lost reading is replaced by the next one, so only the last value counts, and gaps are counted.

`LatestValues` is the platform's picture of what all instruments said last: columns by row of the birth's table of
instruments, written by one thread. Every row that arrives ends in exactly one counter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S
from gridloom.ioe.frames import MAX_COLUMNS, Frame

NEVER_NS: Final = -1
"""Time of an instrument that has said nothing yet."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Readings:
    """A frozen copy of the last values, for work that takes longer than a frame."""

    generation: int
    values: NDArray[np.float32]
    """Shape (4, instrument); which column is what depends on the kind, see `frames.COLUMNS`; NaN not known."""
    time_ns: NDArray[np.int64]
    """When each was read, shape (instrument,); -1 if never [ns since 1970 UTC]."""
    kind: NDArray[np.uint8]
    """`FrameKind` of each, shape (instrument,); 0 if never."""


@dataclass(slots=True)
class RowCounts:
    """Where rows went: received = applied + outdated + refused; applied = taken + conflated + waiting."""

    received: int = 0
    applied: int = 0
    outdated: int = 0
    """Older than, or the same as, what stood there: late, reordered or sent twice."""
    refused: int = 0
    """No such instrument, or read in the future."""
    conflated: int = 0
    """Overwritten before anybody took them."""
    taken: int = 0


class LatestValues:
    """What each instrument said last."""

    def __init__(self, n_instruments: int, *, ahead_tolerance_ns: int = 5 * NS_PER_S) -> None:
        """Make a table of `n_instruments` empty rows.

        Args:
            n_instruments: Rows of the birth's table of instruments.
            ahead_tolerance_ns: How far a reading's time may be ahead of ours; one from far ahead would stand for ever.
        """
        if n_instruments < 0:
            raise BadInput(f"a table of {n_instruments} instruments")
        self.n_instruments, self._ahead_ns = n_instruments, ahead_tolerance_ns
        self.values = np.full((MAX_COLUMNS, n_instruments), np.nan, np.float32)
        self.time_ns = np.full(n_instruments, NEVER_NS, np.int64)
        self.epoch = np.zeros(n_instruments, np.uint32)
        self.sequence = np.zeros(n_instruments, np.uint64)
        self.kind = np.zeros(n_instruments, np.uint8)
        self._is_waiting = np.zeros(n_instruments, np.bool_)
        self.generation = 0
        """Counts the frames that changed something; equal generations mean equal tables."""
        self.rows = RowCounts()

    def apply(self, frame: Frame, now_ns: int | None = None) -> int:
        """Take over the rows of `frame` that are newer than what stands; return how many were.

        Args:
            frame: Readings; newer means a later time, or the same time with a later epoch or sequence.
            now_ns: Our time, to refuse readings from the future; not checked when None [ns since 1970 UTC].
        """
        index, values = frame.index.astype(np.intp), frame.values
        self.rows.received += index.size
        if now_ns is not None and frame.time_ns > now_ns + self._ahead_ns:
            self.rows.refused += index.size
            return 0
        if index.size and int(index.max()) >= self.n_instruments:
            is_known = index < self.n_instruments
            self.rows.refused += index.size - int(is_known.sum())
            index, values = index[is_known], values[:, is_known]
        if index.size > 1 and not (index[1:] > index[:-1]).all():
            index, values = self._last_of_each(index, values)
        is_newer = self._is_newer(index, frame)
        if not is_newer.all():
            self.rows.outdated += index.size - int(is_newer.sum())
            index, values = index[is_newer], values[:, is_newer]
        if index.size:
            self._write(index, values, frame)
        return int(index.size)

    def take(self) -> NDArray[np.int64]:
        """Return the rows that changed since the last call, in rising order."""
        rows = np.flatnonzero(self._is_waiting)
        self._is_waiting[rows] = False
        self.rows.taken += rows.size
        return rows

    def snapshot(self) -> Readings:
        """Return a copy that no later frame changes."""
        copies = self.values.copy(), self.time_ns.copy(), self.kind.copy()
        for copy in copies:
            copy.flags.writeable = False
        return Readings(
            generation=self.generation, values=copies[0], time_ns=copies[1], kind=copies[2]
        )

    @property
    def waiting(self) -> int:
        """Rows that changed and were not taken yet."""
        return int(self._is_waiting.sum())

    def _last_of_each(
        self, index: NDArray[np.intp], values: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Keep the last row of an instrument that stands in the frame more than once."""
        unique, from_the_end = np.unique(index[::-1], return_index=True)
        self.rows.outdated += index.size - unique.size
        return unique, values[:, index.size - 1 - from_the_end]

    def _is_newer(self, index: NDArray[np.intp], frame: Frame) -> NDArray[np.bool_]:
        before_ns = self.time_ns[index]
        is_newer: NDArray[np.bool_] = before_ns < frame.time_ns
        is_tie = before_ns == frame.time_ns
        if is_tie.any():
            epoch = self.epoch[index]
            is_later = (epoch < frame.epoch) | (
                (epoch == frame.epoch) & (self.sequence[index] < np.uint64(frame.sequence))
            )
            is_newer |= is_tie & is_later
        return is_newer

    def _write(self, index: NDArray[np.intp], values: NDArray[np.float32], frame: Frame) -> None:
        columns = values.shape[0]
        self.rows.applied += index.size
        self.rows.conflated += int(self._is_waiting[index].sum())
        self._is_waiting[index] = True
        for column in range(columns):
            self.values[column, index] = values[column]
        if columns < MAX_COLUMNS:
            self.values[columns:, index] = np.nan
        self.time_ns[index] = frame.time_ns
        self.epoch[index] = frame.epoch
        self.sequence[index] = frame.sequence
        self.kind[index] = frame.kind
        self.generation += 1


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames that should have come before the one that did."""

    source: str
    epoch: int
    first: int
    """Sequence number of the first missing frame."""
    count: int


@dataclass(slots=True)
class _Source:
    epoch: int
    next: int
    missing: set[int] = field(default_factory=set)


class GapDetector:
    """Notices missing, repeated and late frames by each source's sequence numbers."""

    def __init__(self, *, window: int = 1024) -> None:
        """Make a detector.

        Args:
            window: Missing frames remembered per source; one that comes later than that counts as repeated.
        """
        self._window = window
        self._sources: dict[str, _Source] = {}
        self.received = 0
        self.missing = 0
        """Frames that have not come (so far)."""
        self.late = 0
        """Frames that came after a later one."""
        self.repeated = 0
        self.restarts = 0

    def observe(self, frame: Frame) -> Gap | None:
        """Count `frame`; return the gap before it, if there is one."""
        return self.see(frame.source, frame.epoch, frame.sequence)

    def see(self, source: str, epoch: int, sequence: int) -> Gap | None:
        """Count frame `sequence` of `source`; the first frame of a source opens no gap."""
        self.received += 1
        known = self._sources.get(source)
        if known is None or epoch > known.epoch:
            self.restarts += known is not None
            self._sources[source] = _Source(epoch, sequence + 1)
            return None
        if epoch < known.epoch:
            self.late += 1
            return None
        if sequence < known.next:
            self._came_late(known, sequence)
            return None
        first, known.next = known.next, sequence + 1
        if first == sequence:
            return None
        self.missing += sequence - first
        known.missing.update(range(max(first, sequence - self._window), sequence))
        if len(known.missing) > self._window:
            known.missing = set(sorted(known.missing)[-self._window :])
        return Gap(source, epoch, first, sequence - first)

    def _came_late(self, known: _Source, sequence: int) -> None:
        if sequence in known.missing:
            known.missing.discard(sequence)
            self.late += 1
            self.missing -= 1
        else:
            self.repeated += 1
