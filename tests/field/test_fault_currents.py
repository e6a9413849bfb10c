"""Where fault current flows and who has to clear it."""

import numpy as np
import pytest

from gridloom.field.fault_currents import FaultCurrents, FaultPlace, fault_currents
from gridloom.field.fault_network import connect
from gridloom.grid import Grid, Table

BREAKERS = ("A1@bb", "B1@bb")


def fault(
    grid: Grid,
    line: str,
    *,
    fraction: float = 0.5,
    closed: tuple[str, ...] = (),
    opened=(),
    failed=(),
) -> FaultCurrents | None:
    positions = np.array(grid.switches.closed)
    positions[grid.switches.rows(closed)] = True
    positions[grid.switches.rows(opened)] = False
    relayed = grid.switches.rows(BREAKERS)
    pickup_ka = np.full(len(grid.switches), np.inf)
    pickup_ka[relayed] = 0.4
    network = connect(grid, positions, relayed, np.zeros(len(grid.lines), dtype=bool))
    place = FaultPlace(line=grid.lines.row(line), fraction=fraction)
    failed_rows = frozenset(grid.switches.rows(failed).tolist())
    return fault_currents(network, place, pickup_ka, failed_rows)


def seen(grid: Grid, currents: FaultCurrents) -> set[tuple[str, int]]:
    lines, sides = np.nonzero(currents.line_ka > 0.1)
    return {
        (str(grid.lines.id[line]), side)
        for line, side in zip(lines.tolist(), sides.tolist(), strict=True)
    }


def tripped(grid: Grid, currents: FaultCurrents) -> list[str]:
    return [str(grid.switches.id[row]) for row in currents.trips]


def test_current_flows_on_the_way_from_the_source_to_the_fault_and_nowhere_else(
    district: Grid,
) -> None:
    currents = fault(district, "A3")
    assert currents is not None
    assert seen(district, currents) == {("A1", 0), ("A1", 1), ("A2", 0), ("A2", 1), ("A3", 0)}
    assert tripped(district, currents) == ["A1@bb"]


def test_bolted_fault_current_equals_source_voltage_over_the_impedance_of_the_way(
    district: Grid,
) -> None:
    currents = fault(district, "A2", fraction=0.25)
    assert currents is not None
    z_base = 20.0**2
    z_line = (0.3 + 0.25j) * 1.25 / z_base
    r = 0.004 / 25.0
    z_transformer = r + 1j * np.sqrt((0.12 / 25.0) ** 2 - r**2)
    z_source = (0.1 + 1j) / np.sqrt(1.01) / 2000.0
    expected_ka = 1.0 / abs(z_line + z_transformer + z_source) / (np.sqrt(3.0) * 20.0)
    assert currents.total_ka == pytest.approx(expected_ka, rel=2e-3)


def test_in_a_closed_ring_both_feeders_carry_current_and_both_breakers_trip(
    district: Grid,
) -> None:
    currents = fault(district, "A3", closed=("T@a3",))
    assert currents is not None
    assert tripped(district, currents) == ["A1@bb", "B1@bb"]
    assert {("A3", 0), ("A3", 1), ("T", 0), ("B2", 0)} <= seen(district, currents)
    ends_ka = currents.line_ka[district.lines.row("A3")]
    assert ends_ka[0] > ends_ka[1] > 0.0


def test_a_fault_behind_open_switches_carries_nothing(district: Grid) -> None:
    assert fault(district, "A3", opened=("A3@a2",)) is None
    assert fault(district, "A3", opened=("A1@bb",)) is None


def test_a_fed_line_with_one_open_end_is_fed_from_the_other(district: Grid) -> None:
    currents = fault(district, "T")
    assert currents is not None
    assert tripped(district, currents) == ["B1@bb"]
    assert ("T", 1) in seen(district, currents)
    assert ("T", 0) not in seen(district, currents)


def test_behind_a_failed_breaker_nobody_is_left_in_this_district(district: Grid) -> None:
    currents = fault(district, "A2", failed=("A1@bb",))
    assert currents is not None
    assert currents.trips == ()


def test_low_voltage_fault_melts_the_fuse_at_the_transformer(district: Grid) -> None:
    currents = fault(district, "L2")
    assert currents is not None
    assert currents.trips == ()
    assert currents.fuses == ((district.lines.row("L1"), 0),)


def test_low_voltage_fault_on_the_first_line_melts_its_own_fuse(district: Grid) -> None:
    currents = fault(district, "L1")
    assert currents is not None
    assert currents.fuses == ((district.lines.row("L1"), 0),)


