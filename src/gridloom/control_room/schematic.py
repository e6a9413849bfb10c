"""The feeder schematic: what stands where, which line runs how, and which byte of the feed colours it.

The picture is laid out from the normal switch positions and never moves while switches do. Low-voltage areas are
one symbol at their substation; `area_schematic` draws one of them on its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from gridloom.control_room.placement import Block, place, spanning_tree
from gridloom.control_room.routes import Point, route_links
from gridloom.control_room.stations import (
    Site,
    SiteGraph,
    SiteLink,
    branch_ends,
    branch_offsets,
    main_level,
    site_graph,
)
from gridloom.core.errors import UnknownId
from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags, Rows
from gridloom.grid.topology import topology

_NARROWEST_BAND_PU = 0.01
_USUAL_BAND_PU = (0.9, 1.1)


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol: buses joined inside one site."""

    id: str
    """Id of its first bus."""
    label: str
    kind: str
    """`source`, `substation`, `station` (with customers or an area) or `node`."""
    vn_kv: float
    x: float
    """Column."""
    y: float
    """Row."""
    y_end: float
    """Last row that its bar spans; the same as `y` for a point."""
    buses: tuple[int, ...]
    """Positions among the feed's buses."""
    v_min_pu: float
    v_max_pu: float
    is_spare: bool = False
    """Whether it is dead at normal switch positions, so that being dead is no news."""
    area: int = -1
    """Index of the low-voltage area below it."""


class LinkSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """A switch drawn on a link."""

    id: str
    row: int
    """Position among the feed's switches."""
    end: int
    """0 at the first station of the link, 1 at the second."""
    is_closed: bool
    """Normal position."""
    is_remote: bool
    is_breaker: bool


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One line, transformer, branch or tie switch between two stations."""

    id: str
    kind: str
    row: int
    """Position among the feed's branches, -1 for a switch."""
    stations: tuple[int, int]
    points: tuple[Point, ...]
    """Corners of its way from the first station to the second, in columns and rows."""
    is_tie: bool
    """Whether it is open at normal switch positions."""
    switches: tuple[LinkSwitch, ...]


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """A low-voltage area, collapsed to the worst of its values."""

    id: str
    """Id of the transformer that feeds it normally."""
    station: int
    transformers: tuple[int, ...]
    """Positions among the feed's branches."""
    buses: tuple[tuple[int, int], ...]
    """Ranges [start, stop) of positions among the feed's buses."""
    branches: tuple[tuple[int, int], ...]
    """Ranges among the feed's branches."""
    v_min_pu: float
    v_max_pu: float


class Schematic(msgspec.Struct, frozen=True, kw_only=True):
    """A picture in columns and rows."""

    grid: str
    title: str
    n_bus: int
    n_branch: int
    n_switch: int
    width: float
    height: float
    stations: tuple[Station, ...]
    links: tuple[Link, ...]
    areas: tuple[Area, ...] = ()


def schematic(grid: Grid) -> Schematic:
    """Return the first picture of `grid`: every station above low voltage, areas as symbols."""
    shown = main_level(grid)
    graph = site_graph(grid, shown)
    areas = _areas(grid, shown, graph)
    return _draw(grid, graph, areas, grid.name)


def area_schematic(grid: Grid, transformer_id: str) -> Schematic:
    """Return the picture of the low-voltage area fed by a transformer.

    Raises:
        UnknownId: If no area is fed by such a transformer.
    """
    shown = main_level(grid)
    graph = site_graph(grid, shown)
    areas = {area.id: area for area in _areas(grid, shown, graph)}
    if transformer_id not in areas:
        raise UnknownId("low-voltage area", transformer_id, areas)
    area = areas[transformer_id]
    inside = np.zeros(len(grid.buses), dtype=bool)
    for start, stop in area.buses:
        inside[start:stop] = True
    starts = branch_offsets(grid)
    for position in area.transformers:
        kind, row = _branch_at(starts, position)
        inside[_buses_of(grid, kind, row)] = True
    local = site_graph(grid, inside)
    for site in local.sites:
        site.is_source = any(shown[bus] for bus in site.buses)
    return _draw(grid, local, (), transformer_id)


def _draw(grid: Grid, graph: SiteGraph, areas: tuple[Area, ...], title: str) -> Schematic:
    tree = spanning_tree(graph)
    block = place(graph, tree)
    routes = route_links(graph, tree, block)
    area_of = {area.station: index for index, area in reversed(list(enumerate(areas)))}
    labels = _labels([str(grid.buses.id[site.buses[0]]) for site in graph.sites])
    starts = branch_offsets(grid)
    return Schematic(
        grid=grid.name,
        title=title,
        n_bus=len(grid.buses),
        n_branch=starts["end"],
        n_switch=len(grid.switches),
        width=1.0
        + max(
            (x for route in routes for x, _ in route),
            default=max((x for x, _ in block.at.values()), default=0),
        ),
        height=1.0 + block.last_row,
        stations=tuple(
            _station(grid, site, index, block, labels[index], area_of.get(index, -1))
            for index, site in enumerate(graph.sites)
        ),
        links=tuple(
            _link(grid, link, route, starts)
            for link, route in zip(graph.links, routes, strict=True)
        ),
        areas=areas,
    )


