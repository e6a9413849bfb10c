"""Forks ask "what if" from the estimated state and leave the twin alone."""

from __future__ import annotations

import numpy as np
import pytest
from tests.twin.conftest import House

from gridloom.core.errors import UnknownId
from gridloom.grid.model import Grid
from gridloom.physics import powerflow
from gridloom.twin import Twin


def test_a_forks_power_flow_repeats_the_estimate(house: House, grid: Grid) -> None:
    twin = Twin(grid)
    state = house.run(70)
    twin.update(state)
    again = twin.fork().powerflow()
    np.testing.assert_allclose(again.v_pu, state.v_pu, atol=2e-4)


def test_voltage_dependent_loads_are_brought_to_rated_voltage(house: House, grid: Grid) -> None:
    leaning = grid.with_tables(loads=grid.loads.with_columns(z_share=np.full(len(grid.loads), 0.5)))
    twin = Twin(leaning)
    state = house.run(70)
    twin.update(state)
    np.testing.assert_allclose(twin.fork().powerflow().v_pu, state.v_pu, atol=2e-4)


def test_switching_a_fork_leaves_twin_and_other_forks_alone(house: House, grid: Grid) -> None:
    twin = Twin(grid)
    twin.update(house.run(5))
    first = twin.fork()
    healed = first.with_switches(open=["F1S0Q"], closed=["T0Q"])
    assert healed.powerflow().is_energised.all()
    assert not first.with_switches(open=["F1S0Q"]).powerflow().is_energised.all()
    assert twin.grid.switches.closed.tolist() == grid.switches.closed.tolist()
    assert healed.grid.lines is first.grid.lines
    with pytest.raises(UnknownId, match="F1S0Q"):
        first.with_switches(open=["F1S0"])


def test_before_the_first_estimate_the_tables_stand_for_the_load(grid: Grid) -> None:
    twin = Twin(grid)
    assert twin.state is None
    np.testing.assert_array_equal(twin.fork().powerflow().v_pu, powerflow(grid).v_pu)


def test_update_moves_the_twins_switches(house: House, grid: Grid) -> None:
    twin = Twin(grid)
    open_head = grid.with_switches(open=["F1S0Q"]).switches.closed
    twin.update(house.run(2, open_head))
    assert twin.grid.switch_hash == grid.with_positions(open_head).switch_hash
    assert twin.state is not None
    assert twin.state.state_hash == twin.grid.switch_hash
    assert not twin.fork().powerflow().is_energised.all()
