"""The year of profiles behind a grid: what every load, generator and storage does in each quarter of an hour.

Memory holds one small table, profile by time, and for each element the row of its profile and its scale; the dense
matrix of elements by time (gigabytes for a district) is never made.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridloom.core.errors import Malformed
from gridloom.core.units import NS_PER_S
from gridloom.grid.tables import Floats, Rows, Texts

if TYPE_CHECKING:
    from gridloom.grid.model import Grid

_LOG = logging.getLogger(__name__)
QUARTER_HOUR_S = 900.0


class ProfileValues(NamedTuple):
    """What all elements do at one time."""

    load_p_mw: Floats
    """Consumption, shape (load,)."""
    load_q_mvar: Floats
    generator_p_mw: Floats
    """Injection, shape (generator,)."""
    generator_q_mvar: Floats
    storage_p_mw: Floats
    """Injection, shape (storage,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scaled:
    """One quantity of one table: base value and profile of each element."""

    base: Floats
    column: Rows
    """Column of the profile table, shape (element,)."""

    def at(self, factors: NDArray[np.float64]) -> Floats:
        return self.base * factors[self.column]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profiles:
    """The profiles of one grid's elements."""

    step_s: float
    n_steps: int
    start_ns: int
    """Time of step 0 [ns since 1970]; the source's own local time, read as if it were UTC."""
    names: tuple[str, ...]
    """Profile of each column; column 0 is the constant 1."""
    factors: NDArray[np.float32]
    """Shape (time, profile)."""
    load_p: _Scaled
    load_q: _Scaled
    generator_p: _Scaled
    generator_q: _Scaled
    storage_p: _Scaled

    def at(self, step: float) -> ProfileValues:
        """Return all values at `step`, between two steps by a straight line; steps beyond the end begin anew."""
        whole = int(np.floor(step))
        part = step - whole
        factors = self.factors[whole % self.n_steps].astype(np.float64)
        if part > 0.0:
            factors += part * (self.factors[(whole + 1) % self.n_steps] - factors)
        return ProfileValues(
            self.load_p.at(factors),
            self.load_q.at(factors),
            self.generator_p.at(factors),
            self.generator_q.at(factors),
            self.storage_p.at(factors),
        )

    def step_at(self, time_ns: int) -> float:
        """Return the (fractional) step at a time [ns since 1970]."""
        return (time_ns - self.start_ns) / (self.step_s * NS_PER_S)


def load_profiles(grid: Grid) -> Profiles:
    """Return the year of profiles of `grid`; a grid without any stays at its present values.

    An element whose profile is not in the source keeps its value, and a line in the log says how many do.

    Raises:
        Malformed: If `grid.profiles` names a source that is not known.
    """
    if not grid.profiles:
        table = _ProfileTable((), np.empty((1, 0), dtype=np.float32), 0)
    elif grid.profiles.startswith("simbench:"):
        table = _simbench_table(grid.profiles.removeprefix("simbench:"))
    else:
        message = (
            f"grid {grid.name!r} names the profiles {grid.profiles!r}; only simbench:CODE is known"
        )
        raise Malformed(message)
    return _attach(grid, table)


class _ProfileTable(NamedTuple):
    """Profiles as they lie in the cache."""

    names: tuple[str, ...]
    factors: NDArray[np.float32]
    start_ns: int


def _attach(grid: Grid, table: _ProfileTable) -> Profiles:
    columns = {name: 1 + at for at, name in enumerate(table.names)}
    factors = np.concatenate(
        [np.ones((len(table.factors), 1), dtype=np.float32), table.factors], axis=1
    )
    active = ["renewables/{}", "powerplants/{}"]
    return Profiles(
        step_s=QUARTER_HOUR_S,
        n_steps=len(factors),
        start_ns=table.start_ns,
        names=("", *table.names),
        factors=factors,
        load_p=_scaled(grid.loads.p_mw, grid.loads.profile, columns, ["load/{}_pload"]),
        load_q=_scaled(grid.loads.q_mvar, grid.loads.profile, columns, ["load/{}_qload"]),
        generator_p=_scaled(grid.generators.p_mw, grid.generators.profile, columns, active),
        generator_q=_scaled(grid.generators.q_mvar, grid.generators.profile, columns, active),
        storage_p=_scaled(grid.storages.p_mw, grid.storages.profile, columns, ["storage/{}"]),
    )


def _scaled(base: Floats, profile: Texts, columns: dict[str, int], patterns: list[str]) -> _Scaled:
    column = np.zeros(len(base), dtype=np.int64)
    missing = 0
    for row, name in enumerate(profile.tolist()):
        found = next((columns[p.format(name)] for p in patterns if p.format(name) in columns), 0)
        column[row] = found
        missing += bool(name) and not found
    if missing and columns:
        _LOG.warning("profiles_missing elements=%d pattern=%s", missing, patterns[0])
    return _Scaled(base=base, column=column)


def _simbench_table(code: str) -> _ProfileTable:
    from gridloom.grid.simbench_import import cache_path, simbench_net

    path = cache_path(code, ".profiles.parquet")
    if path is not None and path.exists():
        try:
            return _read_table(path)
        except Malformed as error:
            _LOG.warning("cache_unreadable path=%s error=%s", path, error)
    table = table_of_net(simbench_net(code))
    if path is not None:
        write_table(table, path)
    return table


def table_of_net(net: Any) -> _ProfileTable:  # noqa: ANN401 - pandapower nets carry no types
    """Return the profiles that SimBench put beside a net."""
    import pandas as pd

    names: list[str] = []
    parts: list[NDArray[np.float32]] = []
    start_ns = 0
    for kind in ("load", "renewables", "powerplants", "storage"):
        frame = net.profiles.get(kind)
        if frame is None or not len(frame):
            continue
        start_ns = pd.to_datetime(frame["time"].iloc[0], dayfirst=True).value
        values = frame.drop(columns="time")
        names += [f"{kind}/{name}" for name in values.columns]
        parts.append(values.to_numpy(dtype=np.float32))
    factors = np.concatenate(parts, axis=1) if parts else np.empty((1, 0), dtype=np.float32)
    return _ProfileTable(tuple(names), factors, start_ns)


def write_table(table: _ProfileTable, path: Path) -> None:
    """Write profiles to the cache; a cache that cannot be written is only logged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.table(
        [pa.array(np.ascontiguousarray(table.factors[:, at])) for at in range(len(table.names))],
        names=list(table.names),
        metadata={"start_ns": str(table.start_ns)},
    )
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(arrow, partial, compression="zstd")
        partial.replace(path)
    except OSError as error:
        _LOG.warning("cache_not_written path=%s error=%s", path, error)


def _read_table(path: Path) -> _ProfileTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        arrow = pq.read_table(path)
        start_ns = int(arrow.schema.metadata[b"start_ns"])
        columns = [column.to_numpy().astype(np.float32, copy=False) for column in arrow.columns]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path} cannot be read: {error}"
        raise Malformed(message) from error
    factors = np.stack(columns, axis=1) if columns else np.empty((1, 0), dtype=np.float32)
    return _ProfileTable(tuple(arrow.column_names), factors, start_ns)
