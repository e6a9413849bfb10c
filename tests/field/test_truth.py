"""The world's parameters lie within the stated tolerances of the documents."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.errors import BadInput
from gridloom.field import Tolerances, true_grid
from gridloom.field.truth import voltage_factor
from gridloom.grid import Grid


def test_impedances_differ_but_stay_within_the_tolerances(district: Grid) -> None:
    true = true_grid(district, np.random.default_rng(1), Tolerances())
    for name, limit in (("r_ohm", 0.1), ("x_ohm", 0.1)):
        ratio = getattr(true.lines, name) / getattr(district.lines, name)
        assert (np.abs(ratio - 1.0) <= limit).all()
        assert np.ptp(ratio) > 0.0
    ratio = true.transformers.vk_pct / district.transformers.vk_pct
    assert (np.abs(ratio - 1.0) <= 0.05).all()


def test_r_and_x_of_one_line_are_off_independently(district: Grid) -> None:
    true = true_grid(district, np.random.default_rng(1), Tolerances())
    off_r = true.lines.r_ohm / district.lines.r_ohm
    off_x = true.lines.x_ohm / district.lines.x_ohm
    assert not np.allclose(off_r, off_x)


def test_the_same_seed_gives_the_same_truth_and_another_another(district: Grid) -> None:
    one, two, three = (
        true_grid(district, np.random.default_rng(seed), Tolerances()).hash for seed in (1, 1, 2)
    )
    assert one == two != three


def test_what_is_not_uncertain_is_shared(district: Grid) -> None:
    true = true_grid(district, np.random.default_rng(1), Tolerances())
    assert true.switches is district.switches
    assert true.buses is district.buses
    assert (true.loads.p_mw == district.loads.p_mw).all()


@given(v=st.floats(0.5, 1.5), z=st.floats(0.0, 0.5), i=st.floats(0.0, 0.5))
def test_voltage_dependence_is_one_at_rated_voltage_and_rises_with_it(v, z, i) -> None:
    shares = np.array([z]), np.array([i])
    assert voltage_factor(np.array([1.0]), *shares)[0] == pytest.approx(1.0)
    higher = voltage_factor(np.array([v + 0.01]), *shares)[0]
    assert higher >= voltage_factor(np.array([v]), *shares)[0] - 1e-12


def test_a_dead_load_draws_nothing() -> None:
    assert voltage_factor(np.array([np.nan]), np.array([0.2]), np.array([0.2]))[0] == 0.0


@pytest.mark.parametrize(
    "wrong",
    [{"line_r": 1.0}, {"line_x": -0.1}, {"load_z_share": (0.6, 0.9), "load_i_share": (0.0, 0.2)}],
)
def test_senseless_tolerances_are_refused(wrong) -> None:
    with pytest.raises(BadInput):
        Tolerances(**wrong)
