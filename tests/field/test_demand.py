"""Demand follows its profiles."""

from datetime import UTC, datetime

import numpy as np
import pytest

from gridloom.field import Tolerances
from gridloom.field.demand import Demand, step_of_year
from gridloom.grid import Grid
from gridloom.grid.profiles import load_profiles

from .conftest import START_NS

SECOND = 10**9


def demand(grid: Grid, **tolerances) -> Demand:
    rng = np.random.default_rng(1)
    return Demand(grid, load_profiles(grid), rng, Tolerances(**tolerances))


def test_without_unrest_and_profiles_demand_stands_as_in_the_tables(district: Grid) -> None:
    point = demand(district, demand_sigma=0.0).at(START_NS)
    np.testing.assert_allclose(point.load_p_mw, district.loads.p_mw)
    np.testing.assert_allclose(point.generator_p_mw, district.generators.p_mw)


def test_unrest_has_the_stated_deviation_and_time_constant(district: Grid) -> None:
    wanted = demand(district, demand_sigma=0.1, demand_tau_s=50.0)
    share = np.array(
        [
            wanted.at(START_NS + second * SECOND).load_p_mw / district.loads.p_mw - 1.0
            for second in range(8000)
        ]
    )
    assert share.std() == pytest.approx(0.1, rel=0.1)
    lagged = np.mean(share[50:] * share[:-50]) / np.mean(share**2)
    assert lagged == pytest.approx(np.exp(-1.0), abs=0.12)


def test_the_power_factor_stays(district: Grid) -> None:
    point = demand(district).at(START_NS)
    np.testing.assert_allclose(point.load_q_mvar / point.load_p_mw, 0.3)


@pytest.mark.parametrize("year", [2016, 2020, 2026])
def test_a_day_has_the_same_step_in_every_year(year: int) -> None:
    moment = datetime(year, 2, 3, 4, 30, 45, tzinfo=UTC)
    now_ns = int(moment.timestamp()) * SECOND
    assert step_of_year(now_ns, 900.0) == pytest.approx(33 * 96 + 18 + 45 / 900)
