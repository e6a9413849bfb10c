"""The closed connections of a grid as edges between nodes, for fault studies.

Positive sequence; shunts, loads and taps are left out, as is usual for the current of a bolted fault. Breakers
between two buses stay edges of their own (a tiny impedance), so that the current through each is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gridloom.core.units import BASE_MVA
from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags, Floats, Rows
from gridloom.grid.topology import Topology

type Complexes = NDArray[np.complex128]

LINE, TRANSFORMER, TRANSFORMER3W, BRANCH, BREAKER = range(5)
_KINDS = {
    "line": LINE,
    "transformer": TRANSFORMER,
    "transformer3w": TRANSFORMER3W,
    "branch": BRANCH,
}
_BREAKER_PU = 1e-7j
_SOURCE_MVA = 10_000.0
"""Short-circuit power of a source whose own is not known [MVA]."""
MAX_LV_KV = 1.0
"""Up to this rated voltage a grid counts as low voltage [kV]."""
_EDGE_COLUMNS = ("kind", "element", "side", "near", "far", "z_pu", "near_breaker", "far_breaker")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """Closed connections, one row each."""

    kind: Rows
    element: Rows
    """Row in the table of `kind`."""
    side: Rows
    """Which end of the element stands at `near`: 0 from or high side, 1 to or low side."""
    near: Rows
    """Node at the from, high-voltage or first side."""
    far: Rows
    z_pu: Complexes
    near_breaker: Rows
    """Row of the relayed breaker at the near end, -1 where there is none."""
    far_breaker: Rows

    def __len__(self) -> int:
        """Return the number of edges."""
        return len(self.kind)

    def take(self, rows: Flags | Rows) -> Self:
        """Return some rows."""
        return type(self)(**{name: getattr(self, name)[rows] for name in _EDGE_COLUMNS})

    @classmethod
    def join(cls, *parts: Self) -> Self:
        """Return the rows of all parts, in their order."""
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in _EDGE_COLUMNS})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaultNetwork:
    """What is connected to what in one switching state."""

    grid: Grid
    topology: Topology
    node_of_bus: Rows
    """Node of each bus with relayed bus breakers taken apart, -1 out of service, shape (bus,)."""
    vn_kv: Floats
    """Rated voltage, shape (node,)."""
    edges: Edges
    source_node: Rows
    source_z_pu: Complexes
    breaker_at: dict[tuple[int, int, int], int]
    """Row of the relayed breaker at the end of an element, by (kind, element, bus)."""

    def line_z_pu(self, rows: Rows) -> Complexes:
        """Return the series impedance of lines per unit of their from bus."""
        return _line_z_pu(self.grid, rows)


def connect(grid: Grid, closed: Flags, relayed: Rows, dead_lines: Flags) -> FaultNetwork:
    """Collect the closed connections.

    Args:
        grid: The grid with its true impedances.
        closed: Positions, shape (switch,).
        relayed: Rows of the breakers that a relay trips.
        dead_lines: Lines that a blown fuse keeps out, shape (line,).

    Returns:
        The network of this switching state.
    """
    switches = grid.switches
    between = np.zeros(len(switches), dtype=np.bool_)
    between[relayed] = switches.element_kind[relayed] == "bus"
    topo = grid.wiring.topology(closed & ~between)
    topo = replace(topo, line_closed=topo.line_closed & ~dead_lines[:, None])
    collector = _Collector(grid, topo, relayed)
    edges = Edges.join(
        collector.lines(),
        collector.transformers(),
        *collector.stars(),
        collector.branches(),
        collector.breakers(np.flatnonzero(between & closed & switches.in_service)),
    )
    live = collector.node >= 0
    vn_kv = np.ones(int(topo.n_nodes) + len(grid.transformers3w))
    vn_kv[collector.node[live]] = grid.buses.vn_kv[live]
    if len(grid.transformers3w):
        vn_kv[int(topo.n_nodes) :] = grid.buses.vn_kv[grid.transformers3w.hv_bus]
    used = grid.sources.in_service & live[grid.sources.bus]
    return FaultNetwork(
        grid=grid,
        topology=topo,
        node_of_bus=collector.node,
        vn_kv=vn_kv,
        edges=edges.take((edges.near >= 0) & (edges.far >= 0)),
        source_node=collector.node[grid.sources.bus[used]],
        source_z_pu=_source_z_pu(grid)[used],
        breaker_at=collector.breaker_at,
    )


def _source_z_pu(grid: Grid) -> Complexes:
    """Return the impedance behind each source from short-circuit power and R/X."""
    sk_mva = np.where(np.isnan(grid.sources.sk_mva), _SOURCE_MVA, grid.sources.sk_mva)
    rx = np.nan_to_num(grid.sources.rx, nan=0.1)
    return np.asarray((rx + 1j) / np.sqrt(1.0 + rx**2) * BASE_MVA / sk_mva)


def _line_z_pu(grid: Grid, rows: Rows) -> Complexes:
    lines = grid.lines
    base_ohm = grid.buses.vn_kv[lines.from_bus[rows]] ** 2 / BASE_MVA
    return np.asarray((lines.r_ohm[rows] + 1j * lines.x_ohm[rows]) / base_ohm)


class _Collector:
    """Turns the closed rows of each table into edges."""

    def __init__(self, grid: Grid, topo: Topology, relayed: Rows) -> None:
        self._grid, self._topology, self._relayed = grid, topo, set(relayed.tolist())
        self.node: Rows = np.asarray(topo.node_of_bus, dtype=np.int64)
        switches = grid.switches
        self.breaker_at: dict[tuple[int, int, int], int] = {}
        for row in relayed.tolist():
            kind = _KINDS.get(str(switches.element_kind[row]))
            if kind is not None:
                self.breaker_at[kind, int(switches.element[row]), int(switches.bus[row])] = row

    def lines(self) -> Edges:
        rows = np.flatnonzero(self._topology.line_closed.all(axis=1))
        lines = self._grid.lines
        z_pu = _line_z_pu(self._grid, rows)
        return self._edges(LINE, rows, lines.from_bus[rows], lines.to_bus[rows], z_pu)

    def transformers(self) -> Edges:
        units = self._grid.transformers
        rows = np.flatnonzero(self._topology.transformer_closed.all(axis=1))
        scale = BASE_MVA / units.sn_mva[rows] / units.parallel[rows] / 100.0
        r_pu = units.vkr_pct[rows] * scale
        x_pu = np.sqrt(np.maximum((units.vk_pct[rows] * scale) ** 2 - r_pu**2, 0.0))
        z_pu = r_pu + 1j * x_pu
        return self._edges(TRANSFORMER, rows, units.hv_bus[rows], units.lv_bus[rows], z_pu)

    def stars(self) -> tuple[Edges, Edges, Edges]:
        """Return the three arms of three-winding transformers; star points follow the grid's nodes."""
        units = self._grid.transformers3w
        hv, mv, lv = units.sn_hv_mva, units.sn_mv_mva, units.sn_lv_mva
        x_hm = units.vk_hv_pct / 100.0 * BASE_MVA / np.minimum(hv, mv)
        x_ml = units.vk_mv_pct / 100.0 * BASE_MVA / np.minimum(mv, lv)
        x_hl = units.vk_lv_pct / 100.0 * BASE_MVA / np.minimum(hv, lv)
        arms = ((x_hm + x_hl - x_ml) / 2, (x_hm + x_ml - x_hl) / 2, (x_ml + x_hl - x_hm) / 2)
        buses = (units.hv_bus, units.mv_bus, units.lv_bus)
        hv_arm, mv_arm, lv_arm = (self._arm(i, buses[i], arms[i]) for i in range(3))
        return hv_arm, mv_arm, lv_arm

    def _arm(self, side: int, bus: Rows, x_pu: Floats) -> Edges:
        rows = np.flatnonzero(self._topology.transformer3w_closed[:, side])
        star = int(self._topology.n_nodes) + rows
        none = np.full(len(rows), -1)
        near = self._breaker_at(TRANSFORMER3W, rows, bus[rows])
        return Edges(
            kind=np.full(len(rows), TRANSFORMER3W),
            element=rows,
            side=np.zeros(len(rows), np.int64),
            near=self.node[bus[rows]],
            far=star,
            z_pu=np.asarray(1j * x_pu[rows], dtype=np.complex128),
            near_breaker=near,
            far_breaker=none,
        )

    def branches(self) -> Edges:
        branches = self._grid.branches
        rows = np.flatnonzero(self._topology.branch_closed.all(axis=1))
        z_pu = (branches.r_pu[rows] + 1j * branches.x_pu[rows]) * BASE_MVA / branches.base_mva[rows]
        return self._edges(BRANCH, rows, branches.from_bus[rows], branches.to_bus[rows], z_pu)

    def breakers(self, rows: Rows) -> Edges:
        switches = self._grid.switches
        return Edges(
            kind=np.full(len(rows), BREAKER),
            element=rows,
            side=np.zeros(len(rows), np.int64),
            near=self.node[switches.bus[rows]],
            far=self.node[switches.element[rows]],
            z_pu=np.full(len(rows), _BREAKER_PU),
            near_breaker=rows,
            far_breaker=rows,
        )

    def _edges(self, kind: int, rows: Rows, near: Rows, far: Rows, z_pu: NDArray[Any]) -> Edges:
        return Edges(
            kind=np.full(len(rows), kind),
            element=rows,
            side=np.zeros(len(rows), np.int64),
            near=self.node[near],
            far=self.node[far],
            z_pu=np.asarray(z_pu, dtype=np.complex128),
            near_breaker=self._breaker_at(kind, rows, near),
            far_breaker=self._breaker_at(kind, rows, far),
        )

    def _breaker_at(self, kind: int, rows: Rows, buses: Rows) -> Rows:
        pairs = zip(rows.tolist(), buses.tolist(), strict=True)
        return np.array([self.breaker_at.get((kind, e, b), -1) for e, b in pairs], dtype=np.int64)
