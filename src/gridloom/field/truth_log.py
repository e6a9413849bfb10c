"""What really happened, in files for judging afterwards. The platform never reads them.

In the log's directory, each file written whole (temporary name, sync, rename):

    truth.json                     what was simulated: grid, seed, epoch, tolerances, rated voltages
    voltages-EEEE-NNNNNN.parquet   time_ns int64, v_pu list<float32> of every bus, NaN where dead
    events-EEEE-NNNNNN.parquet     time_ns, kind, element, text, value: faults, relays, switches, supply, repairs
    commands-EEEE-NNNNNN.parquet   time_ns, key, target, action, outcome, moved: what devices received and did

Voltages are kept every second for the first ten minutes of a run; after that every tenth second, and every second
around events, so that a run of a day stays readable.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gridloom.core.units import NS_PER_S
from gridloom.grid.tables import Floats

_DENSE_NS = 600 * NS_PER_S
_AROUND_NS = 10 * NS_PER_S
_THIN = 10
_ROWS_A_FILE = 120
_EVENTS_SCHEMA = pa.schema(
    [
        ("time_ns", pa.int64()),
        ("kind", pa.string()),
        ("element", pa.string()),
        ("text", pa.string()),
        ("value", pa.float64()),
    ]
)
_COMMANDS_SCHEMA = pa.schema(
    [
        ("time_ns", pa.int64()),
        ("key", pa.string()),
        ("target", pa.string()),
        ("action", pa.string()),
        ("outcome", pa.string()),
        ("moved", pa.bool_()),
    ]
)


class TruthHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What `truth.json` says."""

    grid_name: str
    grid_hash: str
    seed: int
    epoch: int
    start_ns: int
    tolerances: dict[str, float | list[float]]
    bus_vn_kv: list[float]


@dataclass(slots=True)
class _Rows:
    """Rows of one kind that wait for a file."""

    schema: pa.Schema
    rows: list[tuple[object, ...]] = field(default_factory=list)

    def table(self) -> pa.Table:
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.schema)
        arrays = [
            pa.array(column, type=one.type)
            for column, one in zip(columns, self.schema, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)


class TruthLog:
    """Collects the truth and writes it in whole files; without a directory it keeps the rows in memory only."""

    def __init__(self, directory: Path | None, header: TruthHeader) -> None:
        """Open a log.

        Args:
            directory: Where files go; made if missing. None keeps events and commands in memory.
            header: What the log is about.
        """
        self._directory, self._start_ns = directory, header.start_ns
        self._events, self._commands = _Rows(_EVENTS_SCHEMA), _Rows(_COMMANDS_SCHEMA)
        self._times: list[int] = []
        self._voltages: list[NDArray[np.float32]] = []
        self._last_event_ns = header.start_ns
        self._epoch, self._number = header.epoch, 0
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            write_whole(directory / "truth.json", msgspec.json.encode(header))

    @property
    def events(self) -> tuple[tuple[object, ...], ...]:
        """Events that no file holds yet: (time_ns, kind, element, text, value)."""
        return tuple(self._events.rows)

    @property
    def commands(self) -> tuple[tuple[object, ...], ...]:
        """Commands that no file holds yet: (time_ns, key, target, action, outcome, moved)."""
        return tuple(self._commands.rows)

    def event(
        self, now_ns: int, kind: str, element: str, text: str = "", value: float = 0.0
    ) -> None:
        """Note something that happened."""
        self._events.rows.append((now_ns, kind, element, text, value))
        if kind != "supply":
            self._last_event_ns = now_ns

    def command(
        self, now_ns: int, key: str, target: str, action: str, outcome: str, *, moved: bool
    ) -> None:
        """Note what a device received and what became of it."""
        self._commands.rows.append((now_ns, key, target, action, outcome, moved))

    def voltages(self, now_ns: int, v_pu: Floats) -> None:
        """Note the voltages of all buses, unless this second is thinned out."""
        if self._directory is None or not self._is_kept(now_ns):
            return
        self._times.append(now_ns)
        self._voltages.append(v_pu.astype(np.float32))
        if len(self._times) >= _ROWS_A_FILE:
            self.flush()

    def flush(self) -> None:
        """Write everything that waits."""
        if self._directory is None:
            return
        if self._times:
            values = pa.array(np.concatenate(self._voltages))
            n_bus = len(self._voltages[0])
            offsets = pa.array(np.arange(len(self._times) + 1, dtype=np.int32) * n_bus)
            rows = pa.ListArray.from_arrays(offsets, values)
            self._write("voltages", pa.table({"time_ns": pa.array(self._times), "v_pu": rows}))
            self._times, self._voltages = [], []
        for name, rows_ in (("events", self._events), ("commands", self._commands)):
            if rows_.rows:
                self._write(name, rows_.table())
                rows_.rows = []

    def _is_kept(self, now_ns: int) -> bool:
        if now_ns - self._start_ns <= _DENSE_NS or now_ns - self._last_event_ns <= _AROUND_NS:
            return True
        return now_ns // NS_PER_S % _THIN == 0

    def _write(self, name: str, table: pa.Table) -> None:
        assert self._directory is not None  # noqa: S101 - callers have checked
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        path = self._directory / f"{name}-{self._epoch:04d}-{self._number:06d}.parquet"
        self._number += 1
        write_whole(path, sink.getvalue().to_pybytes())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or none."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
