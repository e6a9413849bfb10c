"""What is measured in a grid, and by what: meters, remote terminal units, indicators, relays, switch positions.

An instrument has an accuracy class and a period; what it read is a frame's business. Placement follows what a
utility has: everything at the substation, little in the medium-voltage grid, a meter at every customer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.grid.tables import Floats, Rows, Table, Texts, column, texts

if TYPE_CHECKING:
    from gridloom.grid.model import Grid

LV_BELOW_KV = 1.0
HV_FROM_KV = 60.0
METER_PERIOD_S = 900.0
RTU_PERIOD_S = 1.0
REPEAT_S = 60.0
"""Devices that speak on change repeat their state at least this often [s]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Instruments(Table):
    """Everything that measures or reports, one row each."""

    kind: Texts = column("text", "", "meter | branch | bus | switch | indicator | relay | pmu")
    element_kind: Texts = column(
        "text",
        "",
        "load | generator | storage | line | transformer | branch | bus | switch | source",
    )
    element: Rows = column("row", "", "row in the table of element_kind")
    side: Rows = column("int", "", "0 at the from or high side, 1 at the to or low side", default=0)
    cell: Rows = column("row", "", "row in cells", default=0)
    class_pct: Floats = column(
        "float", "%", "accuracy class: three standard deviations", default=1.0
    )
    period_s: Floats = column("float", "s", "longest time between two reports", default=REPEAT_S)
    gateway: Texts = column("text", "", "name of the gateway that sends it", default="")


def place_instruments(
    grid: Grid, *, rng: np.random.Generator, mv_share: float = 0.05
) -> Instruments:
    """Return the instruments that a utility would have in `grid`.

    * a meter at every load, generator and storage (class 1 below 1 kV, class 0.5 above);
    * flow and voltage at every feeder head, at the low side of substation transformers, and on everything from
      60 kV;
    * voltage at source buses and at `mv_share` of the medium-voltage buses, drawn by `rng`;
    * the position of every remote switch and every breaker above 1 kV;
    * a fault passage indicator at the from side of every medium-voltage line;
    * a relay at every breaker that stands at the end of a medium-voltage line.

    Args:
        grid: The grid.
        rng: Draws the measured medium-voltage buses.
        mv_share: Share of the medium-voltage buses with a voltage measurement, from 0 to 1.
    """
    if not 0.0 <= mv_share <= 1.0:
        message = f"mv_share is {mv_share}; give a share from 0 to 1"
        raise BadInput(message)
    placing = _Placing(grid)
    _place_meters(placing)
    _place_flows(placing)
    _place_voltages(placing, rng, mv_share)
    _place_switchgear(placing)
    return placing.table()


class _Placing:
    """Collects groups of instruments of one kind."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._groups: list[dict[str, list[object]]] = []

    def add(
        self,
        kind: str,
        element_kind: str,
        element: Rows,
        bus: Rows,
        *,
        ids: Texts,
        side: Rows | int = 0,
        class_pct: Floats | float = 1.0,
        period_s: float = REPEAT_S,
    ) -> None:
        n = element.size
        self._groups.append(
            {
                "id": [f"{kind}:{id_}" for id_ in ids.tolist()],
                "kind": [kind] * n,
                "element_kind": [element_kind] * n,
                "element": element.tolist(),
                "side": np.broadcast_to(side, n).tolist(),
                "cell": self.grid.buses.cell[bus].tolist(),
                "class_pct": np.broadcast_to(class_pct, n).tolist(),
                "period_s": [period_s] * n,
            }
        )

    def table(self) -> Instruments:
        columns = {
            name: [value for group in self._groups for value in group[name]]
            for name in Instruments.column_names()
            if name != "gateway"
        }
        names = gateway_names(self.grid)
        cell = np.array(columns["cell"], dtype=np.int64)
        return Instruments(
            id=texts(str(id_) for id_ in columns["id"]),
            kind=texts(str(kind) for kind in columns["kind"]),
            element_kind=texts(str(kind) for kind in columns["element_kind"]),
            element=np.array(columns["element"], dtype=np.int64),
            side=np.array(columns["side"], dtype=np.int64),
            cell=cell,
            class_pct=np.array(columns["class_pct"], dtype=np.float64),
            period_s=np.array(columns["period_s"], dtype=np.float64),
            gateway=names[cell],
        )


def gateway_names(grid: Grid) -> Texts:
    """Return the name of each cell's gateway, shape (cell,): unique, of letters, digits, `_` and `-`."""
    last = [grid.cell_path(row).rpartition(".")[2] for row in range(len(grid.cells))]
    unique = {name for name in last if last.count(name) == 1}
    return texts(
        f"gw-{name}" if name in unique else f"gw-{name}-{row}" for row, name in enumerate(last)
    )


