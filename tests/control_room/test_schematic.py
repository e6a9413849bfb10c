"""The schematic: everything is placed, nothing overlaps, and switching does not move it."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.control_room.district import district

from gridloom.control_room.schematic import Schematic, area_schematic, schematic
from gridloom.control_room.stations import branch_offsets
from gridloom.core.errors import UnknownId
from gridloom.grid.model import Buses, Grid, Lines, Sources, Switches


def tree_grid(parents: list[int], ties: list[tuple[int, int]] = []) -> Grid:  # noqa: B006 - read only
    """Return a grid whose bus i + 1 hangs on bus parents[i]; `ties` are lines that stand open."""
    n = len(parents) + 1
    pairs = [(parent, child + 1) for child, parent in enumerate(parents)] + ties
    return Grid(
        buses=Buses(id=[f"b{i}" for i in range(n)], vn_kv=[10.0] * n),
        lines=Lines(
            id=[f"l{i}" for i in range(len(pairs))],
            from_bus=[a for a, _ in pairs],
            to_bus=[b for _, b in pairs],
            r_ohm=[0.1] * len(pairs),
            x_ohm=[0.1] * len(pairs),
        ),
        switches=Switches(
            id=[f"s{i}" for i in range(len(ties))],
            bus=[a for a, _ in ties],
            element_kind=["line"] * len(ties),
            element=list(range(len(parents), len(pairs))),
            closed=[False] * len(ties),
        ),
        sources=Sources(id=["source"], bus=[0]),
    )


@st.composite
def trees(draw: st.DrawFn) -> Grid:
    """Draw a radial grid of up to 60 buses with up to 5 ties."""
    n = draw(st.integers(1, 60))
    parents = [draw(st.integers(max(0, i - draw(st.integers(0, 12))), i)) for i in range(n)]
    ends = st.integers(0, n)
    ties = draw(st.lists(st.tuples(ends, ends).filter(lambda pair: pair[0] != pair[1]), max_size=5))
    return tree_grid(parents, ties)


def assert_sound(picture: Schematic) -> None:
    """No two stations share a place, and no link runs through a station that it does not join."""
    places = [
        (station.x, row)
        for station in picture.stations
        for row in range(round(station.y), round(station.y_end) + 1)
    ]
    assert len(set(places)) == len(places)
    owner = dict(
        zip(
            places,
            (
                index
                for index, station in enumerate(picture.stations)
                for _ in range(round(station.y), round(station.y_end) + 1)
            ),
            strict=True,
        )
    )
    for link in picture.links:
        assert len(link.points) >= 2
        for (xa, ya), (xb, yb) in zip(link.points, link.points[1:], strict=False):
            assert xa == xb or ya == yb, "orthogonal"
            if ya == yb and float(ya).is_integer():
                low, high = sorted((xa, xb))
                inside = [x for x in range(int(np.ceil(low)), int(high) + 1) if (x, ya) in owner]
                assert {owner[(x, ya)] for x in inside} <= set(link.stations), link.id


@settings(max_examples=60, deadline=None)
@given(trees())
def test_any_radial_grid_is_placed_without_overlaps(grid: Grid) -> None:
    picture = schematic(grid)
    assert len(picture.stations) == len(grid.buses)
    assert len(picture.links) == len(grid.lines)
    assert_sound(picture)


def test_every_medium_voltage_bus_and_line_of_a_district_is_placed(grid: Grid) -> None:
    picture = schematic(grid)
    placed = {bus for station in picture.stations for bus in station.buses}
    assert placed == set(np.flatnonzero(grid.buses.vn_kv > 1).tolist())
    drawn = {link.id for link in picture.links if link.kind == "line"}
    assert drawn == {str(id_) for id_ in grid.lines.id if not id_.startswith("LV")}
    assert_sound(picture)


def test_areas_together_hold_every_low_voltage_bus_and_line_once(grid: Grid) -> None:
    picture = schematic(grid)
    buses = [
        bus for area in picture.areas for start, stop in area.buses for bus in range(start, stop)
    ]
    assert sorted(buses) == np.flatnonzero(grid.buses.vn_kv <= 1).tolist()
    lines = [
        row for area in picture.areas for start, stop in area.branches for row in range(start, stop)
    ]
    assert sorted(lines) == [row for row, id_ in enumerate(grid.lines.id) if id_.startswith("LV")]


def test_the_picture_comes_from_normal_positions_and_is_the_same_each_time(grid: Grid) -> None:
    first, second = msgspec.json.encode(schematic(grid)), msgspec.json.encode(schematic(grid))
    assert first == second


def test_ties_are_marked_and_neighbours_by_a_tie_stand_side_by_side() -> None:
    grid = tree_grid([0, 1, 0, 3, 0, 5], ties=[(2, 6)])
    picture = schematic(grid)
    rows = {station.id: station.y for station in picture.stations}
    assert [link.id for link in picture.links if link.is_tie] == ["l6"]
    assert abs(rows["b2"] - rows["b6"]) == 1


def test_an_open_line_switch_stands_at_its_own_end(grid: Grid) -> None:
    picture = schematic(grid)
    tie = next(link for link in picture.links if link.id == "tie 0")
    ends = {switch.id: (switch.end, switch.is_closed) for switch in tie.switches}
    assert ends == {"switch tie 0 a": (0, False), "switch tie 0 b": (1, True)}


def test_an_area_is_drawn_from_its_transformer_outward(grid: Grid) -> None:
    picture = area_schematic(grid, "MV-LV 2.3")
    assert {station.id for station in picture.stations} == {
        "MV 2.3",
        "LV 2.3 bar",
        *(f"LV 2.3 house {house}" for house in range(3)),
    }
    assert next(station for station in picture.stations if station.kind == "source").id == "MV 2.3"
    assert picture.n_branch == branch_offsets(grid)["end"]
    assert_sound(picture)


def test_an_unknown_area_is_named_with_near_ones(grid: Grid) -> None:
    with pytest.raises(UnknownId, match="MV-LV 2"):
        area_schematic(grid, "MV-LV 2.33")


def test_buses_joined_by_a_closed_switch_are_one_station_and_an_open_coupler_is_a_link() -> None:
    grid = tree_grid([0, 0, 1, 2])
    switches = Switches(
        id=["closed", "open"],
        bus=[0, 3],
        element_kind=["bus", "bus"],
        element=[1, 4],
        closed=[True, False],
    )
    picture = schematic(grid.with_tables(switches=switches))
    assert sorted(len(station.buses) for station in picture.stations) == [1, 1, 1, 2]
    assert [(link.kind, link.is_tie) for link in picture.links if link.row < 0] == [
        ("switch", True)
    ]


def test_parts_without_a_source_still_have_a_place() -> None:
    grid = tree_grid([0, 1, 2])
    lines = grid.lines.with_columns(in_service=[True, False, True])
    picture = schematic(grid.with_tables(lines=lines))
    assert len(picture.stations) == 4
    assert [station.is_spare for station in picture.stations] == [False, False, True, True]
    assert_sound(picture)


def test_a_line_of_2000_stations_is_placed() -> None:
    picture = schematic(tree_grid(list(range(2000))))
    assert picture.width == 2001
    assert picture.height == 1


def test_labels_lose_the_words_that_all_share_and_keep_whole_numbers() -> None:
    labels = {station.label for station in schematic(district(2, 12)).stations}
    assert {"0.1", "0.10", "0.11"} <= labels


def test_a_held_voltage_is_no_limit() -> None:
    grid = tree_grid([0, 1])
    buses = grid.buses.with_columns(v_min_pu=[1.0, 0.95, 0.9], v_max_pu=[1.0, 1.05, 1.1])
    picture = schematic(grid.with_tables(buses=buses))
    bands = [(station.v_min_pu, station.v_max_pu) for station in picture.stations]
    assert bands == [(0.9, 1.1), (0.95, 1.05), (0.9, 1.1)]
