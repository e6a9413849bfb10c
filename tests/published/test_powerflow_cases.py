"""Base losses that the papers of the reconfiguration cases give, and the reference engine on the same cases.

The cases lie outside the repository: set GRIDLOOM_DATA to the folder that holds `cases/`.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import gridloom.grid
from gridloom.physics import powerflow

NAMES = ("16ci", "33bw", "33mg", "70da", "118zh", "136ma")

pytestmark = pytest.mark.published


def _path(name: str) -> Path:
    folder = os.environ.get("GRIDLOOM_DATA")
    if not folder:
        pytest.skip("GRIDLOOM_DATA is not set: the published cases are not in the repository")
    path = Path(folder) / "cases" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no cases/{name}.json under GRIDLOOM_DATA")
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ["radial", "pgm"])
def test_base_loss_and_lowest_voltage_are_those_published(name, engine):
    path = _path(name)
    published = json.loads(path.read_text())["base"]
    result = powerflow(gridloom.grid.load(f"case:{path}"), engine=engine)
    assert result.loss_kw == pytest.approx(published["loss_kw"], rel=1e-4)
    assert result.v_min_pu == pytest.approx(published["vmin_pu"], abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_best_known_configuration_has_the_loss_that_is_claimed(name):
    path = _path(name)
    case = json.loads(path.read_text())
    grid = gridloom.grid.load(f"case:{path}")
    opened = {str(k) for k in case["best_known"]["open_branch_ids"]}
    element = grid.lines.id[grid.switches.element]
    best = grid.with_positions(np.array([id_ not in opened for id_ in element]))
    result = powerflow(best, engine="radial")
    assert result.is_energised.all()
    assert result.loss_kw == pytest.approx(case["best_known"]["loss_kw"], rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_engines_agree_on_the_case(name):
    grid = gridloom.grid.load(f"case:{_path(name)}")
    ours, theirs = powerflow(grid, engine="radial"), powerflow(grid, engine="pgm")
    np.testing.assert_allclose(ours.v, theirs.v, rtol=0, atol=1e-8)
