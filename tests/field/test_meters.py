"""Class errors, missing readings, and the spreading of readings over time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.errors import BadInput
from gridloom.field.meters import InstrumentErrors, spread, surviving


def test_errors_over_devices_and_readings_have_a_third_of_the_class_as_deviation() -> None:
    rng = np.random.default_rng(1)
    errors = InstrumentErrors(np.full(4000, 1.5), 1, rng)
    rows = np.arange(4000)
    shown = np.concatenate([errors.read(np.full((1, 4000), 10.0), rows)[0] for _ in range(5)])
    assert np.std(shown / 10.0 - 1.0) == pytest.approx(0.005, rel=0.05)
    assert abs(np.mean(shown / 10.0 - 1.0)) < 5e-4


def test_a_device_keeps_its_gain() -> None:
    errors = InstrumentErrors(np.full(50, 3.0), 1, np.random.default_rng(1))
    rows = np.arange(50)
    many = np.stack([errors.read(np.ones((1, 50)), rows)[0] for _ in range(400)])
    expected = 1.0 + 0.01 * np.sqrt(0.5) / np.sqrt(400) * 4.0
    assert np.abs(many.mean(axis=0) / errors.gain[0] - 1.0).max() < expected - 1.0


def test_a_dead_meter_shows_no_number() -> None:
    errors = InstrumentErrors(np.array([1.0]), 1, np.random.default_rng(1))
    assert np.isnan(errors.read(np.array([[np.nan]]), np.array([0]))).all()


def test_an_impossible_class_is_refused() -> None:
    with pytest.raises(BadInput):
        InstrumentErrors(np.array([-1.0]), 1, np.random.default_rng(1))


def test_the_stated_share_of_readings_is_missing() -> None:
    rows = np.arange(10_000)
    left = surviving(rows, 0.1, np.random.default_rng(1))
    assert 8_850 <= len(left) <= 9_150
    assert surviving(rows, 0.0, np.random.default_rng(1)) is rows


@given(n=st.integers(1, 500), period_s=st.integers(1, 900), at_least=st.integers(1, 20))
def test_every_meter_is_read_once_a_period(n, period_s, at_least) -> None:
    rows = np.arange(n)
    slots = spread(rows, period_s * 10**9, 10**9, at_least)
    assert np.concatenate([part for _, part in slots]).tolist() == rows.tolist()
    offsets = [offset for offset, _ in slots]
    assert offsets == sorted(set(offsets))
    assert all(0 <= offset < period_s * 10**9 and offset % 10**9 == 0 for offset in offsets)