def with_row(table: Table, **row: object) -> Table:
    """Return a table with one more row: a copy of its first, changed as told."""
    columns = {name: getattr(table, name).tolist() for name in table.column_names()}
    return type(table)(
        **{name: [*column, row.get(name, column[0])] for name, column in columns.items()}
    )


def coupled(district: Grid) -> Grid:
    """Return the district with feeder B on a second busbar behind a coupling breaker."""
    bar, second = district.buses.row("bb"), len(district.buses)
    coupler = {"id": "coupler", "bus": bar, "element_kind": "bus", "element": second}
    switches = with_row(district.switches, kind="breaker", closed=True, **coupler)
    bus, from_bus = np.array(switches.bus), np.array(district.lines.from_bus)
    bus[switches.row("B1@bb")] = from_bus[district.lines.row("B1")] = second
    return district.with_tables(
        buses=with_row(district.buses, id="bb2", vn_kv=20.0),
        switches=switches.with_columns(bus=bus),
        lines=district.lines.with_columns(from_bus=from_bus),
    )


def test_a_coupling_breaker_between_buses_carries_its_share(district: Grid) -> None:
    grid = coupled(district)
    relayed = grid.switches.rows(("A1@bb", "B1@bb", "coupler"))
    pickup_ka = np.full(len(grid.switches), np.inf)
    pickup_ka[relayed] = 0.4
    network = connect(grid, grid.switches.closed, relayed, np.zeros(len(grid.lines), dtype=bool))
    place = FaultPlace(line=grid.lines.row("B2"), fraction=0.5)
    currents = fault_currents(network, place, pickup_ka)
    assert currents is not None
    assert tripped(grid, currents) == ["B1@bb"]
    coupler = int(grid.switches.row("coupler"))
    assert currents.breaker_ka[coupler] == pytest.approx(currents.total_ka, rel=1e-3)
    behind = fault_currents(network, place, pickup_ka, frozenset([int(grid.switches.row("B1@bb"))]))
    assert behind is not None
    assert tripped(grid, behind) == ["coupler"]


def test_a_three_winding_transformer_feeds_through_its_star(district: Grid) -> None:
    from gridloom.grid import Switches, Transformers3w

    unit = Transformers3w(
        id=["T3"],
        hv_bus=[district.buses.row("hv")],
        mv_bus=[district.buses.row("bb")],
        lv_bus=[district.buses.row("b3")],
        sn_hv_mva=[25.0],
        sn_mv_mva=[25.0],
        sn_lv_mva=[10.0],
        vn_hv_kv=[110.0],
        vn_mv_kv=[20.0],
        vn_lv_kv=[20.0],
        vk_hv_pct=[12.0],
        vk_mv_pct=[8.0],
        vk_lv_pct=[10.0],
        vkr_hv_pct=[0.0],
        vkr_mv_pct=[0.0],
        vkr_lv_pct=[0.0],
    )
    grid = district.with_tables(
        transformers3w=unit,
        transformers=district.transformers.with_columns(in_service=[False, True]),
        switches=Switches.empty(),
        lines=district.lines.with_columns(in_service=np.arange(len(district.lines)) == 0),
    )
    none = np.zeros(0, dtype=np.int64)
    network = connect(grid, np.zeros(0, dtype=bool), none, np.zeros(len(grid.lines), dtype=bool))
    currents = fault_currents(network, FaultPlace(line=0, fraction=0.001), np.zeros(0))
    assert currents is not None
    z = 0.12 / 25.0 * 1j + (0.1 + 1j) / np.sqrt(1.01) / 2000.0 + 1e-3 * (0.3 + 0.25j) / 400.0
    assert currents.total_ka == pytest.approx(1.0 / abs(z) / np.sqrt(3.0) / 20.0, rel=1e-3)


@pytest.mark.parametrize("closed", [(), ("T@a3",)], ids=["radial", "ring"])
@pytest.mark.parametrize("line", ["A1", "A3", "B2"])
def test_currents_agree_with_power_grid_model(district: Grid, line, closed) -> None:
    from gridloom.physics.short_circuit import short_circuit

    grid = district.with_switches(closed=closed)
    peer = short_circuit(grid, line=line, share=0.3, case="min")  # its voltage factor is 1 here
    currents = fault(grid, line, fraction=0.3, closed=closed)
    assert currents is not None
    high = grid.buses.vn_kv[grid.lines.from_bus] > 1.0
    assert currents.total_ka == pytest.approx(peer.fault_ka, rel=1e-3)
    np.testing.assert_allclose(currents.line_ka[high, 0], peer.line_from_ka[high], atol=5e-3)
    np.testing.assert_allclose(currents.line_ka[high, 1], peer.line_to_ka[high], atol=5e-3)
