"""A reading is worth its class when fresh, less every second, and never less than what its like do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.units import NS_PER_S
from gridloom.twin.injections import InjectionModel

NOBODY = np.zeros(20, dtype=bool)


def model(n: int = 20, groups: int = 1) -> InjectionModel:
    rated = np.stack([np.full(n, -0.01), np.full(n, -0.003)])
    return InjectionModel(rated, np.full(n, 1.0), np.arange(n) % groups)


def read(one: InjectionModel, elements: list[int], p_mw: float, second: int) -> None:
    value = np.stack([np.full(len(elements), p_mw), np.full(len(elements), 0.3 * p_mw)])
    one.read(np.array(elements), value, np.full(len(elements), second * NS_PER_S))


@given(st.floats(0, 1e5), st.floats(0, 1e5))
def test_uncertainty_never_falls_with_age(first_s: float, more_s: float) -> None:
    one = model()
    read(one, [3], -0.006, 0)
    young = one.at(int(first_s * NS_PER_S), NOBODY)
    old = one.at(int((first_s + more_s) * NS_PER_S), NOBODY)
    assert (old.variance[:, 3] >= young.variance[:, 3]).all()
    assert (old.variance[:, 3] <= old.variance[:, 4] * (1 + 1e-9)).all()


def test_a_fresh_reading_is_worth_its_class() -> None:
    one = model()
    read(one, [3], -0.006, 10)
    now = one.at(10 * NS_PER_S, NOBODY)
    assert now.value[0, 3] == pytest.approx(-0.006, rel=1e-3)
    assert np.sqrt(now.variance[0, 3]) == pytest.approx(0.006 / 300, rel=0.2)
    assert now.is_read[3]
    assert not now.is_read[4]


def test_a_steady_meter_ages_slower_than_a_restless_one() -> None:
    one = model()
    read(one, list(range(2, 20)), -0.006, 0)
    read(one, list(range(2, 20)), -0.0061, 60)
    for turn in range(20):
        read(one, [0], -0.006, 60 * turn)
        read(one, [1], -0.002 if turn % 2 else -0.008, 60 * turn)
    now = one.at(1200 * NS_PER_S, NOBODY)
    assert now.variance[0, 0] < 0.3 * now.variance[0, 1]


def test_the_unread_follow_their_group() -> None:
    one = model(groups=2)
    read(one, [k for k in range(2, 20) if k % 2], -0.002, 5)
    now = one.at(6 * NS_PER_S, NOBODY)
    assert now.value[0, 1] == pytest.approx(-0.002, rel=1e-6)
    assert now.value[0, 0] == pytest.approx(
        -0.004
    )  # nobody of its group was read: the stated share
    assert now.variance[0, 1] < now.variance[0, 0]


def test_old_news_and_numbers_that_are_none_change_nothing() -> None:
    one = model()
    read(one, [3], -0.006, 10)
    read(one, [3], -0.009, 9)
    read(one, [3], np.nan, 11)
    assert one.at(10 * NS_PER_S, NOBODY).value[0, 3] == pytest.approx(-0.006, rel=1e-3)


def test_a_reading_that_is_not_believed_gives_way_to_the_habit() -> None:
    one = model()
    read(one, list(range(20)), -0.003, 1)
    read(one, [3], -0.05, 2)
    ignored = NOBODY.copy()
    ignored[3] = True
    now = one.at(2 * NS_PER_S, ignored)
    assert now.value[0, 3] == pytest.approx(-0.003, rel=0.05)
    assert now.reading[0, 3] == -0.05


def test_lost_supply_widens_what_was_known_until_the_next_reading() -> None:
    one = model()
    read(one, list(range(20)), -0.003, 1)
    before = one.at(2 * NS_PER_S, NOBODY).variance[0, 3]
    one.doubt(np.array([3]), 0.2)
    assert one.at(2 * NS_PER_S, NOBODY).variance[0, 3] > 4 * before
    read(one, [3], -0.003, 3)
    assert one.at(3 * NS_PER_S, NOBODY).variance[0, 3] < 2 * before
