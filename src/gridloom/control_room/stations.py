"""What a schematic draws: stations (buses joined inside one site) and the links between them. No geometry.

Everything here follows from the normal switch positions, so that a picture made of it stays as it is while
switches move.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags, Rows
from gridloom.grid.topology import Topology, topology

_LOW_VOLTAGE_KV = 1.0
_KINDS = ("line", "transformer", "transformer3w", "branch")


@dataclass(slots=True, kw_only=True)
class Site:
    """Buses that one symbol stands for."""

    buses: list[int]
    """Rows in buses, the one that names the site first."""
    links: list[int] = field(default_factory=list)
    """Indices of the links that end here."""
    is_source: bool = False
    is_substation: bool = False
    """Fed by a transformer from a higher level of the same picture."""
    is_spare: bool = False
    """Dead at normal switch positions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLink:
    """A branch, or an open switch, between two sites."""

    kind: str
    row: int
    """Row in the table of `kind`."""
    sites: tuple[int, int]
    switches: tuple[tuple[int, int], ...]
    """(row in switches, end 0 or 1) of the switches at its ends."""
    is_closed: bool
    """Whether it connects at normal switch positions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteGraph:
    """Sites and links of one picture."""

    sites: list[Site]
    links: list[SiteLink]
    site_of_bus: Rows
    """Index of the site of each bus, -1 outside the picture, shape (bus,)."""


def branch_offsets(grid: Grid) -> dict[str, int]:
    """Return where each kind of branch starts in the order of the feed; `end` is their number."""
    tables = (grid.lines, grid.transformers, grid.transformers3w, grid.branches)
    starts = np.cumsum([0, *(len(table) for table in tables)]).tolist()
    return dict(zip((*_KINDS, "end"), starts, strict=True))


def branch_ends(grid: Grid) -> Iterator[tuple[str, int, tuple[int, int], tuple[int, int]]]:
    """Yield (kind, row, buses, ends) of everything that links two buses; a three-winding unit twice."""
    pairs = (
        ("line", (0, 1), grid.lines.from_bus, grid.lines.to_bus),
        ("transformer", (0, 1), grid.transformers.hv_bus, grid.transformers.lv_bus),
        ("transformer3w", (0, 1), grid.transformers3w.hv_bus, grid.transformers3w.mv_bus),
        ("transformer3w", (0, 2), grid.transformers3w.hv_bus, grid.transformers3w.lv_bus),
        ("branch", (0, 1), grid.branches.from_bus, grid.branches.to_bus),
    )
    for kind, ends, first, second in pairs:
        for row, buses in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
            yield kind, row, buses, ends


def main_level(grid: Grid) -> Flags:
    """Return the buses that the first picture shows, shape (bus,): above 1 kV, or all if there are few."""
    above = grid.buses.vn_kv > _LOW_VOLTAGE_KV
    few = np.count_nonzero(above) < max(3, 0.005 * len(above))
    return np.ones(len(above), dtype=bool) if few else np.asarray(above)


def site_graph(grid: Grid, shown: Flags) -> SiteGraph:
    """Return sites and links among the buses `shown`, shape (bus,)."""
    now = topology(grid)
    site_of_bus = _join(grid, shown)
    n_sites = int(site_of_bus.max(initial=-1)) + 1
    sites = [Site(buses=[]) for _ in range(n_sites)]
    for bus in np.flatnonzero(site_of_bus >= 0).tolist():
        sites[site_of_bus[bus]].buses.append(bus)
    for site in sites:
        site.is_spare = not now.is_energised[site.buses].any()
        site.buses.sort(key=lambda bus: (grid.buses.kind[bus] == "auxiliary", bus))
    links = [*_branch_links(grid, now, site_of_bus), *_switch_links(grid, site_of_bus)]
    for index, link in enumerate(links):
        for site_index in link.sites:
            sites[site_index].links.append(index)
        if link.kind.startswith("transformer"):
            sites[link.sites[1]].is_substation = True
    for bus in grid.sources.bus[grid.sources.in_service].tolist():
        if site_of_bus[bus] >= 0:
            sites[site_of_bus[bus]].is_source = True
    return SiteGraph(sites=sites, links=links, site_of_bus=site_of_bus)


def _join(grid: Grid, shown: Flags) -> Rows:
    """Number the sites: closed bus-bus switches join; open ones too if one side is a bare bar or auxiliary."""
    parent = list(range(len(grid.buses)))

    def find(bus: int) -> int:
        while parent[bus] != bus:
            parent[bus] = bus = parent[parent[bus]]
        return bus

    switches = grid.switches
    rows = np.flatnonzero((switches.element_kind == "bus") & switches.in_service)
    pairs = [(int(switches.bus[row]), int(switches.element[row]), row) for row in rows.tolist()]
    for first, second, row in pairs:
        if switches.closed[row]:
            parent[find(second)] = find(first)
    attached = [0] * len(parent)
    for bus, count in enumerate(_attached(grid).tolist()):
        attached[find(bus)] += count
    for first, second, row in pairs:
        auxiliary = "auxiliary" in (grid.buses.kind[first], grid.buses.kind[second])
        is_bare = not (attached[find(first)] and attached[find(second)])
        if not switches.closed[row] and (auxiliary or is_bare):
            attached[find(first)] += attached[find(second)]
            parent[find(second)] = find(first)
    numbers: dict[int, int] = {}
    site = np.full(len(parent), -1, dtype=np.int64)
    for bus in np.flatnonzero(shown).tolist():
        site[bus] = numbers.setdefault(find(bus), len(numbers))
    return site


def _attached(grid: Grid) -> Rows:
    """Count branch ends, sources and customers at each bus."""
    count = np.zeros(len(grid.buses), dtype=np.int64)
    for _, _, buses, _ in branch_ends(grid):
        count[list(buses)] += 1
    for table in (grid.sources, grid.loads, grid.generators, grid.storages):
        np.add.at(count, table.bus, 1)
    return count


def _branch_links(grid: Grid, now: Topology, site_of_bus: Rows) -> Iterator[SiteLink]:
    closed = {
        "line": now.line_closed,
        "transformer": now.transformer_closed,
        "transformer3w": now.transformer3w_closed,
        "branch": now.branch_closed,
    }
    at = _switches_at(grid)
    for kind, row, buses, ends in branch_ends(grid):
        sites = int(site_of_bus[buses[0]]), int(site_of_bus[buses[1]])
        if min(sites) < 0 or sites[0] == sites[1]:
            continue
        switches = tuple(
            (switch, side)
            for side, bus in enumerate(buses)
            for switch in at.get((kind, row, bus), ())
        )
        is_closed = bool(closed[kind][row, ends[0]] and closed[kind][row, ends[1]])
        yield SiteLink(kind=kind, row=row, sites=sites, switches=switches, is_closed=is_closed)


def _switches_at(grid: Grid) -> dict[tuple[str, int, int], list[int]]:
    at: dict[tuple[str, int, int], list[int]] = {}
    switches = grid.switches
    for row, key in enumerate(
        zip(
            switches.element_kind.tolist(),
            switches.element.tolist(),
            switches.bus.tolist(),
            strict=True,
        )
    ):
        at.setdefault(key, []).append(row)
    return at


def _switch_links(grid: Grid, site_of_bus: Rows) -> Iterator[SiteLink]:
    switches = grid.switches
    for row in np.flatnonzero(switches.element_kind == "bus").tolist():
        sites = int(site_of_bus[switches.bus[row]]), int(site_of_bus[switches.element[row]])
        if min(sites) >= 0 and sites[0] != sites[1]:
            yield SiteLink(
                kind="switch", row=row, sites=sites, switches=((row, 0),), is_closed=False
            )