def _place_meters(placing: _Placing) -> None:
    grid = placing.grid
    tables = (("load", grid.loads), ("generator", grid.generators), ("storage", grid.storages))
    for kind, table in tables:
        rows = np.flatnonzero(table.in_service)
        bus = table.bus[rows]
        placing.add(
            "meter",
            kind,
            rows,
            bus,
            ids=texts(f"{kind}:{id_}" for id_ in table.id[rows]),
            class_pct=np.where(grid.buses.vn_kv[bus] < LV_BELOW_KV, 1.0, 0.5),
            period_s=METER_PERIOD_S,
        )


def _place_flows(placing: _Placing) -> None:
    grid, vn_kv = placing.grid, placing.grid.buses.vn_kv
    heads = _feeder_breakers(grid)
    line = grid.switches.element[heads]
    side = (grid.lines.from_bus[line] != grid.switches.bus[heads]).astype(np.int64)
    high = np.flatnonzero(grid.lines.in_service & (vn_kv[grid.lines.from_bus] >= HV_FROM_KV))
    _add_flows(
        placing, "line", np.concatenate([line, high]), np.concatenate([side, np.zeros_like(high)])
    )
    trafos = grid.transformers
    rows = np.flatnonzero(trafos.in_service & (vn_kv[trafos.lv_bus] >= LV_BELOW_KV))
    _add_flows(placing, "transformer", rows, np.ones_like(rows))
    rows = np.flatnonzero(grid.branches.in_service)
    _add_flows(placing, "branch", rows, np.zeros_like(rows))


def _add_flows(placing: _Placing, kind: str, element: Rows, side: Rows) -> None:
    """Add flow measurements, one per end even where two switches stand at it."""
    if not element.size:
        return
    ends = np.unique(np.stack([element, side], axis=1), axis=0)
    element, side = ends[:, 0], ends[:, 1]
    grid = placing.grid
    table = {"line": grid.lines, "transformer": grid.transformers, "branch": grid.branches}[kind]
    buses = placing.grid.wiring.ends[kind].buses
    names = ("from", "to") if kind != "transformer" else ("hv", "lv")
    placing.add(
        "branch",
        kind,
        element,
        buses[element, side],
        ids=texts(f"{kind}:{table.id[e]}:{names[s]}" for e, s in ends.tolist()),
        side=side,
        class_pct=0.5,
        period_s=RTU_PERIOD_S,
    )


def _place_voltages(placing: _Placing, rng: np.random.Generator, mv_share: float) -> None:
    grid, vn_kv = placing.grid, placing.grid.buses.vn_kv
    fed = np.unique(grid.sources.bus[grid.sources.in_service])
    is_candidate = grid.buses.in_service & (vn_kv >= LV_BELOW_KV) & (vn_kv < HV_FROM_KV)
    is_candidate &= grid.buses.kind != "auxiliary"
    is_candidate[fed] = False
    candidates = np.flatnonzero(is_candidate)
    count = int(np.ceil(mv_share * candidates.size))
    drawn = rng.choice(candidates, size=count, replace=False)
    rows = np.sort(np.concatenate([fed, drawn]))
    placing.add(
        "bus", "bus", rows, rows, ids=grid.buses.id[rows], class_pct=0.5, period_s=RTU_PERIOD_S
    )


def _place_switchgear(placing: _Placing) -> None:
    grid, vn_kv = placing.grid, placing.grid.buses.vn_kv
    switches = grid.switches
    is_known = switches.is_remote | (
        (switches.kind == "breaker") & (vn_kv[switches.bus] >= LV_BELOW_KV)
    )
    rows = np.flatnonzero(is_known & switches.in_service)
    placing.add("switch", "switch", rows, switches.bus[rows], ids=switches.id[rows])
    bus = grid.lines.from_bus
    lines = np.flatnonzero(
        grid.lines.in_service & (vn_kv[bus] >= LV_BELOW_KV) & (vn_kv[bus] < HV_FROM_KV)
    )
    placing.add("indicator", "line", lines, bus[lines], ids=grid.lines.id[lines])
    heads = _feeder_breakers(grid)
    placing.add("relay", "switch", heads, switches.bus[heads], ids=switches.id[heads])


def _feeder_breakers(grid: Grid) -> Rows:
    """Return the rows of the breakers that stand at ends of medium-voltage lines."""
    switches, vn_kv = grid.switches, grid.buses.vn_kv[grid.switches.bus]
    at_line = (switches.kind == "breaker") & (switches.element_kind == "line") & switches.in_service
    return np.flatnonzero(at_line & (vn_kv >= LV_BELOW_KV) & (vn_kv < HV_FROM_KV))
