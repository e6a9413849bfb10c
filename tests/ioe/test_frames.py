"""The codec keeps what it is given and believes nothing that it reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.core.errors import BadInput, Malformed
from gridloom.ioe.frames import COLUMNS, HEADER, Frame, FrameKind, decode, encode

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    kind = draw(st.sampled_from(FrameKind))
    rows = draw(st.integers(0, 50))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.normal(size=(len(COLUMNS[kind]), rows)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    return Frame(
        kind=kind,
        source=draw(NAMES),
        epoch=draw(st.integers(0, 2**32 - 1)),
        sequence=draw(st.integers(0, 2**64 - 1)),
        time_ns=draw(st.integers(0, 2**63 - 1)),
        flags=draw(st.integers(0, 3)),
        index=rng.integers(0, 2**32, rows, dtype=np.uint32),
        values=values,
    )


def meter_frame(rows: int = 5, **changes: object) -> Frame:
    given_ = {
        "kind": FrameKind.METER,
        "source": "gateway-1",
        "epoch": 1,
        "sequence": 7,
        "time_ns": 1_000,
        "index": np.arange(rows, dtype=np.uint32),
        "values": np.ones((3, rows), np.float32),
    }
    return Frame(**(given_ | changes))


@given(frames())
def test_a_frame_comes_back_as_it_went(frame: Frame) -> None:
    back = decode(encode(frame))
    assert (back.kind, back.key, back.time_ns, back.flags) == (
        frame.kind,
        frame.key,
        frame.time_ns,
        frame.flags,
    )
    np.testing.assert_array_equal(back.index, frame.index)
    np.testing.assert_array_equal(back.values, frame.values)
    assert encode(back) == encode(frame)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


@given(frames(), st.data())
@settings(max_examples=200)
def test_every_flipped_bit_is_noticed(frame: Frame, data: st.DataObject) -> None:
    raw = bytearray(encode(frame))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Malformed):
        decode(raw)


@given(frames(), st.integers(0, 1000), st.binary(max_size=8))
def test_truncated_and_extended_frames_are_refused(frame: Frame, cut: int, tail: bytes) -> None:
    raw = encode(frame)
    with pytest.raises(Malformed):
        decode(raw[: min(cut, len(raw) - 1)])
    if tail:
        with pytest.raises(Malformed):
            decode(raw + tail)


def test_a_header_that_promises_more_rows_than_there_are_is_refused() -> None:
    raw = bytearray(encode(meter_frame()))
    raw[6:8] = b"\xff\xff"
    with pytest.raises(Malformed, match="says that it has"):
        decode(raw)


def test_decoded_arrays_are_views_of_the_buffer() -> None:
    raw = bytearray(encode(meter_frame()))
    back = decode(memoryview(raw))
    assert np.shares_memory(back.values, np.frombuffer(raw, np.uint8))
    assert HEADER.size == 40


@pytest.mark.parametrize(
    "changes",
    [
        {"values": np.ones((2, 5), np.float32)},
        {"source": ""},
        {"source": "Z\u00fcrich"},
        {"source": "a\nb"},
        {"source": "a" * 256},
        {"epoch": -1},
        {"sequence": 2**64},
        {"flags": 70_000},
        {"index": np.zeros((5, 1), np.uint32)},
    ],
)
def test_what_the_format_cannot_carry_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        encode(meter_frame(**changes))


def test_the_largest_frame_fits() -> None:
    rows = 65_535
    frame = meter_frame(rows)
    assert decode(encode(frame)).index[-1] == rows - 1
    with pytest.raises(BadInput):
        encode(meter_frame(rows + 1))
