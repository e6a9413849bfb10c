"""The grid as operators see it: sections between remote switches, and who feeds whom.

A section is everything that no remote switch can take apart: a line between its two switches, a busbar, a bus
with the low-voltage grid behind it. Remote switches are the edges of the section graph. A fault is isolated by
opening every closed edge of its section; supply is restored by closing edges. So the same code works wherever
the switches stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from gridloom.grid.topology import ENDS
from gridloom.grid.topology_kernel import group

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags, Rows


@dataclass(frozen=True, slots=True)
class Edge:
    """A remote switch between two sections."""

    switch: int
    """Row in switches."""
    a: int
    """Section on the side of the switch's bus."""
    b: int
    """Section on the other side."""
    is_breaker: bool

    def other(self, section: int) -> int:
        """Return the section at the other end."""
        return self.b if section == self.a else self.a


@dataclass(frozen=True, kw_only=True, eq=False)
class Sections:
    """The section graph of a grid; it does not change while remote switches move."""

    n: int
    of_bus: Rows
    """Section of each bus, shape (bus,); -1 out of service."""
    of_element: dict[str, Rows]
    """Section of each line, transformer, ..., shape (element,); -1 out of service."""
    edges: tuple[Edge, ...]
    edge_of_switch: dict[int, int]
    at: tuple[tuple[int, ...], ...]
    """Edges at each section."""
    has_source: Flags
    """Shape (section,)."""
    customers: Rows
    """Customers in each section, shape (section,)."""
    has_demand: Flags
    """Whether anything consumes or injects in a section, shape (section,)."""

    @classmethod
    def of(cls, grid: Grid, positions: Flags) -> Sections:
        """Cut `grid` at its remote switches; the others stay at `positions`, shape (switch,)."""
        return _cut(grid, positions)

    @cached_property
    def lines_of(self) -> tuple[tuple[int, ...], ...]:
        """Rows of the lines in each section."""
        found: list[list[int]] = [[] for _ in range(self.n)]
        for row, section in enumerate(self.of_element["line"].tolist()):
            if section >= 0:
                found[section].append(row)
        return tuple(tuple(rows) for rows in found)

    def feeding(self, positions: Flags) -> Feeding:
        """Return who feeds whom at `positions`, shape (switch,)."""
        return Feeding.of(self, positions)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feeding:
    """The section graph at one set of positions, searched from the sources."""

    parent_edge: list[int]
    """Edge towards the source, shape (section,); -1 at a source, -2 where dead."""
    order: list[int]
    """Live sections, sources first."""
    extra: tuple[int, ...]
    """Closed edges that close a loop or join two sources."""

    @classmethod
    def of(cls, sections: Sections, positions: Flags) -> Self:
        """Search outwards from every source over the closed edges."""
        closed = positions.tolist()
        parent = [-2] * sections.n
        order = np.flatnonzero(sections.has_source).tolist()
        for section in order:
            parent[section] = -1
        extra: set[int] = set()
        for section in order:
            came_by = parent[section]
            for number in sections.at[section]:
                edge = sections.edges[number]
                if number == came_by or not closed[edge.switch]:
                    continue
                other = edge.other(section)
                if parent[other] == -2:
                    parent[other] = number
                    order.append(other)
                elif parent[other] != number:
                    extra.add(number)
        return cls(parent_edge=parent, order=order, extra=tuple(sorted(extra)))

    def is_live(self, section: int) -> bool:
        """Return whether a section reaches a source."""
        return self.parent_edge[section] != -2

    def live(self) -> set[int]:
        """Return all sections that reach a source."""
        return set(self.order)

    def breaker_above(self, sections: Sections, section: int) -> int | None:
        """Return the edge of the nearest breaker between a section and its source, if there is one."""
        number = self.parent_edge[section]
        while number >= 0:
            edge = sections.edges[number]
            if edge.is_breaker:
                return number
            section = self.upstream(sections, section)
            number = self.parent_edge[section]
        return None

    def upstream(self, sections: Sections, section: int) -> int:
        """Return the section that feeds `section`."""
        return sections.edges[self.parent_edge[section]].other(section)

    def path_up(self, sections: Sections, section: int) -> list[int]:
        """Return the sections from `section` to its source, both included."""
        path = [section]
        while self.parent_edge[section] >= 0:
            section = self.upstream(sections, section)
            path.append(section)
        return path


def reach(sections: Sections, start: int, closed: list[bool], without: set[int]) -> set[int]:
    """Return the sections joined to `start` over closed edges, never entering those in `without`."""
    found, open_ends = {start}, [start]
    while open_ends:
        section = open_ends.pop()
        for number in sections.at[section]:
            edge = sections.edges[number]
            other = edge.other(section)
            if closed[edge.switch] and other not in found and other not in without:
                found.add(other)
                open_ends.append(other)
    return found


