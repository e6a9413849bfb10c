"""The binary feed: codes, deltas, and what a hostile or broken frame does."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gridloom.control_room.feed import (
    HEADER,
    KEYFRAME,
    FeedDecoder,
    FeedEncoder,
    loading_codes,
    switch_codes,
    voltage_codes,
)
from gridloom.control_room.view import LiveState
from gridloom.core.errors import Malformed

N = 40
voltages = arrays(np.float64, N, elements=st.floats(0.5, 1.5) | st.just(np.nan))
loadings = arrays(np.float64, N, elements=st.floats(0, 500) | st.just(np.nan))
flags = arrays(np.bool_, N)
positions = arrays(np.float32, N, elements=st.sampled_from([0.0, 1.0, np.nan]))
states = st.builds(
    lambda v, up, pct, live, closed: LiveState(
        time_ns=7, v_pu=v, is_energised=up, loading_pct=pct, is_live=live, closed=closed
    ),
    voltages,
    flags,
    loadings,
    flags,
    positions,
)


def test_voltage_is_told_to_a_sixth_of_a_percent_and_dead_and_unknown_stand_apart() -> None:
    v_pu = np.array([0.8, 1.0, 1.2, 0.1, 2.0, np.nan, np.nan])
    alive = np.array([True, True, True, True, True, True, False])
    assert voltage_codes(v_pu, alive).tolist() == [1, 127, 254, 1, 254, 255, 0]


@given(st.floats(0.8, 1.2))
def test_a_voltage_comes_back_within_half_a_step(v_pu: float) -> None:
    code = int(voltage_codes(np.array([v_pu]), np.array([True]))[0])
    assert 0.8 + (code - 1) / 253 * 0.4 == pytest.approx(v_pu, abs=0.4 / 253 / 2 + 1e-12)


def test_loading_saturates_at_250_percent_and_dead_and_unknown_stand_apart() -> None:
    pct = np.array([0.0, 99.6, 250.0, 900.0, np.nan, np.nan])
    live = np.array([True, True, True, True, True, False])
    assert loading_codes(pct, live).tolist() == [0, 100, 250, 250, 254, 255]


def test_a_switch_is_open_closed_or_moving() -> None:
    assert switch_codes(np.array([0, 1, np.nan], dtype=np.float32)).tolist() == [0, 1, 2]


@given(st.lists(states, min_size=1, max_size=5))
def test_a_follower_of_every_frame_sees_every_state(history: list[LiveState]) -> None:
    encoder, decoder = FeedEncoder(), FeedDecoder()
    for live in history:
        encoder.push(live)
        frame = decoder.push(encoder.frame_after(encoder.sequence - 1))
        np.testing.assert_array_equal(frame.voltage, voltage_codes(live.v_pu, live.is_energised))
        np.testing.assert_array_equal(frame.loading, loading_codes(live.loading_pct, live.is_live))
        np.testing.assert_array_equal(frame.switch, switch_codes(live.closed))


@given(st.lists(states, min_size=3, max_size=6), st.integers(0, 1))
def test_who_missed_frames_gets_a_keyframe_with_the_newest_state(
    history: list[LiveState], seen: int
) -> None:
    encoder, decoder = FeedEncoder(), FeedDecoder()
    for live in history:
        encoder.push(live)
    data = encoder.frame_after(seen)
    assert data[3] & KEYFRAME
    frame = decoder.push(data)
    np.testing.assert_array_equal(frame.voltage, voltage_codes(live.v_pu, live.is_energised))
    assert frame.sequence == len(history)
    assert frame.time_ns == 7


def test_who_is_up_to_date_gets_nothing() -> None:
    encoder = FeedEncoder()
    encoder.push(_still(10))
    assert encoder.frame_after(1) == b""


def test_a_quiet_grid_of_10000_buses_costs_less_than_200_bytes_a_frame() -> None:
    encoder = FeedEncoder()
    encoder.push(_still(10_000))
    encoder.push(_still(10_000))
    assert len(encoder.frame_after(1)) < 200


def test_a_state_of_another_size_starts_with_a_keyframe() -> None:
    encoder = FeedEncoder()
    encoder.push(_still(10))
    encoder.push(_still(12))
    assert encoder.frame_after(1)[3] & KEYFRAME


def test_a_delta_that_does_not_follow_is_malformed() -> None:
    encoder = FeedEncoder()
    encoder.push(_still(10))
    encoder.push(_still(10))
    with pytest.raises(Malformed, match="does not follow"):
        FeedDecoder().push(encoder.frame_after(1))


def test_a_frame_whose_stream_is_larger_than_its_header_says_is_malformed() -> None:
    bomb = HEADER.pack(b"GL", 1, KEYFRAME, 1, 0, 5, 5, 5) + zlib.compress(bytes(10_000_000))
    with pytest.raises(Malformed, match="promises 15 bytes"):
        FeedDecoder().push(bomb)


@given(st.binary(max_size=200))
def test_hostile_bytes_are_malformed_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(Malformed):
        FeedDecoder().push(data)


def test_the_header_has_28_bytes_as_the_page_expects() -> None:
    assert HEADER.size == struct.calcsize("<2sBBIqIII") == 28


def _still(n: int) -> LiveState:
    return LiveState(
        time_ns=1,
        v_pu=np.full(n, 1.01),
        is_energised=np.ones(n, dtype=bool),
        loading_pct=np.full(n, 20.0),
        is_live=np.ones(n, dtype=bool),
        closed=np.ones(n, dtype=np.float32),
    )
