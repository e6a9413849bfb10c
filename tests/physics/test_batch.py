"""Many scenarios at once are what single solves give, one by one."""

from dataclasses import replace

import numpy as np
import pytest
from tests.physics.grids import district, random_radial, two_buses

from gridloom.core.errors import BadInput
from gridloom.physics import (
    OperatingPoint,
    RadialSolver,
    powerflow,
    powerflow_batch,
    random_scenarios,
)


@pytest.mark.parametrize("engine", ["radial", "pgm"])
def test_each_scenario_is_what_a_single_solve_gives(engine):
    grid = district()
    state = random_scenarios(grid, 37, np.random.default_rng(0))
    batch = powerflow_batch(grid, state, engine)
    assert batch.converged.all()
    for k in (0, 15, 16, 36):
        single = powerflow(grid, state.scenario(k), "radial")
        np.testing.assert_allclose(batch.v_pu[k], single.v_pu, atol=1e-9)
        np.testing.assert_allclose(
            batch.loading_pct[k, : len(grid.lines)], single.line_loading_pct, atol=1e-6
        )
        assert batch.loss_kw[k] == pytest.approx(single.loss_kw, rel=1e-7)


def test_batch_of_random_forests_agrees_with_the_reference_engine():
    for seed in range(5):
        grid = random_radial(seed)
        state = random_scenarios(grid, 20, np.random.default_rng(seed))
        ours, theirs = (powerflow_batch(grid, state, engine) for engine in ("radial", "pgm"))
        np.testing.assert_allclose(ours.v_pu, theirs.v_pu, atol=1e-8)
        np.testing.assert_allclose(ours.loss_kw, theirs.loss_kw, atol=1e-5)


def test_threads_change_nothing():
    grid = district()
    state = random_scenarios(grid, 100, np.random.default_rng(2))
    one, two = (powerflow_batch(grid, state, "radial", n_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.v_pu, two.v_pu)
    np.testing.assert_array_equal(one.loading_pct, two.loading_pct)


@pytest.mark.parametrize("engine", ["radial", "pgm"])
def test_scenario_that_does_not_converge_spoils_no_other(engine):
    grid = two_buses()
    p_mw = np.full((40, 1), 1.0)
    p_mw[7] = 1e4
    batch = powerflow_batch(grid, replace(OperatingPoint.of(grid), load_p_mw=p_mw), engine)
    assert np.flatnonzero(~batch.converged).tolist() == [7]
    assert np.isnan(batch.v_pu[7]).all()
    assert np.isnan(batch.loss_kw[7])
    np.testing.assert_allclose(
        np.delete(batch.v_pu, 7, axis=0)[:, 1], powerflow(grid).v_pu[1], atol=1e-9
    )


def test_source_voltage_may_differ_between_scenarios():
    grid = two_buses()
    vm_pu = np.array([[0.98], [1.0], [1.02]])
    batch = powerflow_batch(grid, replace(OperatingPoint.of(grid), source_vm_pu=vm_pu), "radial")
    np.testing.assert_allclose(batch.v_pu[:, 0], vm_pu[:, 0])


def test_loadings_are_left_out_when_not_wanted():
    grid = district()
    state = random_scenarios(grid, 3, np.random.default_rng(0))
    assert powerflow_batch(grid, state, with_loading=False).loading_pct.shape == (3, 0)


def test_wrong_value_is_named_with_its_scenario():
    grid = two_buses()
    p_mw = np.ones((5, 1))
    p_mw[3] = np.nan
    with pytest.raises(BadInput, match="load 'load': load_p_mw is nan in scenario 3"):
        RadialSolver(grid).solve_batch(replace(OperatingPoint.of(grid), load_p_mw=p_mw))


def test_columns_must_agree_on_the_number_of_scenarios():
    grid = two_buses()
    state = replace(OperatingPoint.of(grid), load_p_mw=np.ones((5, 1)), load_q_mvar=np.ones((4, 1)))
    with pytest.raises(BadInput, match="disagree"):
        powerflow_batch(grid, state)


@pytest.mark.parametrize("engine", ["radial", "pgm"])
def test_value_of_an_element_out_of_service_does_not_matter(engine):
    grid = district()
    state = OperatingPoint.of(grid)
    p_mw = state.load_p_mw.copy()
    p_mw[grid.loads.row("off")] = np.nan
    odd = replace(state, load_p_mw=p_mw)
    np.testing.assert_array_equal(powerflow(grid, odd, engine).v, powerflow(grid, state, engine).v)
    batch = powerflow_batch(grid, replace(odd, load_p_mw=np.stack([p_mw, p_mw])), engine)
    assert batch.converged.all()
