"""The estimator finds the state from late and partial readings, says how sure it is, and survives bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks._district import Truth
from tests.twin.conftest import House

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S
from gridloom.grid.model import Grid
from gridloom.physics import powerflow
from gridloom.twin import Estimator, operating_point


def opened(grid: Grid, *ids: str) -> np.ndarray:
    return grid.with_switches(open=ids).switches.closed


def test_voltages_come_out_within_the_promised_error_and_far_better_than_from_meters_alone(
    house: House,
) -> None:
    errors, blind = [], []
    for _ in range(6):
        state = house.run(15)
        errors.append((house.rmse_pct(10.0), house.rmse_pct(0.4)))
        point = operating_point(house.truth.grid, state)
        point = replace(point, source_vm_pu=house.truth.grid.sources.vm_pu)
        off = powerflow(house.truth.grid, point).v_pu - house.truth.result.v_pu
        blind.append(100 * np.sqrt(np.mean(off**2)))
    medium, low = np.sqrt(np.mean(np.square(errors), axis=0))
    assert medium < 0.15  # seven instruments of class 0.5 cannot do better than 0.06 % here
    assert low < 0.2
    assert medium < 0.5 * np.sqrt(np.mean(np.square(blind)))


def test_errors_are_as_large_as_the_stated_uncertainty_says(grid: Grid) -> None:
    normal = []
    for seed in range(5):
        truth = Truth(grid, seed)
        house = House(truth, Estimator(grid, truth.instruments))
        state = house.run(70)
        normal.append((state.v_pu - truth.result.v_pu) / state.v_sigma_pu)
    # Line parameters are off by up to 10 %, which the variances do not know of.
    assert 0.5 < np.sqrt(np.mean(np.square(normal))) < 2.5


def test_a_clean_run_names_nobody_and_passes_chi_square(house: House) -> None:
    named = 0
    for _ in range(12):
        state = house.run(10)
        named += len(state.suspects)
    assert named == 0
    assert state.converged
    assert state.chi_square < state.chi_square_limit


def test_flows_and_injections_fit_the_truth(house: House) -> None:
    state = house.run(90)
    head = house.truth.grid.lines.row("F0S0")
    true_mw = house.truth.result.line_flow.p_from_mw[head]
    assert state.line_p_mw[head] == pytest.approx(true_mw, rel=0.01)
    assert state.load_p_mw.min() >= 0.0
    assert state.transformer_loading_pct[0] == pytest.approx(
        house.truth.result.transformer_loading_pct[0], rel=0.02
    )


def test_a_dead_feeder_is_dead_and_comes_back(house: House, grid: Grid) -> None:
    house.run(70)
    tripped = opened(grid, "F1S0Q")
    state = house.run(2, tripped)
    lost = np.array([name.startswith("F1") for name in grid.buses.id])
    assert np.isnan(state.v_pu[lost]).all()
    assert np.isnan(state.v_sigma_pu[lost]).all()
    assert not state.is_energised[lost].any()
    assert state.is_energised[~lost].all()
    assert (state.load_p_mw[lost[grid.loads.bus]] == 0).all()
    healed = grid.with_switches(open=["F1S0Q"], closed=["T0Q"]).switches.closed
    state = house.run(5, healed)
    assert state.is_energised.all()
    assert state.converged
    assert house.rmse_pct(10.0) < 0.3


def test_each_fed_island_is_estimated_with_its_own_reference(grid: Grid) -> None:
    end = grid.buses.row("F2S5")
    two = grid.with_tables(
        sources=type(grid.sources)(
            id=["source", "other"], bus=[0, end], vm_pu=[1.02, 1.0], va_deg=[0.0, 20.0]
        )
    )
    apart = opened(two, "F2S0Q")
    truth = Truth(two, seed=1)
    house = House(truth, Estimator(two, truth.instruments))
    state = house.run(70, apart)
    assert state.converged
    assert state.is_energised.all()
    assert state.angle_rad[end] == pytest.approx(np.deg2rad(20.0), abs=1e-6)
    assert house.rmse_pct(10.0) < 0.2


def test_loops_are_estimated_as_well(grid: Grid, house: House) -> None:
    ring = grid.with_switches(closed=["T0Q", "T1Q"]).switches.closed
    state = house.run(70, ring)
    assert state.converged
    assert house.rmse_pct(10.0) < 0.2


def test_without_any_reading_habits_stand_in_and_the_uncertainty_is_honest(
    grid: Grid, house: House
) -> None:
    state = house.estimator.estimate(grid.switches.closed, house.truth.now_ns)
    assert state.converged
    assert state.measured_share == 0.0
    assert not state.is_observable.any()
    assert state.v_sigma_pu.min() > 0.01
    assert np.isinf(state.freshness_s).all()


def test_when_all_telemetry_dies_the_uncertainty_grows_with_the_age(
    house: House, grid: Grid
) -> None:
    fresh = house.run(70)
    later = house.estimator.estimate(grid.switches.closed, house.truth.now_ns + 1800 * NS_PER_S)
    assert later.converged
    assert (later.v_sigma_pu > fresh.v_sigma_pu).all()
    assert later.freshness_s.min() > 1700
    much_later = house.estimator.estimate(
        grid.switches.closed, house.truth.now_ns + 86400 * NS_PER_S
    )
    assert much_later.v_sigma_pu.min() > 0.01


def test_silent_meters_make_their_place_unobservable(grid: Grid, house: House) -> None:
    readings = house.truth.step(70)
    gone = np.array(["F0S3" in name for name in house.truth.instruments.id])
    time_ns = np.where(gone, -1, readings.time_ns)
    state = house.hear(replace(readings, time_ns=time_ns), grid.switches.closed)
    dark = np.array([name.startswith(("F0S3H", "F0S3B")) for name in grid.buses.id])
    # The feeder head still tells what all of them draw together, not who.
    assert state.is_observable[dark].mean() < 0.5
    assert state.is_observable[grid.buses.row("F2S1H2")]


def test_readings_without_sense_are_passed_over(house: House, grid: Grid) -> None:
    good = house.run(70)
    readings = house.truth.step()
    nothing = readings.values.copy()
    nothing[:] = np.nan
    house.estimator.read(replace(readings, values=nothing), house.truth.now_ns)
    assert house.estimator.refused > 0
    readings = house.truth.step()
    ahead = readings.time_ns + 3600 * NS_PER_S
    before = house.estimator.refused
    house.estimator.read(replace(readings, time_ns=ahead), house.truth.now_ns)
    assert house.estimator.refused >= before + len(house.truth.instruments) // 2
    # The next good readings are taken: those from the future did not block them.
    state = house.run(3)
    assert state.freshness_s.max() <= good.freshness_s.max() + 60
    foreign = readings.kind.copy()
    foreign[:] = 4
    house.estimator.read(replace(house.truth.step(), kind=foreign), house.truth.now_ns)
    assert house.run(1).converged


def test_a_clock_that_falls_back_makes_everything_forgotten(house: House, grid: Grid) -> None:
    house.run(70)
    state = house.estimator.estimate(grid.switches.closed, house.truth.now_ns - 7200 * NS_PER_S)
    assert state.measured_share == 0.0
    assert state.v_sigma_pu.min() > 0.01


def test_tables_of_another_length_are_refused(house: House, grid: Grid) -> None:
    readings = house.truth.step()
    with pytest.raises(BadInput, match="readings of 3 instruments"):
        house.estimator.read(
            replace(readings, values=readings.values[:, :3], time_ns=readings.time_ns[:3]), 0
        )
    with pytest.raises(BadInput, match="switches"):
        house.estimator.estimate(grid.switches.closed[:2], 0)
    with pytest.raises(BadInput, match="engine"):
        Estimator(grid, house.truth.instruments, engine="guess")  # type: ignore[arg-type] # the error is the point


def test_an_instrument_at_nothing_is_named(grid: Grid, house: House) -> None:
    instruments = house.truth.instruments
    element = np.array(instruments.element)
    element[0] = 10_000
    with pytest.raises(BadInput, match=str(instruments.id[0])):
        Estimator(grid, instruments.with_columns(element=element))


def test_equal_worlds_give_equal_states(grid: Grid) -> None:
    states = []
    for _ in range(2):
        truth = Truth(grid, seed=9)
        states.append(House(truth, Estimator(grid, truth.instruments, is_timed=False)).run(20))
    assert states[0].state_hash == states[1].state_hash
    np.testing.assert_array_equal(states[0].v_pu, states[1].v_pu)
    assert states[0].seconds == states[1].seconds == 0.0


def test_what_came_out_does_not_change_later(house: House) -> None:
    state = house.run(5)
    before = state.v_pu.copy(), state.load_p_mw.copy(), state.redundancy.copy()
    house.run(3)
    for kept, now in zip(before, (state.v_pu, state.load_p_mw, state.redundancy), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_a_grid_without_supply_is_dead_and_no_error(grid: Grid, house: House) -> None:
    dead = grid.with_tables(sources=grid.sources.with_columns(in_service=[False]))
    readings = house.truth.step(2)
    estimator = Estimator(dead, house.truth.instruments)
    estimator.read(readings, house.truth.now_ns)
    state = estimator.estimate(dead.switches.closed, house.truth.now_ns)
    assert not state.is_energised.any()
    assert np.isnan(state.v_pu).all()


def test_a_grid_without_instruments_lives_on_habits(grid: Grid, house: House) -> None:
    nothing = house.truth.instruments.take(np.zeros(len(house.truth.instruments), dtype=bool))
    state = Estimator(grid, nothing).estimate(grid.switches.closed, house.truth.now_ns)
    assert state.converged
    assert state.v_sigma_pu.min() > 0.01
