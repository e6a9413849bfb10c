"""Writing the history: rows gather in memory and go to the disk as whole Parquet files.

A file is written under a name that nobody reads, synced, then renamed: a kill leaves it whole or not there. The
disk never stops the loop: while it refuses, rows stay in memory, and beyond a bound the oldest are let go, counted.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from gridloom.core.clock import Clock, RealClock
from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S
from gridloom.store.errors import StoreFailed
from gridloom.store.history import layout
from gridloom.store.history.latest import LatestRows
from gridloom.store.history.reader import HistoryReader
from gridloom.store.history.rollup import Retention, Upkeep, maintain
from gridloom.store.history.rows import Rows
from gridloom.store.locks import WriterLock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LARGEST_INDEX: Final = 20_000_000
"""A row number beyond this is taken for garbage and not for a reason to allocate gigabytes."""

log = structlog.get_logger(__name__)


@dataclass
class _Shelf:
    """What one kind has in memory."""

    columns: tuple[str, ...]
    blocks: deque[Rows] = field(default_factory=deque)
    leaving: list[Rows] = field(default_factory=list)
    """Being written: still to be found by queries."""
    n_rows: int = 0
    next_number: int = 1
    latest: LatestRows = field(default_factory=LatestRows)
    is_seeded: bool = False


class History(HistoryReader):
    """The one writer of a history; it also reads, and sees its own rows at once."""

    def __init__(
        self,
        directory: Path | str,
        *,
        clock: Clock | None = None,
        flush_rows: int = 500_000,
        flush_after_s: float = 60.0,
        most_rows: int = 5_000_000,
        in_background: bool = True,
        threads: int = 1,
        memory_mb: int = 512,
    ) -> None:
        """Open or create the history in `directory` and take its lock.

        Args:
            directory: The history's own directory.
            clock: Its `wall_ns` says when to flush; a stepped clock flushes by rows alone.
            flush_rows: Rows since the last flush, of all kinds, at which they are written.
            flush_after_s: Wall time since the last flush at which they are written, at the next append [s].
            most_rows: Rows kept in memory while the disk refuses; about 30 bytes each.
            in_background: Write in a thread of its own; False writes inside `append`.
            threads: As in `HistoryReader`.
            memory_mb: As in `HistoryReader`.

        Raises:
            StoreLocked: If another writer has it.
            StoreFailed: If the directory cannot be made.
        """
        root = Path(directory)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFailed(root, str(error)) from error
        self._writer_lock = WriterLock(root / ".lock")
        layout.sweep(root)
        super().__init__(root, threads=threads, memory_mb=memory_mb)
        self._clock: Clock = clock or RealClock()
        self._flush_rows, self._most_rows = flush_rows, most_rows
        self._flush_after_ns = round(flush_after_s * NS_PER_S)
        self._flushed_wall_ns = self._clock.wall_ns()
        self._shelves: dict[str, _Shelf] = {}
        self._state = threading.RLock()
        self._flush_lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "history") if in_background else None
        self._is_asked = False
        self._n_since_flush = 0
        self.failure = ""
        """Why the last flush failed; empty when all is well."""
        self.n_let_go = 0
        """Rows given up because the disk refused for too long: anything but 0 is an alarm."""
        self.n_late = 0
        """Rows given up because their day was already rolled up and removed."""

    def append(
        self,
        kind: str,
        time_ns: int | NDArray[np.int64],
        index: NDArray[np.uint32],
        columns: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Take in rows; they are copied, so a frame's buffer may be used again.

        A full disk raises nothing here: see `failure` and `flush`.

        Args:
            kind: Kind of readings, e.g. `meter`: lower-case letters, digits, underscores.
            time_ns: One time for all rows, or one each, shape (row,) [ns since 1970 UTC].
            index: What was read, shape (row,).
            columns: Name with its unit -> values, shape (row,); the same names at every call of a kind.

        Raises:
            BadInput: If shapes or names do not fit, or an index is out of range.
        """
        rows = Rows.of(time_ns, index, columns)
        if not len(rows):
            return
        if int(rows.index.max()) > LARGEST_INDEX:
            message = f"{kind}: index {rows.index.max()} is beyond {LARGEST_INDEX}"
            raise BadInput(message)
        with self._state:
            shelf = self._shelf(kind, tuple(columns))
            shelf.blocks.append(rows)
            shelf.n_rows += len(rows)
            shelf.latest.take(rows)
            self._let_go(shelf)
            wall_ns = self._clock.wall_ns()
            is_due = wall_ns - self._flushed_wall_ns >= self._flush_after_ns
            self._n_since_flush += len(rows)
            if (self._n_since_flush < self._flush_rows and not is_due) or self._is_asked:
                return
            # Counted from the last try, done or not: a full disk is asked again, but not at every append.
            self._is_asked, self._flushed_wall_ns, self._n_since_flush = True, wall_ns, 0
        if self._worker is None:
            self._flush_quietly()
        else:
            self._worker.submit(self._flush_quietly)

    @property
    def n_buffered(self) -> int:
        """Rows that a kill would take."""
        with self._state:
            return sum(shelf.n_rows for shelf in self._shelves.values())

    def flush(self) -> None:
        """Write everything in memory, and return when it is on the disk.

        Raises:
            StoreFailed: If the disk refuses; what was not written stays in memory.
        """
        with self._flush_lock:
            for kind in tuple(self._shelves):
                try:
                    self._flush_kind(kind)
                except (OSError, pa.ArrowException) as error:
                    self.failure = str(error)
                    raise StoreFailed(self.root, str(error)) from error
            self.failure = ""

    def latest(self, kind: str, *, lookback_s: float = 86_400.0) -> Rows:
        """Return the last row of each instrument, by index, from memory; old rows are read from files once."""
        with self._state:
            shelf = self._shelves.get(kind)
        if shelf is None:
            return super().latest(kind, lookback_s=lookback_s)
        if not shelf.is_seeded:
            old = super().latest(kind, lookback_s=lookback_s)
            with self._state:
                shelf.latest.take(old)
                shelf.is_seeded = True
        with self._state:
            return shelf.latest.rows()

    def last_ns(self, kind: str) -> int | None:
        """Return the newest time of `kind` [ns since 1970 UTC], flushed or not, or None."""
        with self._state:
            shelf = self._shelves.get(kind)
            blocks = [] if shelf is None else [*shelf.leaving, *shelf.blocks]
            times = [int(block.time_ns.max()) for block in blocks]
        stored = super().last_ns(kind)
        return max(times + ([] if stored is None else [stored]), default=None)

    def maintain(self, now_ns: int, retention: Retention | None = None) -> Upkeep:
        """Roll up the days that are over and remove what is older than `retention`; takes seconds, call it hourly.

        Raises:
            StoreFailed: If the disk refuses or a file cannot be read; the next call goes on from there.
        """
        with self._flush_lock, closing(self._database.cursor()) as cursor:
            return maintain(self.root, now_ns, retention or Retention(), cursor)

    def close(self) -> None:
        """Flush and let go; a second call does nothing.

        Raises:
            StoreFailed: If the disk refuses what is in memory; the lock is let go all the same.
        """
        if self._worker is not None:
            self._worker.shutdown()
        try:
            self.flush()
        finally:
            super().close()
            self._writer_lock.release()

    def _shelf(self, kind: str, columns: tuple[str, ...]) -> _Shelf:
        shelf = self._shelves.get(kind)
        if shelf is None:
            layout.check_kind(kind)
            if {"time_ns", "index"} & set(columns):
                message = f"{kind}: columns may not be called time_ns or index"
                raise BadInput(message)
            numbers = [
                part.number
                for where in (layout.RAW, layout.ROLLUP)
                for day in layout.days(self.root, where, kind)
                for part in layout.parts(self.root, where, kind, day)
            ]
            shelf = _Shelf(columns, next_number=max(numbers, default=0) + 1)
            self._shelves[kind] = shelf
        if set(shelf.columns) != set(columns):
            message = f"{kind} has the columns {shelf.columns}, not {columns}"
            raise BadInput(message)
        return shelf

    def _let_go(self, shelf: _Shelf) -> None:
        while shelf.n_rows > self._most_rows and shelf.blocks:
            oldest = shelf.blocks.popleft()
            shelf.n_rows -= len(oldest)
            self.n_let_go += len(oldest)

    def _flush_quietly(self) -> None:
        try:
            self.flush()
        except StoreFailed as error:
            log.error("history_not_written", directory=str(self.root), why=error.what)  # noqa: TRY400 - an outcome
        except Exception as error:  # the top of this thread, which would else fail without a word
            self.failure = repr(error)
            log.exception("history_flush_failed", directory=str(self.root))
        finally:
            self._is_asked = False

    def _flush_kind(self, kind: str) -> None:
        with self._state:
            shelf = self._shelves[kind]
            shelf.leaving, shelf.blocks = list(shelf.blocks), deque()
            number, shelf.next_number = shelf.next_number, shelf.next_number + 1
        if not shelf.leaving:
            return
        try:
            written = self._write_days(kind, Rows.joined(shelf.leaving), number)
        except BaseException:
            with self._state:
                shelf.blocks.extendleft(reversed(shelf.leaving))
                shelf.leaving = []
            raise
        with self._state:  # a query sees the rows in memory or in the files, never in both
            for path in written:
                layout.unfinished(path).rename(path)
            shelf.n_rows -= sum(map(len, shelf.leaving))
            shelf.leaving = []
        for directory in {path.parent for path in written}:
            layout.sync_names(self.root, directory)

    def _write_days(self, kind: str, rows: Rows, number: int) -> list[Path]:
        days = layout.day_of_each(rows.time_ns)
        written: list[Path] = []
        try:
            for day in np.unique(days).tolist():
                of_day = rows.taken(days == day)
                if self._is_removed(kind, day):
                    self.n_late += len(of_day)
                    continue
                directory = layout.day_directory(self.root, layout.RAW, kind, day)
                directory.mkdir(parents=True, exist_ok=True)
                first_ns, last_ns = int(of_day.time_ns.min()), int(of_day.time_ns.max())
                written.append(layout.part_path(directory, first_ns, last_ns, number))
                _write(of_day, layout.unfinished(written[-1]))
        except BaseException:
            for path in written:
                layout.unfinished(path).unlink(missing_ok=True)
            raise
        return written

    def _is_removed(self, kind: str, day: int) -> bool:
        # A late row could not be added to a rollup whose raw rows are gone.
        return bool(layout.parts(self.root, layout.ROLLUP, kind, day)) and not layout.parts(
            self.root, layout.RAW, kind, day
        )

    def _sources(self, kind: str, start_ns: int, end_ns: int) -> tuple[list[str], pa.Table | None]:
        with self._state:
            files, _ = super()._sources(kind, start_ns, end_ns)
            shelf = self._shelves.get(kind)
            blocks = [] if shelf is None else [*shelf.leaving, *shelf.blocks]
        return files, Rows.joined(blocks).to_arrow() if blocks else None


def _write(rows: Rows, path: Path) -> None:
    pq.write_table(
        rows.to_arrow(),
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        # Delta packing suits times and row numbers, byte splitting the like exponents of floats.
        column_encoding={
            "time_ns": "DELTA_BINARY_PACKED",
            "index": "DELTA_BINARY_PACKED",
            **dict.fromkeys(rows.columns, "BYTE_STREAM_SPLIT"),
        },
    )
    layout.sync_file(path)