def _station(grid: Grid, site: Site, index: int, block: Block, label: str, area: int) -> Station:
    x, y = block.at[index]
    first, last = block.spans.get(index, (y, y))
    has_customers = area >= 0 or bool(np.isin(grid.loads.bus, site.buses).any())
    plain = "station" if has_customers else "node"
    v_min_pu, v_max_pu = _band(grid, site)
    return Station(
        id=str(grid.buses.id[site.buses[0]]),
        label=label,
        kind="source" if site.is_source else "substation" if site.is_substation else plain,
        vn_kv=float(grid.buses.vn_kv[site.buses[0]]),
        x=x,
        y=first,
        y_end=last,
        buses=tuple(site.buses),
        v_min_pu=v_min_pu,
        v_max_pu=v_max_pu,
        is_spare=site.is_spare,
        area=area,
    )


def _band(grid: Grid, site: Site) -> tuple[float, float]:
    """Return the voltages that all buses of a site allow [pu]."""
    low = float(np.max(grid.buses.v_min_pu[site.buses]))
    high = float(np.min(grid.buses.v_max_pu[site.buses]))
    # Test cases write a held voltage as a band without width; that is a set point and no limit.
    return (low, high) if high - low >= _NARROWEST_BAND_PU else _USUAL_BAND_PU


def _link(grid: Grid, link: SiteLink, route: tuple[Point, ...], starts: dict[str, int]) -> Link:
    table = {
        "line": grid.lines,
        "transformer": grid.transformers,
        "transformer3w": grid.transformers3w,
        "branch": grid.branches,
        "switch": grid.switches,
    }[link.kind]
    switches = grid.switches
    return Link(
        id=str(table.id[link.row]),
        kind=link.kind,
        row=-1 if link.kind == "switch" else starts[link.kind] + link.row,
        stations=link.sites,
        points=route,
        is_tie=not link.is_closed,
        switches=tuple(
            LinkSwitch(
                id=str(switches.id[row]),
                row=row,
                end=end,
                is_closed=bool(switches.closed[row]),
                is_remote=bool(switches.is_remote[row]),
                is_breaker=bool(switches.kind[row] == "breaker"),
            )
            for row, end in link.switches
        ),
    )


def _areas(grid: Grid, shown: Flags, graph: SiteGraph) -> tuple[Area, ...]:
    """Return the parts of the grid below the picture, one an island without the levels above it."""
    if shown.all():
        return ()
    starts = branch_offsets(grid)
    part = _parts_below(grid, shown)
    feeders: dict[int, list[tuple[int, int]]] = {}
    inside: dict[int, list[int]] = {}
    for kind, row, (first, second), _ in branch_ends(grid):
        position = starts[kind] + row
        if shown[first] != shown[second]:
            upper, lower = (first, second) if shown[first] else (second, first)
            feeders.setdefault(int(part[lower]), []).append((position, upper))
        elif not shown[first] and part[first] >= 0:
            inside.setdefault(int(part[first]), []).append(position)
    names = _branch_ids(grid)
    return tuple(
        Area(
            id=names[feeders[number][0][0]],
            station=int(graph.site_of_bus[feeders[number][0][1]]),
            transformers=tuple(position for position, _ in feeders[number]),
            buses=_ranges(np.flatnonzero(part == number).tolist()),
            branches=_ranges(sorted(inside.get(number, []))),
            v_min_pu=float(np.max(grid.buses.v_min_pu[part == number])),
            v_max_pu=float(np.min(grid.buses.v_max_pu[part == number])),
        )
        for number in sorted(feeders)
        if number >= 0
    )


def _parts_below(grid: Grid, shown: Flags) -> Rows:
    """Number the islands that remain of the lower levels when the picture's buses are taken away."""
    in_service = np.asarray(grid.buses.in_service) & ~shown
    below = grid.with_tables(buses=grid.buses.with_columns(in_service=in_service))
    now = topology(below)
    part = np.full(len(grid.buses), -1, dtype=np.int64)
    used = now.node_of_bus >= 0
    part[used] = now.island_of_node[now.node_of_bus[used]]
    return part


def _branch_ids(grid: Grid) -> list[str]:
    tables = (grid.lines, grid.transformers, grid.transformers3w, grid.branches)
    return [str(id_) for table in tables for id_ in table.id.tolist()]


def _branch_at(starts: dict[str, int], position: int) -> tuple[str, int]:
    kind = max(
        (kind for kind in starts if starts[kind] <= position and kind != "end"),
        key=lambda kind: (starts[kind], list(starts).index(kind)),
    )
    return kind, position - starts[kind]


def _buses_of(grid: Grid, kind: str, row: int) -> list[int]:
    return sorted(
        {bus for k, r, buses, _ in branch_ends(grid) if (k, r) == (kind, row) for bus in buses}
    )


def _ranges(rows: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return sorted `rows` as half-open ranges."""
    ranges: list[tuple[int, int]] = []
    for row in rows:
        if ranges and ranges[-1][1] == row:
            ranges[-1] = (ranges[-1][0], row + 1)
        else:
            ranges.append((row, row + 1))
    return tuple(ranges)


def _labels(ids: list[str]) -> list[str]:
    """Return ids without the words that most of them start with."""
    middle = sorted(ids)[len(ids) // 10 : len(ids) - len(ids) // 10]
    if len(middle) < 2:
        return ids
    pairs = enumerate(zip(middle[0], middle[-1], strict=False))
    prefix = middle[0][: next((at for at, (a, b) in pairs if a != b), 0)]
    return [_without(prefix, id_) for id_ in ids]


def _without(prefix: str, id_: str) -> str:
    """Return `id_` without what it shares with `prefix`, by whole words: `Bus 11` loses `Bus `, not `Bus 1`."""
    pairs = enumerate(zip(prefix, id_, strict=False))
    shared = id_[: next((at for at, (a, b) in pairs if a != b), min(len(prefix), len(id_)))]
    words = max(shared.rfind(mark) for mark in " ._-/") + 1
    return id_[words:] or id_
