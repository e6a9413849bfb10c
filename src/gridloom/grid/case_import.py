"""Distribution reconfiguration cases as JSON: buses in kW, branches in ohm, ties that are open.

Every switchable branch gets one remote switch with the branch's own id, at the end nearer to a source where one end
is a source bus, else at its from side. Line limits come from a restoration file when one is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gridloom.core.errors import BadInput, Malformed
from gridloom.core.units import KW_PER_MW, SQRT3
from gridloom.grid.cells import derive_cells
from gridloom.grid.loading import read_text
from gridloom.grid.model import Buses, Grid, Lines, Loads, Sources, Switches
from gridloom.grid.pandapower_devices import KW_PER_CUSTOMER, customers_behind
from gridloom.grid.report import Imported, LossLog
from gridloom.grid.tables import texts

if TYPE_CHECKING:
    from pathlib import Path

    from gridloom.grid.tables import Flags, Floats, Rows


class CaseBus(msgspec.Struct, frozen=True):
    """A bus with its load."""

    id: int
    p_kw: float = 0.0
    q_kvar: float = 0.0


class CaseBranch(msgspec.Struct, frozen=True):
    """A branch between two buses."""

    id: int
    f: int
    t: int
    r_ohm: float
    x_ohm: float
    closed: bool = True
    switchable: bool = True


class Case(msgspec.Struct, frozen=True):
    """A reconfiguration case; anything else in the file is for people and studies."""

    vn_kv: float
    v_source_pu: float
    sources: list[int]
    buses: list[CaseBus]
    branches: list[CaseBranch]
    case: str = "case"


class Rules(msgspec.Struct, frozen=True):
    """Limits that a restoration file sets."""

    line_limit_pu_1MVA: list[float]  # noqa: N815 - the file's own word
    vmin: float


class Restoration(msgspec.Struct, frozen=True):
    """A restoration file, as far as the grid is concerned."""

    rules: Rules


def import_case(path: Path, *, limits: Path | None = None) -> Imported:
    """Return the case at `path`, with line limits and the lowest voltage from the restoration file `limits`.

    Raises:
        Malformed: If a file is not such a case; the message names the place.
        BadInput: If a branch or source names a bus that is not there, or the limits do not fit the case.
    """
    case = _decode(path, Case)
    log = LossLog(f"case:{path.name}")
    if not case.vn_kv > 0.0:
        message = f"{path.name}: vn_kv is {case.vn_kv}; give the rated line-to-line voltage in kV"
        raise BadInput(message)
    buses = Buses(
        id=texts(str(bus.id) for bus in case.buses), vn_kv=np.full(len(case.buses), case.vn_kv)
    )
    lines = _lines(case, buses)
    if limits is None:
        log.add(
            "branch", "*", "current limit", "the case names none, so no branch can be overloaded"
        )
    else:
        rules = _decode(limits, Restoration).rules
        buses, lines = _limited(buses, lines, rules, case.vn_kv)
    sources = np.array([buses.row(str(bus)) for bus in case.sources], dtype=np.int64)
    grid = Grid(
        name=path.stem,
        buses=buses,
        lines=lines,
        switches=_switches(case, lines, sources),
        loads=_loads(case, buses, log),
        sources=Sources(
            id=texts(f"source {bus}" for bus in case.sources),
            bus=sources,
            vm_pu=np.full(len(sources), case.v_source_pu),
        ),
    )
    return Imported(grid=derive_cells(grid), report=log.report())


def _decode[T](path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(read_text(path), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        message = f"{path.name} is not a {kind.__name__.lower()} file: {error}"
        raise Malformed(message) from error


def _lines(case: Case, buses: Buses) -> Lines:
    return Lines(
        id=texts(str(branch.id) for branch in case.branches),
        from_bus=buses.rows(str(branch.f) for branch in case.branches),
        to_bus=buses.rows(str(branch.t) for branch in case.branches),
        r_ohm=np.array([branch.r_ohm for branch in case.branches], dtype=np.float64),
        x_ohm=np.array([branch.x_ohm for branch in case.branches], dtype=np.float64),
        in_service=np.array(
            [branch.closed or branch.switchable for branch in case.branches], dtype=np.bool_
        ),
    )


def _limited(buses: Buses, lines: Lines, rules: Rules, vn_kv: float) -> tuple[Buses, Lines]:
    if len(rules.line_limit_pu_1MVA) != len(lines):
        message = (
            f"the limits name {len(rules.line_limit_pu_1MVA)} branches, the case has {len(lines)}"
        )
        raise BadInput(message)
    rated_ka: Floats = np.array(rules.line_limit_pu_1MVA) / (SQRT3 * vn_kv)
    return buses.with_columns(v_min_pu=np.full(len(buses), rules.vmin)), lines.with_columns(
        rated_ka=rated_ka
    )


def _switches(case: Case, lines: Lines, sources: Rows) -> Switches:
    at = np.array([branch.switchable for branch in case.branches], dtype=np.bool_)
    rows = np.flatnonzero(at)
    from_source: Flags = np.isin(lines.from_bus[rows], sources)
    to_source: Flags = np.isin(lines.to_bus[rows], sources)
    at_to = to_source & ~from_source
    return Switches(
        id=lines.id[rows],
        bus=np.where(at_to, lines.to_bus[rows], lines.from_bus[rows]),
        element_kind=np.full(rows.size, "line", dtype=object),
        element=rows,
        closed=np.array([branch.closed for branch in case.branches], dtype=np.bool_)[rows],
        kind=np.where(from_source | to_source, "breaker", "load_break_switch").astype(object),
        is_remote=np.ones(rows.size, dtype=np.bool_),
    )


def _loads(case: Case, buses: Buses, log: LossLog) -> Loads:
    loaded = [bus for bus in case.buses if bus.p_kw != 0.0 or bus.q_kvar != 0.0]
    p_mw = np.array([bus.p_kw for bus in loaded]) / KW_PER_MW
    rows = buses.rows(str(bus.id) for bus in loaded)
    loads = Loads(
        id=texts(f"load {bus.id}" for bus in loaded),
        bus=rows,
        p_mw=p_mw,
        q_mvar=np.array([bus.q_kvar for bus in loaded]) / KW_PER_MW,
        customers=customers_behind(buses.vn_kv[rows], p_mw, np.full(len(loaded), "", dtype=object)),
    )
    words = f"estimated as one per {KW_PER_CUSTOMER:g} kW ({int(loads.customers.sum())} in all)"
    log.add("load", "*", "number of customers", words)
    return loads
