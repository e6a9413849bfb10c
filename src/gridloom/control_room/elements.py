"""The newest values of one element, to the digit, with its limits and its place in the schematic."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from gridloom.control_room.stations import branch_offsets
from gridloom.control_room.view import LiveState
from gridloom.core.errors import BadInput
from gridloom.grid.model import Grid

BRANCH_TABLES = {
    "line": "lines",
    "transformer": "transformers",
    "transformer3w": "transformers3w",
    "branch": "branches",
}


class Fact(msgspec.Struct, frozen=True):
    """One thing that is known of an element and does not change: a name and words."""

    name: str
    text: str


class ElementReading(msgspec.Struct, frozen=True, kw_only=True):
    """One element, now. Values that are not known or do not apply are absent (null)."""

    kind: str
    id: str
    row: int
    """Position among the feed's buses, branches or switches."""
    time_ns: int
    is_live: bool
    v_pu: float | None = None
    v_kv: float | None = None
    v_sigma_pu: float | None = None
    v_min_pu: float | None = None
    v_max_pu: float | None = None
    loading_pct: float | None = None
    p_mw: float | None = None
    position: str = ""
    """`open`, `closed` or `moving`, of a switch."""
    facts: tuple[Fact, ...] = ()


def read_element(grid: Grid, live: LiveState | None, kind: str, id_: str) -> ElementReading:
    """Return the newest values of an element.

    Raises:
        UnknownId: If there is no such element; names near ids.
        BadInput: If `kind` is not one that the control room shows.
    """
    if kind == "bus":
        return _read_bus(grid, live, id_)
    if kind == "switch":
        return _read_switch(grid, live, id_)
    if kind in BRANCH_TABLES:
        return _read_branch(grid, live, kind, id_)
    shown = ", ".join(("bus", "switch", *BRANCH_TABLES))
    raise BadInput(f"no kind of element {kind!r}; there are {shown}")


def extreme(values: NDArray[np.float64] | None, *, lowest: bool) -> float | None:
    """Return the lowest or highest number in `values`; nothing if there is none."""
    if values is None:
        return None
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    return float(known.min() if lowest else known.max())


def _read_bus(grid: Grid, live: LiveState | None, id_: str) -> ElementReading:
    row = grid.buses.row(id_)
    v_pu = _at(live.v_pu if live else None, row)
    vn_kv = float(grid.buses.vn_kv[row])
    return ElementReading(
        kind="bus",
        id=id_,
        row=row,
        time_ns=live.time_ns if live else 0,
        is_live=bool(live.is_energised[row]) if live else False,
        v_pu=v_pu,
        v_kv=None if v_pu is None else v_pu * vn_kv,
        v_sigma_pu=_at(live.v_sigma_pu if live else None, row),
        v_min_pu=float(grid.buses.v_min_pu[row]),
        v_max_pu=float(grid.buses.v_max_pu[row]),
        facts=(Fact("rated voltage", f"{vn_kv:g} kV"), *_customers(grid, row)),
    )


def _customers(grid: Grid, bus: int) -> tuple[Fact, ...]:
    count = int(grid.loads.customers[grid.loads.bus == bus].sum())
    return (Fact("customers", str(count)),) if count else ()


def _read_switch(grid: Grid, live: LiveState | None, id_: str) -> ElementReading:
    row = grid.switches.row(id_)
    closed = _at(live.closed if live else None, row)
    switches = grid.switches
    return ElementReading(
        kind="switch",
        id=id_,
        row=row,
        time_ns=live.time_ns if live else 0,
        is_live=bool(live.is_energised[switches.bus[row]]) if live else False,
        position="moving" if closed is None else "closed" if closed else "open",
        facts=(
            Fact("kind", str(switches.kind[row]).replace("_", " ")),
            Fact("operated", "from afar" if switches.is_remote[row] else "by hand"),
            Fact("normal position", "closed" if switches.closed[row] else "open"),
        ),
    )


def _read_branch(grid: Grid, live: LiveState | None, kind: str, id_: str) -> ElementReading:
    table = getattr(grid, BRANCH_TABLES[kind])
    row = table.row(id_)
    position = branch_offsets(grid)[kind] + row
    return ElementReading(
        kind=kind,
        id=id_,
        row=position,
        time_ns=live.time_ns if live else 0,
        is_live=bool(live.is_live[position]) if live else False,
        loading_pct=_at(live.loading_pct if live else None, position),
        p_mw=_at(live.p_mw if live else None, position),
        facts=_line_facts(grid, row) if kind == "line" else _unit_facts(grid, kind, row),
    )


def _line_facts(grid: Grid, row: int) -> tuple[Fact, ...]:
    lines = grid.lines
    facts = [Fact("kind", str(lines.kind[row]))]
    if lines.type[row]:
        facts.append(Fact("type", str(lines.type[row])))
    if not math.isnan(lines.length_km[row]):
        facts.append(Fact("length", f"{lines.length_km[row]:.3g} km"))
    if not math.isnan(lines.rated_ka[row]):
        facts.append(Fact("rated current", f"{lines.rated_ka[row] * 1000:.0f} A"))
    return tuple(facts)


def _unit_facts(grid: Grid, kind: str, row: int) -> tuple[Fact, ...]:
    if kind != "transformer":
        return ()
    unit = grid.transformers
    facts = [Fact("rated power", f"{unit.sn_mva[row] * 1000:g} kVA")]
    facts.append(Fact("ratio", f"{unit.vn_hv_kv[row]:g} / {unit.vn_lv_kv[row]:g} kV"))
    return tuple(facts)


def _at(values: NDArray[np.float64] | NDArray[np.float32] | None, row: int) -> float | None:
    if values is None or math.isnan(values[row]):
        return None
    return float(values[row])
