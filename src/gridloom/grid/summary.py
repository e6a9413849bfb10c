"""A grid in figures, for people and for `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gridloom.grid.topology import topology

if TYPE_CHECKING:
    from gridloom.grid.model import Grid


class VoltageLevel(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at one rated voltage."""

    vn_kv: float
    buses: int
    lines: int
    line_km: float
    """Length of lines whose length is known [km]."""
    load_mw: float
    generation_mw: float


class GridSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A grid in figures."""

    name: str
    hash: str
    state_hash: str
    frequency_hz: float
    buses: int
    lines: int
    transformers: int
    transformers3w: int
    branches: int
    switches: int
    remote_switches: int
    breakers: int
    ties: int
    """Switches that stand open."""
    loads: int
    customers: int
    generators: int
    storages: int
    sources: int
    cells: int
    feeders: int
    levels: tuple[VoltageLevel, ...]
    line_km: float
    transformer_mva: float
    load_mw: float
    load_mvar: float
    generation_mw: float
    nodes: int
    islands: int
    dead_buses: int
    is_radial: bool
    profiles: str


def describe(grid: Grid) -> GridSummary:
    """Return `grid` in figures, at its present switch positions.

    Raises:
        BadInput: If a reference in the grid leads nowhere.
    """
    at = topology(grid)
    loads, units = grid.loads.in_service, grid.generators.in_service
    return GridSummary(
        name=grid.name,
        hash=grid.hash,
        state_hash=grid.switch_hash,
        frequency_hz=grid.frequency_hz,
        buses=len(grid.buses),
        lines=len(grid.lines),
        transformers=len(grid.transformers),
        transformers3w=len(grid.transformers3w),
        branches=len(grid.branches),
        switches=len(grid.switches),
        remote_switches=int(grid.switches.is_remote.sum()),
        breakers=int((grid.switches.kind == "breaker").sum()),
        ties=int((~grid.switches.closed & grid.switches.in_service).sum()),
        loads=len(grid.loads),
        customers=int(grid.loads.customers[loads].sum()),
        generators=len(grid.generators),
        storages=len(grid.storages),
        sources=len(grid.sources),
        cells=len(grid.cells),
        feeders=int((grid.cells.kind == "feeder").sum()),
        levels=_levels(grid),
        line_km=float(np.nansum(grid.lines.length_km)),
        transformer_mva=float(np.nansum(grid.transformers.sn_mva * grid.transformers.parallel)),
        load_mw=float(np.nansum(grid.loads.p_mw[loads])),
        load_mvar=float(np.nansum(grid.loads.q_mvar[loads])),
        generation_mw=float(np.nansum(grid.generators.p_mw[units])),
        nodes=at.n_nodes,
        islands=at.n_islands,
        dead_buses=int((~at.is_energised).sum()),
        is_radial=_is_radial(grid),
        profiles=grid.profiles,
    )


def _levels(grid: Grid) -> tuple[VoltageLevel, ...]:
    vn = grid.buses.vn_kv
    line_kv = vn[grid.lines.from_bus]
    load_kv, unit_kv = vn[grid.loads.bus], vn[grid.generators.bus]
    return tuple(
        VoltageLevel(
            vn_kv=level,
            buses=int((vn == level).sum()),
            lines=int((line_kv == level).sum()),
            line_km=float(np.nansum(grid.lines.length_km[line_kv == level])),
            load_mw=float(np.nansum(grid.loads.p_mw[(load_kv == level) & grid.loads.in_service])),
            generation_mw=float(
                np.nansum(grid.generators.p_mw[(unit_kv == level) & grid.generators.in_service])
            ),
        )
        for level in sorted(set(vn.tolist()), reverse=True)
    )


def _is_radial(grid: Grid) -> bool:
    """Return whether no two paths join any two nodes: as many closed elements as nodes less islands."""
    at = topology(grid)
    wiring = grid.wiring
    joins = 0
    for kind, closed in (
        ("line", at.line_closed),
        ("transformer", at.transformer_closed),
        ("branch", at.branch_closed),
    ):
        ends = at.node_of_bus[wiring.ends[kind].buses]
        joins += int((closed.all(axis=1) & (ends[:, 0] != ends[:, 1])).sum())
    joins += int(np.maximum(at.transformer3w_closed.sum(axis=1) - 1, 0).sum())
    # Two sources in one island are a loop through the grid above.
    live = at.node_of_bus[wiring.source_bus]
    fed = np.unique(live[live >= 0])
    doubled = fed.size - np.unique(at.island_of_node[fed]).size
    return joins == at.n_nodes - at.n_islands and doubled == 0
