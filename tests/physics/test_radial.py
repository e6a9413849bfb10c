"""The radial solver against exact solutions, the reference engine, and the laws that any flow obeys."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.physics.grids import (
    district,
    random_radial,
    two_buses,
    with_load_factor,
    with_switches_everywhere,
)

from gridloom.core.errors import BadInput
from gridloom.grid.model import Grid, Lines, Sources, Switches
from gridloom.physics import NotRadial, OperatingPoint, RadialSolver, powerflow

SEEDS = st.integers(0, 10_000)


def test_two_buses_agree_with_the_quadratic_solution():
    p, q, r, x = 1.0, 0.5, 0.01, 0.02
    # |V|^4 + (2 (P R + Q X) - 1) |V|^2 + |S|^2 |Z|^2 = 0
    half = (1 - 2 * (p * r + q * x)) / 2
    exact = np.sqrt(half + np.sqrt(half**2 - (p**2 + q**2) * (r**2 + x**2)))
    assert powerflow(two_buses(), engine="radial").v_pu[1] == pytest.approx(exact, abs=1e-10)


def test_district_with_one_of_everything_agrees_with_the_reference_engine():
    ours, theirs = powerflow(district(), engine="radial"), powerflow(district(), engine="pgm")
    np.testing.assert_allclose(ours.v, theirs.v, atol=1e-9)
    np.testing.assert_allclose(ours.power, theirs.power, atol=1e-6)
    assert ours.loss_kw == pytest.approx(theirs.loss_kw, rel=1e-8)


def test_dead_parts_have_no_voltage_and_no_flow():
    grid = district()
    result = powerflow(grid, engine="radial")
    dead = {grid.buses.id[k] for k in np.flatnonzero(~result.is_energised)}
    assert dead == {"end1", "end2", "dead"}
    row = grid.lines.row("dead")
    assert result.line_flow.p_from_mw[row] == 0.0
    assert result.line_flow.i_to_ka[row] == 0.0


def test_line_open_at_one_end_still_charges():
    grid = district()
    flow = powerflow(grid, engine="radial").line_flow
    row = grid.lines.row("open at to")
    assert flow.q_from_mvar[row] < 0.0
    assert flow.i_to_ka[row] == 0.0


def test_loop_is_refused_with_its_elements():
    grid = district()
    lines = grid.lines
    columns = {
        name: np.append(getattr(lines, name), getattr(lines, name)[:1])
        for name in lines.column_names()
    }
    columns |= {
        "id": [*lines.id, "ring"],
        "from_bus": [*lines.from_bus, 1],
        "to_bus": [*lines.to_bus, 5],
    }
    with pytest.raises(NotRadial, match="Open a switch in it") as caught:
        RadialSolver(grid.with_tables(lines=Lines(**columns)))
    assert set(caught.value.loops[0]) == {"line ring", "line bb2-f1", "line f1-f2 a", "line f2-f3"}


def test_two_sources_on_one_tree_are_a_loop():
    grid = two_buses()
    sources = Sources(id=["one", "two"], bus=[0, 1], vm_pu=[1.0, 1.0])
    with pytest.raises(NotRadial, match="line ab"):
        RadialSolver(grid.with_tables(sources=sources))


def test_sources_that_disagree_at_one_bus_are_refused():
    grid = two_buses()
    sources = Sources(id=["one", "two"], bus=[0, 0], vm_pu=[1.0, 1.01])
    with pytest.raises(BadInput, match="'one' and 'two'"):
        powerflow(grid.with_tables(sources=sources), engine="radial")


def test_generator_that_holds_a_voltage_is_refused_by_name():
    grid = district()
    held = grid.with_tables(generators=grid.generators.with_columns(vm_pu=[1.0]))
    with pytest.raises(BadInput, match="'pv' holds a voltage"):
        RadialSolver(held)


def test_value_that_is_no_number_is_refused_by_name():
    grid = district()
    state = OperatingPoint.of(grid)
    p_mw = state.load_p_mw.copy()
    p_mw[2] = np.nan
    with pytest.raises(BadInput, match="load 'L3': load_p_mw is nan"):
        powerflow(grid, replace(state, load_p_mw=p_mw))
    injection = np.zeros(len(grid.buses))
    injection[4] = np.inf
    with pytest.raises(BadInput, match="bus 'f2'"):
        RadialSolver(grid).solve(injection, np.zeros(len(grid.buses)))


@pytest.mark.parametrize("p_mw", [40.0, 1e3, 1e9])
def test_overload_beyond_the_nose_is_a_result_and_no_exception(p_mw):
    result = powerflow(two_buses(p_mw), engine="radial")
    assert not result.converged
    assert not result.residual_pu < 1e-6


def test_heavy_load_near_the_nose_converges_or_says_that_it_did_not():
    limit = 0.0
    for p_mw in np.linspace(1, 40, 60):
        ours, theirs = (powerflow(two_buses(p_mw, 0.0), engine=e) for e in ("radial", "pgm"))
        if ours.converged:
            limit = p_mw
            assert ours.v_pu[1] == pytest.approx(theirs.v_pu[1], abs=1e-8)
    # The last point before the nose, 1 / (2 (R + |Z|)) = 15.45 MW, needs very many sweeps.
    assert limit > 12.0


def test_grid_without_a_source_is_dead():
    grid = two_buses().with_tables(sources=Sources.empty())
    result = powerflow(grid, engine="radial")
    assert result.converged
    assert np.isnan(result.v_pu).all()
    assert np.isnan(result.v_min_pu)
    assert result.loss_kw == 0.0


def test_moving_switches_gives_what_a_fresh_solver_gives():
    grid = district()
    solver = RadialSolver(grid)
    rng = np.random.default_rng(1)
    for _ in range(20):
        closed = rng.random(len(grid.switches)) < 0.6
        moved = solver.update_switches(closed).powerflow()
        fresh = RadialSolver(grid.with_positions(closed)).powerflow()
        np.testing.assert_array_equal(moved.v, fresh.v)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_moves_gives_what_a_fresh_solver_gives(seed):
    grid = with_switches_everywhere(random_radial(seed))
    rng = np.random.default_rng(seed)
    solver = RadialSolver(grid)
    closed = grid.switches.closed.copy()
    for _ in range(12):
        asked = closed.copy()
        moving = rng.choice(len(closed), int(rng.integers(1, 5)), replace=False)
        asked[moving] = rng.random(len(moving)) < 0.6
        try:
            fresh = RadialSolver(grid.with_positions(asked)).powerflow()
        except NotRadial:
            with pytest.raises(NotRadial):
                solver.update_switches(asked)
            fresh = RadialSolver(grid.with_positions(closed)).powerflow()
        else:
            solver.update_switches(asked)
            closed = asked
        moved = solver.powerflow()
        np.testing.assert_allclose(moved.v, fresh.v, atol=1e-9)
        np.testing.assert_allclose(moved.power, fresh.power, atol=1e-6)


def test_solution_keeps_its_flows_when_switches_move_on():
    grid = with_switches_everywhere(random_radial(5))
    solver = RadialSolver(grid)
    nothing = np.zeros(len(grid.buses))
    solution = solver.solve(nothing - 0.05, nothing)
    solver.update_switches(np.zeros(len(grid.switches), dtype=bool))
    again = RadialSolver(grid).solve(nothing - 0.05, nothing)
    np.testing.assert_array_equal(solution.result.power, again.result.power)


def test_sibling_leaves_the_solver_as_it_is():
    grid = district()
    solver = RadialSolver(grid)
    before = solver.powerflow().v
    other = solver.with_switches(np.zeros(len(grid.switches), dtype=bool)).powerflow()
    assert np.isnan(other.v).sum() > np.isnan(before).sum()
    np.testing.assert_array_equal(solver.powerflow().v, before)


def test_refused_positions_leave_the_old_ones_in_force():
    grid = two_buses()
    twin = Lines(id=["ab", "ba"], from_bus=[0, 1], to_bus=[1, 0], r_ohm=[1, 1], x_ohm=[2, 2])
    looped = grid.with_tables(
        lines=twin,
        sources=Sources(id=["one", "two"], bus=[0, 1], vm_pu=[1.0, 1.0]),
        switches=Switches(
            id=["s1", "s2"], bus=[0, 0], element_kind=["line"] * 2, element=[0, 1], closed=[False, False]
        ),
    )  # fmt: skip
    solver = RadialSolver(looped)
    before = solver.powerflow().v
    with pytest.raises(NotRadial):
        solver.update_switches(np.array([True, False]))
    np.testing.assert_array_equal(solver.powerflow().v, before)


def test_warm_start_ends_at_the_same_voltages_in_fewer_sweeps():
    grid = random_radial(3)
    solver = RadialSolver(grid)
    p = np.zeros(len(grid.buses))
    np.add.at(p, grid.loads.bus, -8 * grid.loads.p_mw)
    cold = solver.solve(p, 0.3 * p)
    warm = solver.solve(1.0001 * p, 0.30003 * p, start=cold.v)
    again = solver.solve(1.0001 * p, 0.30003 * p)
    assert warm.iterations < again.iterations
    np.testing.assert_allclose(warm.v, again.v, atol=1e-9)


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_random_forests_agree_with_the_reference_engine(seed):
    grid = random_radial(seed)
    ours, theirs = powerflow(grid, engine="radial"), powerflow(grid, engine="pgm")
    assert ours.converged
    np.testing.assert_allclose(ours.v, theirs.v, atol=1e-8)


@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_power_balances_at_every_node(seed):
    grid = random_radial(seed)
    solver = RadialSolver(grid)
    result = solver.powerflow()
    node = solver.forest.node_of_bus
    into = np.zeros(solver.forest.n_nodes, dtype=complex)
    sections = solver.model.sections
    for side, bus in enumerate((sections.from_bus, sections.to_bus)):
        live = node[bus] >= 0
        np.add.at(into, node[bus[live]], result.power[live, side])
    loads, v = grid.loads, np.abs(result.v[grid.loads.bus])
    share = 1 - loads.z_share - loads.i_share + loads.i_share * v + loads.z_share * v**2
    drawn = (loads.p_mw + 1j * loads.q_mvar) * share
    live = node[loads.bus] >= 0
    np.add.at(into, node[loads.bus[live]], drawn[live])
    inner = solver.forest.parent >= 0
    np.testing.assert_allclose(into[inner], 0.0, atol=1e-6)


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_loss_is_what_the_sources_give_less_what_the_loads_take(seed):
    grid = random_radial(seed)
    solver = RadialSolver(grid)
    result = solver.powerflow()
    assert result.loss_kw == pytest.approx(1e3 * result.power.real.sum(), rel=1e-9)
    assert result.loss_kw >= 0.0


@given(SEEDS, st.floats(1.05, 2.0))
@settings(max_examples=25, deadline=None)
def test_more_load_on_plain_lines_lowers_voltage_and_raises_loss(seed, factor):
    grid = random_radial(seed)
    loads = grid.loads.with_columns(
        q_mvar=np.abs(grid.loads.q_mvar), z_share=np.zeros(25), i_share=np.zeros(25)
    )
    lines = grid.lines.with_columns(b_us=np.zeros(len(grid.lines)))
    plain = grid.with_tables(loads=loads, lines=lines)
    light, heavy = (
        powerflow(plain, engine="radial"),
        powerflow(with_load_factor(plain, factor), engine="radial"),
    )
    assert heavy.loss_kw >= light.loss_kw
    assert (heavy.v_pu[heavy.is_energised] <= light.v_pu[light.is_energised] + 1e-9).all()


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_numbering_of_buses_does_not_matter(seed):
    grid = random_radial(seed)
    order = np.random.default_rng(seed).permutation(len(grid.buses))
    place = np.argsort(order)
    moved = _renumbered(grid, order, place)
    np.testing.assert_allclose(
        powerflow(moved, engine="radial").v[place], powerflow(grid, engine="radial").v, atol=1e-10
    )


def _renumbered(grid: Grid, order, place) -> Grid:
    """The same grid with bus k at row place[k]."""
    tie = grid.switches.element_kind == "bus"
    element = grid.switches.element.copy()
    element[tie] = place[element[tie]]

    def moved(table, *names):
        return table.with_columns(**{name: place[getattr(table, name)] for name in names})

    return grid.with_tables(
        buses=grid.buses.take(order),
        lines=moved(grid.lines, "from_bus", "to_bus"),
        transformers=moved(grid.transformers, "hv_bus", "lv_bus"),
        switches=moved(grid.switches, "bus").with_columns(element=element),
        loads=moved(grid.loads, "bus"),
        sources=moved(grid.sources, "bus"),
    )
