"""A birth comes back as it went; anything else is refused before it can fill the memory."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.errors import Malformed
from gridloom.ioe import birth
from gridloom.ioe.birth import Birth

BORN = Birth(
    grid_hash="ab",
    grid_uri="simbench:x",
    instruments=b"\x00" * 100,
    epoch=3,
    start_ns=10**18,
    gateways={"g1": "a.b"},
)


def test_a_birth_comes_back_as_it_went() -> None:
    assert birth.decode(birth.encode(BORN)) == BORN


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    for hostile in (data, b"GB\x01" + data, b"GB\x01" + zlib.compress(data)):
        with pytest.raises(Malformed):
            birth.decode(hostile)


@given(st.data())
def test_damaged_births_are_refused(data: st.DataObject) -> None:
    raw = bytearray(birth.encode(BORN))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert birth.decode(raw) == BORN  # zlib has header bits that change nothing
    except Malformed:
        return


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birth, "MAX_BIRTH_BYTES", 1_000)
    with pytest.raises(Malformed, match="at most"):
        birth.decode(b"GB\x01" + zlib.compress(b"\0" * 1_000_000))
