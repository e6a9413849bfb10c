"""What really happened, in files for judging afterwards. The platform never reads them.

In the log's directory; EEEE is the epoch, the count of the field's starts:

    truth.json                     what was simulated: grid, seed, epoch, tolerances, rated voltages
    voltages-EEEE-NNNNNN.parquet   time_ns int64, v_pu list<float32> of every bus, NaN where dead; written whole
    events-EEEE.jsonl              one `TruthEvent` a line: faults, relays, switches, customers, repairs
    commands-EEEE.jsonl            one `TruthCommand` a line: what devices received and did

Lines are handed to the operating system at once, so they outlive a kill of the field. Voltages are kept every second
for the first ten minutes of a run; after that every tenth second, and every second around events, so that a run of a
day stays readable.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gridloom.core.errors import Unavailable
from gridloom.core.units import NS_PER_S
from gridloom.grid.tables import Floats

_DENSE_NS = 600 * NS_PER_S
_AROUND_NS = 10 * NS_PER_S
_THIN = 10
_ROWS_A_FILE = 60
_IN_MEMORY = 100_000
_ENCODER = msgspec.json.Encoder()


class TruthEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened."""

    time_ns: int
    kind: str
    """`fault`, `relay`, `opening`, `customers_interrupted`, ..."""
    element: str
    """Id of what it happened to."""
    text: str = ""
    value: float = 0.0


class TruthCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command at a device, once for each answer."""

    time_ns: int
    key: str
    target: str
    action: str
    outcome: str
    moved: bool
    """Whether it started a travel."""


class TruthHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What `truth.json` says."""

    grid_name: str
    grid_hash: str
    seed: int
    epoch: int
    start_ns: int
    tolerances: dict[str, float | list[float]]
    bus_vn_kv: list[float]


class _Lines:
    """One file of JSON lines, and its last lines in memory."""

    def __init__(self, path: Path | None) -> None:
        self.last: deque[msgspec.Struct] = deque(maxlen=_IN_MEMORY)
        self._path = path

    def add(self, row: msgspec.Struct) -> None:
        self.last.append(row)
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(_ENCODER.encode(row) + b"\n")


class TruthLog:
    """Collects the truth and writes it in whole files; without a directory it keeps the rows in memory only."""

    def __init__(self, directory: Path | None, header: TruthHeader) -> None:
        """Open a log.

        Args:
            directory: Where files go; made if missing. None keeps events and commands in memory.
            header: What the log is about.
        """
        self._directory, self._start_ns = directory, header.start_ns
        self._times: list[int] = []
        self._voltages: list[NDArray[np.float32]] = []
        self._last_event_ns = header.start_ns
        self._epoch, self._number = header.epoch, 0
        self._writer: threading.Thread | None = None
        self._failed: OSError | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            write_whole(directory / "truth.json", msgspec.json.encode(header))
        self._events = _Lines(self._path("events"))
        self._commands = _Lines(self._path("commands"))

    def _path(self, name: str) -> Path | None:
        return (
            None if self._directory is None else self._directory / f"{name}-{self._epoch:04d}.jsonl"
        )

    @property
    def events(self) -> tuple[TruthEvent, ...]:
        """The last events."""
        return tuple(row for row in self._events.last if isinstance(row, TruthEvent))

    @property
    def commands(self) -> tuple[TruthCommand, ...]:
        """The last commands."""
        return tuple(row for row in self._commands.last if isinstance(row, TruthCommand))

    def event(
        self, now_ns: int, kind: str, element: str, text: str = "", value: float = 0.0
    ) -> None:
        """Note something that happened."""
        row = TruthEvent(time_ns=now_ns, kind=kind, element=element, text=text, value=value)
        self._events.add(row)
        self._last_event_ns = now_ns

    def command(
        self, now_ns: int, key: str, target: str, action: str, outcome: str, *, moved: bool
    ) -> None:
        """Note what a device received and what became of it."""
        row = TruthCommand(
            time_ns=now_ns, key=key, target=target, action=action, outcome=outcome, moved=moved
        )
        self._commands.add(row)

    def voltages(self, now_ns: int, v_pu: Floats) -> None:
        """Note the voltages of all buses, unless this second is thinned out."""
        if self._directory is None or not self._is_kept(now_ns):
            return
        self._times.append(now_ns)
        self._voltages.append(v_pu.astype(np.float32))
        if len(self._times) >= _ROWS_A_FILE:
            self._begin_part()

    def flush(self) -> None:
        """Write the voltages that wait and return once they are on the disk."""
        self._begin_part()
        self._finish_parts()

    def _begin_part(self) -> None:
        """Hand the voltages that wait to the writer, so that a slow disk does not hold up the world."""
        self._finish_parts()
        if self._directory is None or not self._times:
            return
        path = self._directory / f"voltages-{self._epoch:04d}-{self._number:06d}.parquet"
        part = threading.Thread(
            target=self._write_part, args=(path, self._times, self._voltages), daemon=True
        )
        self._number += 1
        self._times, self._voltages = [], []
        self._writer = part
        part.start()

    def _finish_parts(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.join()
        failed, self._failed = self._failed, None
        if failed is not None:
            raise Unavailable(f"the truth log cannot be written: {failed}") from failed

    def _write_part(
        self, path: Path, times: list[int], voltages: list[NDArray[np.float32]]
    ) -> None:
        values = pa.array(np.concatenate(voltages))
        offsets = pa.array(np.arange(len(times) + 1, dtype=np.int32) * len(voltages[0]))
        rows = pa.ListArray.from_arrays(offsets, values)
        sink = pa.BufferOutputStream()
        table = pa.table({"time_ns": pa.array(times), "v_pu": rows})
        pq.write_table(table, sink, compression="zstd")
        try:
            write_whole(path, sink.getvalue().to_pybytes())
        except OSError as error:
            self._failed = error

    def _is_kept(self, now_ns: int) -> bool:
        if now_ns - self._start_ns <= _DENSE_NS or now_ns - self._last_event_ns <= _AROUND_NS:
            return True
        return now_ns // NS_PER_S % _THIN == 0


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or none."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
