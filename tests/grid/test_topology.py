"""The topology processor against a plain search, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from tests.grid.grids import district, wired_grid

from gridloom.core.errors import BadInput
from gridloom.grid import Grid, Switches
from gridloom.grid.topology import topology


def reached(start: int, pairs: list[tuple[int, int]]) -> set[int]:
    """Return what a search from `start` finds, edge by edge."""
    found, grew = {start}, True
    while grew:
        more = {b for a, b in pairs if a in found} | {a for a, b in pairs if b in found}
        grew = not more <= found
        found |= more
    return found


def closed_couplers(grid: Grid) -> list[tuple[int, int]]:
    s = grid.switches
    return [
        (int(s.bus[i]), int(s.element[i]))
        for i in range(len(s))
        if s.element_kind[i] == "bus"
        and s.closed[i]
        and s.in_service[i]
        and grid.buses.in_service[[s.bus[i], s.element[i]]].all()
    ]


def closed_lines(grid: Grid) -> list[tuple[int, int]]:
    s, lines = grid.switches, grid.lines
    cut = {
        int(s.element[i])
        for i in range(len(s))
        if s.element_kind[i] == "line" and not (s.closed[i] and s.in_service[i])
    }
    return [
        (int(lines.from_bus[i]), int(lines.to_bus[i]))
        for i in range(len(lines))
        if lines.in_service[i]
        and i not in cut
        and grid.buses.in_service[[lines.from_bus[i], lines.to_bus[i]]].all()
    ]


@given(wired_grid())
def test_nodes_are_what_closed_couplers_join(grid: Grid) -> None:
    node = topology(grid).node_of_bus
    pairs = closed_couplers(grid)
    for bus in range(len(grid.buses)):
        if not grid.buses.in_service[bus]:
            assert node[bus] == -1
            continue
        assert set(np.flatnonzero(node == node[bus]).tolist()) == reached(bus, pairs)


@given(wired_grid())
def test_energised_is_what_the_source_reaches(grid: Grid) -> None:
    source = int(grid.sources.bus[0])
    live = set(np.flatnonzero(topology(grid).is_energised).tolist())
    pairs = closed_couplers(grid) + closed_lines(grid)
    assert live == (reached(source, pairs) if grid.buses.in_service[source] else set())


@given(wired_grid())
def test_islands_part_what_nothing_joins(grid: Grid) -> None:
    at = topology(grid)
    pairs = closed_couplers(grid) + closed_lines(grid)
    for bus in np.flatnonzero(grid.buses.in_service).tolist():
        island = at.island_of_node[at.node_of_bus[bus]]
        others = np.flatnonzero(at.node_of_bus >= 0)
        same = others[at.island_of_node[at.node_of_bus[others]] == island]
        assert set(same.tolist()) == reached(bus, pairs)


def test_an_open_switch_opens_its_own_end_only() -> None:
    at = topology(district())
    assert at.line_closed.tolist() == [[True, True], [True, True], [True, True], [True, False]]


def test_moving_switches_keeps_the_wiring() -> None:
    grid = district()
    moved = grid.with_switches(open=["CB A"])
    assert moved.wiring is grid.wiring
    assert topology(grid).is_energised.all()
    dead = {"a1", "a2", "lv"}
    assert {
        id_
        for id_, live in zip(grid.buses.id, topology(moved).is_energised, strict=True)
        if not live
    } == dead
    assert topology(moved.with_switches(closed=["tie"])).is_energised.all()


def test_a_bus_out_of_service_opens_what_ends_there() -> None:
    grid = district()
    out = grid.with_tables(
        buses=grid.buses.with_columns(in_service=[True] * 3 + [False] + [True] * 3)
    )
    at = topology(out)
    assert at.node_of_bus[3] == -1
    assert at.line_closed[0].tolist() == [True, False]
    assert not at.is_energised[[3, 4, 6]].any()


def test_a_switch_away_from_its_line_is_refused_by_name() -> None:
    grid = district()
    astray = grid.switches.with_columns(bus=[1, 1, 2, 3, 0])
    with pytest.raises(
        BadInput, match=r"switch 'tie' stands at bus 'hv', which is not an end of line 'a2-b1'"
    ):
        topology(grid.with_tables(switches=astray))


def test_a_reference_beyond_its_table_is_refused_by_name() -> None:
    grid = district()
    lines = grid.lines.with_columns(to_bus=[3, 4, 5, 99])
    with pytest.raises(BadInput, match="'a2-b1': to_bus row 99 is not among the 7"):
        topology(grid.with_tables(lines=lines, switches=Switches.empty()))
