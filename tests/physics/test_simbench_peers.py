"""The radial engine against power-grid-model and lightsim2grid on SimBench grids, loaded as a user loads them."""

import numpy as np
import pytest

import gridloom.grid
from gridloom.physics import powerflow, powerflow_batch, random_scenarios

CODES = (
    "1-LV-rural1--0-sw",
    "1-LV-urban6--0-sw",
    "1-MV-rural--0-sw",
    "1-MV-urban--0-sw",
    "1-MVLV-urban-all-0-sw",
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("code", CODES)
def test_engines_agree_to_1e_8_pu(code):
    grid = gridloom.grid.load(f"simbench:{code}")
    ours, theirs = powerflow(grid, engine="radial"), powerflow(grid, engine="pgm")
    np.testing.assert_allclose(ours.v, theirs.v, rtol=0, atol=1e-8)
    assert ours.loss_kw == pytest.approx(theirs.loss_kw, rel=1e-7)
    lightsim = powerflow(grid, engine="lightsim")
    np.testing.assert_allclose(lightsim.v, theirs.v, rtol=0, atol=1e-8)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("code", CODES)
def test_batches_agree_to_1e_8_pu(code):
    grid = gridloom.grid.load(f"simbench:{code}")
    state = random_scenarios(grid, 20, np.random.default_rng(0))
    ours, theirs = (powerflow_batch(grid, state, engine) for engine in ("radial", "pgm"))
    np.testing.assert_allclose(ours.v_pu, theirs.v_pu, rtol=0, atol=1e-8)
