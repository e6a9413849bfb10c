"""A grid without profiles stands still; one that names an unknown source is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grid.grids import district

from gridloom.core.errors import BadInput
from gridloom.grid.profiles import load_profiles


@given(st.floats(-1e6, 1e6))
def test_without_profiles_nothing_moves(step: float) -> None:
    grid = district()
    values = load_profiles(grid).at(step)
    np.testing.assert_allclose(values.load_p_mw, grid.loads.p_mw)
    np.testing.assert_allclose(values.load_q_mvar, grid.loads.q_mvar)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(BadInput, match="only simbench:CODE"):
        load_profiles(replace(district(), profiles="oracle:tomorrow"))


def test_time_and_steps_agree() -> None:
    profiles = load_profiles(district())
    assert profiles.step_at(profiles.start_ns + 450 * 10**9) == 0.5