def _cut(grid: Grid, positions: Flags) -> Sections:
    """Give every bus and element a number, join what nothing separates, and read off the edges."""
    first, n_items = _numbering(grid)
    joins, cuts, used = _ends(grid, positions, first)
    n_items += len(used) - n_items
    pairs = np.array(joins, dtype=np.int64).reshape(-1, 2)
    label, n = group(used, np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))
    edges = tuple(
        Edge(switch, int(label[a]), int(label[b]), bool(grid.switches.kind[switch] == "breaker"))
        for switch, a, b in cuts
        if label[a] >= 0 and label[b] >= 0
    )
    at: list[list[int]] = [[] for _ in range(n)]
    for number, edge in enumerate(edges):
        at[edge.a].append(number)
        if edge.b != edge.a:
            at[edge.b].append(number)
    of_bus = label[: len(grid.buses)]
    has_source, customers, has_demand = _contents(grid, of_bus, n)
    return Sections(
        n=n,
        of_bus=of_bus,
        of_element={
            kind: label[first[kind] : first[kind] + len(getattr(grid, ENDS[kind][0]))]
            for kind in ENDS
        },
        edges=edges,
        edge_of_switch={edge.switch: number for number, edge in enumerate(edges)},
        at=tuple(tuple(numbers) for numbers in at),
        has_source=has_source,
        customers=customers,
        has_demand=has_demand,
    )


def _numbering(grid: Grid) -> tuple[dict[str, int], int]:
    first, count = {}, len(grid.buses)
    for kind, (table, _) in ENDS.items():
        first[kind] = count
        count += len(getattr(grid, table))
    return first, count


def _standing(grid: Grid) -> dict[tuple[str, int, int], list[int]]:
    """Return the rows of the switches by kind, element and bus where they stand."""
    switches = grid.switches
    found: dict[tuple[str, int, int], list[int]] = {}
    rows = zip(switches.element_kind, switches.element.tolist(), switches.bus.tolist(), strict=True)
    for row, place in enumerate(rows):
        found.setdefault(place, []).append(row)
    return found


def _movable(grid: Grid, positions: Flags, at: list[int]) -> list[int] | None:
    """Return the remote switches among those in series at one end; None if another one interrupts it."""
    switches = grid.switches
    for row in at:
        if not switches.in_service[row] or not (switches.is_remote[row] or positions[row]):
            return None
    return [row for row in at if switches.is_remote[row]]


def _ends(
    grid: Grid, positions: Flags, first: dict[str, int]
) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]], Flags]:
    """Walk over every element end; several switches in series get items of their own in between."""
    standing = _standing(grid)
    used = [grid.buses.in_service]
    joins: list[tuple[int, int]] = []
    cuts: list[tuple[int, int, int]] = []
    ends: list[tuple[int, int, list[int]]] = []
    for kind, (name, columns) in ENDS.items():
        table = getattr(grid, name)
        used.append(table.in_service)
        for column in columns:
            for element, bus in enumerate(getattr(table, column).tolist()):
                ends.append((bus, first[kind] + element, standing.get((kind, element, bus), [])))
    for (kind, other, bus), at in standing.items():
        if kind == "bus":
            # Switches between the same two buses stand beside each other, not in series.
            ends.extend((bus, other, [row]) for row in at)
    n_items = sum(len(part) for part in used)
    for bus, item, at in ends:
        movable = _movable(grid, positions, at)
        if movable is None:
            continue
        here = bus
        for row in movable[:-1]:
            cuts.append((row, here, n_items))
            here, n_items = n_items, n_items + 1
        if movable:
            cuts.append((movable[-1], here, item))
        else:
            joins.append((here, item))
    flags = np.concatenate(used)
    return joins, cuts, np.append(flags, np.ones(n_items - len(flags), dtype=np.bool_))


def _contents(grid: Grid, of_bus: Rows, n: int) -> tuple[Flags, Rows, Flags]:
    has_source = np.zeros(n, dtype=np.bool_)
    at_source = of_bus[grid.sources.bus[grid.sources.in_service]]
    has_source[at_source[at_source >= 0]] = True
    customers = np.zeros(n, dtype=np.int64)
    section = of_bus[grid.loads.bus]
    served = (section >= 0) & grid.loads.in_service
    np.add.at(customers, section[served], grid.loads.customers[served])
    has_demand = np.zeros(n, dtype=np.bool_)
    for table in (grid.loads, grid.generators, grid.storages, grid.shunts):
        at = of_bus[table.bus[table.in_service]]
        has_demand[at[at >= 0]] = True
    return has_source, customers, has_demand
