"""power-grid-model is the referee: on the same rows both estimators stop at the same voltage."""

from __future__ import annotations

import numpy as np
from benchmarks._district import Truth
from tests.twin.conftest import House

from gridloom.grid.model import Grid
from gridloom.twin import Estimator
from gridloom.twin.measurements import Quantity
from gridloom.twin.pgm_engine import PgmEngine
from gridloom.twin.wls import evaluate_at, solve_wls


def test_both_engines_end_at_the_same_voltages(house: House, grid: Grid) -> None:
    house.run(90)
    estimator = house.estimator
    layout = estimator._layout
    assert layout is not None
    evidence = estimator._book.evidence(layout, house.truth.now_ns)
    # The referee measures no bare current magnitudes.
    is_current = np.isin(layout.equations.quantity, (Quantity.I_FROM, Quantity.I_TO))
    weight = np.where(is_current, 0.0, evidence.weight)
    voltage, content = PgmEngine(estimator.model, grid, layout).voltages(evidence)
    assert content
    ours = solve_wls(layout.equations, evidence.value, weight, layout.live.network.flat_start)
    assert ours.converged
    turned = voltage * np.exp(-1j * np.angle(voltage[layout.live.network.reference[0]]))
    np.testing.assert_allclose(np.abs(turned), np.abs(ours.voltage), atol=2e-6)
    at_theirs = evaluate_at(layout.equations, evidence.value, weight, turned)
    assert at_theirs.step < 1e-5
    assert at_theirs.objective / ours.objective < 1 + 1e-4


def test_the_reference_engine_serves_as_an_option(grid: Grid) -> None:
    truth = Truth(grid, seed=4)
    house = House(truth, Estimator(grid, truth.instruments, engine="pgm"))
    state = house.run(70)
    assert state.converged
    assert state.engine == "pgm"
    assert house.rmse_pct(10.0) < 0.2
