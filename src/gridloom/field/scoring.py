"""How far an estimate was from the truth, read from the files of both after a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gridloom.core.errors import BadInput, Unavailable
from gridloom.core.units import NS_PER_S
from gridloom.field.fault_network import MAX_LV_KV
from gridloom.field.truth_log import TruthCommand, TruthEvent, TruthHeader
from gridloom.grid.tables import Floats, Rows

_MAX_AGE_NS = 3 * NS_PER_S // 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrueVoltages:
    """Voltages of every bus at rising times."""

    time_ns: Rows
    """Shape (time,)."""
    v_pu: NDArray[np.float32]
    """Shape (time, bus); NaN where dead."""
    vn_kv: Floats
    """Rated voltage, shape (bus,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimates:
    """Estimated voltages, one row a value."""

    time_ns: Rows
    bus: Rows
    v_pu: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltageScore:
    """Root mean square errors of the voltage; NaN where there is nothing to compare."""

    rmse_pu: float
    lv_rmse_pu: float
    """Buses rated up to 1 kV."""
    mv_rmse_pu: float
    """All others."""
    compared: int
    without_truth: int
    """Estimates whose moment the truth log does not hold, or whose bus was dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyScore:
    """Customers over a whole run."""

    faults: int
    customers_interrupted: int
    customers_restored: int


def read_truth(directory: Path) -> TrueVoltages:
    """Return the true voltages in a truth log.

    Raises:
        Unavailable: There is no truth log.
    """
    header = read_header(directory)
    times, values = [np.zeros(0, np.int64)], [np.zeros((0, len(header.bus_vn_kv)), np.float32)]
    for path in sorted(directory.glob("voltages-*.parquet")):
        table = pq.read_table(path)
        times.append(table["time_ns"].to_numpy())
        flat = table["v_pu"].combine_chunks().values.to_numpy()
        values.append(flat.reshape(len(table), -1))
    time_ns = np.concatenate(times)
    order = np.argsort(time_ns, kind="stable")
    return TrueVoltages(
        time_ns=time_ns[order],
        v_pu=np.concatenate(values)[order],
        vn_kv=np.array(header.bus_vn_kv),
    )


def read_header(directory: Path) -> TruthHeader:
    """Return what a truth log is about."""
    path = directory / "truth.json"
    if not path.is_file():
        raise Unavailable(f"no truth log in {directory}: truth.json is missing")
    return msgspec.json.decode(path.read_bytes(), type=TruthHeader)


def read_estimates(path: Path) -> Estimates:
    """Return estimates from a Parquet file or a directory of them, columns time_ns, bus, v_pu.

    Raises:
        BadInput: A column is missing.
    """
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    tables = [pq.read_table(file) for file in files]
    for file, table in zip(files, tables, strict=True):
        missing = {"time_ns", "bus", "v_pu"} - set(table.column_names)
        if missing:
            raise BadInput(f"{file}: estimates need the columns {', '.join(sorted(missing))}")
    return Estimates(
        time_ns=_joined([table["time_ns"].to_numpy() for table in tables], np.int64),
        bus=_joined([table["bus"].to_numpy() for table in tables], np.int64),
        v_pu=_joined([table["v_pu"].to_numpy() for table in tables], np.float64),
    )


def score_voltages(truth: TrueVoltages, estimates: Estimates) -> VoltageScore:
    """Compare estimates with the last truth at or before their moment (at most 1.5 s older).

    Raises:
        BadInput: An estimate names a bus that the truth does not have.
    """
    n_bus = truth.v_pu.shape[1]
    outside = (estimates.bus < 0) | (estimates.bus >= n_bus)
    if outside.any():
        raise BadInput(f"bus row {estimates.bus[outside][0]} is not among the truth's {n_bus} rows")
    row = np.searchsorted(truth.time_ns, estimates.time_ns, side="right") - 1
    age_ns = estimates.time_ns - truth.time_ns[row] if len(truth.time_ns) else estimates.time_ns
    has = (row >= 0) & (age_ns <= _MAX_AGE_NS)
    true = np.full(len(row), np.nan)
    true[has] = truth.v_pu[row[has], estimates.bus[has]]
    error = estimates.v_pu - true
    known = ~np.isnan(error)
    is_lv = truth.vn_kv[estimates.bus] <= MAX_LV_KV
    return VoltageScore(
        rmse_pu=_rms(error[known]),
        lv_rmse_pu=_rms(error[known & is_lv]),
        mv_rmse_pu=_rms(error[known & ~is_lv]),
        compared=int(known.sum()),
        without_truth=int((~known).sum()),
    )


def read_supply(directory: Path) -> SupplyScore:
    """Return faults, and customers interrupted and restored, from a truth log."""
    totals: Counter[str] = Counter()
    faults = 0
    for event in read_events(directory):
        faults += event.kind == "fault"
        totals[event.kind] += round(event.value)
    return SupplyScore(
        faults=faults,
        customers_interrupted=totals["customers_interrupted"],
        customers_restored=totals["customers_restored"],
    )


def event_to_command_ms(directory: Path) -> list[float]:
    """Return, for each fault, the time from the last telling event that left the field to the first command back.

    Both moments are the field's own, on one clock: link delays that the field itself simulates are not in it. A
    fault begins with a relay that locks out and is over with the first command after it. Only relays and indicators
    tell where a fault is; a switch position that leaves in between would make the time look shorter.
    """
    took_ms: list[float] = []
    is_waiting, sent_ns = False, 0
    for event in read_events(directory):
        if event.kind == "relay" and event.text == "locked_out":
            is_waiting = True
        elif event.kind == "event_out" and event.text != "switch":
            sent_ns = event.time_ns
        elif event.kind == "command_in" and is_waiting and sent_ns:
            took_ms.append((event.time_ns - sent_ns) / 1e6)
            is_waiting = False
    return took_ms


def executed_twice(directory: Path) -> tuple[str, ...]:
    """Return the keys of commands that started a travel more than once; it has to be empty."""
    started = Counter(command.key for command in read_commands(directory) if command.moved)
    return tuple(sorted(key for key, count in started.items() if count > 1))


def read_events(directory: Path) -> list[TruthEvent]:
    """Return everything that happened, in the order of its logging."""
    return _read_lines(directory, "events", TruthEvent)


def read_commands(directory: Path) -> list[TruthCommand]:
    """Return everything that devices received and did."""
    return _read_lines(directory, "commands", TruthCommand)


def _read_lines[T](directory: Path, name: str, kind: type[T]) -> list[T]:
    decoder = msgspec.json.Decoder(kind)
    rows: list[T] = []
    for path in sorted(directory.glob(f"{name}-*.jsonl")):
        # What follows the last line break was being written when the field was killed.
        rows += [decoder.decode(line) for line in path.read_bytes().split(b"\n")[:-1]]
    return rows


def _joined(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)


def _rms(error: Floats) -> float:
    return float(np.sqrt(np.mean(error**2))) if len(error) else float("nan")
