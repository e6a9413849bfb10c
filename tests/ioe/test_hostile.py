"""Damaged copies of genuine bytes are decoded or refused with our own error; nothing else ever comes out."""

import contextlib
import zlib
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.core.errors import GridloomError
from gridloom.core.plans import Acknowledgement, Action, ActionKind, Command
from gridloom.edge import CommandGuard
from gridloom.ioe import birth, commands, events, frames, signing
from gridloom.ioe.birth import Birth
from gridloom.ioe.mqtt import Device, DeviceReadings

SIGNER = signing.Signer.generate()
VERIFIER = signing.Verifier.of([SIGNER.public_key])
ORDER = Command(
    plan_id="p",
    epoch=1,
    action=Action(kind=ActionKind.OPEN, target="s"),
    issued_ns=1,
    expires_ns=2,
    issuer="i",
)
BORN = Birth(
    grid_hash="a", grid_uri="b", instruments=b"c", epoch=1, start_ns=2, gateways={"g": "a.b"}
)


def inbox_state() -> bytes:
    inbox = events.EventInbox()
    for sequence in (0, 2, 5):
        inbox.mark(("source", 1, sequence))
    return inbox.save()


def outbox_state() -> bytes:
    outbox = events.EventOutbox()
    outbox.post(("source", 1, 2), "event.a", b"x", 0)
    return outbox.save()


def guard_state() -> bytes:
    guard = CommandGuard(VERIFIER.verify, {"s"})
    guard.check(SIGNER.sign(ORDER), 1)
    return guard.save()


def signed_body(body: bytes) -> Command:
    """Sign what is no command: even whoever holds the key cannot crash a device."""
    signature = SIGNER._key.sign(signing._CONTEXT + body)
    return VERIFIER.verify(signing._HEAD + SIGNER.key_id + signature + body)


def resealed_frame(raw: bytes) -> frames.Frame:
    """Give a damaged frame a checksum that holds."""
    if len(raw) < frames.HEADER.size:
        return frames.decode(raw)
    crc = zlib.crc32(raw[12:], zlib.crc32(raw[:8]))
    return frames.decode(raw[:8] + crc.to_bytes(4, "little") + raw[12:])


FRAME = frames.encode(
    frames.Frame(
        kind=frames.FrameKind.BUS,
        source="source",
        epoch=1,
        sequence=2,
        time_ns=3,
        index=np.arange(4, dtype=np.uint32),
        values=np.ones((1, 4), np.float32),
    )
)
DOORS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "frame": (FRAME, resealed_frame),
    "birth": (
        msgspec.msgpack.encode(BORN),
        lambda raw: birth.decode(b"GB\x01" + zlib.compress(raw)),
    ),
    "ack": (
        commands.encode_ack(Acknowledgement(key="k/\u00e4", outcome="done", at_ns=5)),
        commands.decode_ack,
    ),
    "receipt": (events.encode_receipt(("source", 1, 2)), events.decode_receipt),
    "envelope": (msgspec.msgpack.encode(ORDER), signed_body),
    "inbox": (inbox_state(), lambda raw: events.EventInbox().restore(raw)),
    "outbox": (outbox_state(), lambda raw: events.EventOutbox().restore(raw, 0)),
    "guard": (guard_state(), lambda raw: CommandGuard(VERIFIER.verify, {"s"}).restore(raw)),
    "mqtt": (
        b'{"t":1700000000,"p_kw":1.5,"x":"\xc3\xa4"}',
        lambda raw: DeviceReadings({"a": Device(0, "c")}).take("devices.c.a", raw, 2 * 10**18),
    ),
}


@pytest.mark.parametrize("door", DOORS)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4)),
        min_size=1,
        max_size=5,
    )
)
@settings(deadline=None)
def test_damaged_bytes_never_raise_anything_foreign(
    door: str, edits: list[tuple[int, int, bytes]]
) -> None:
    genuine, decode = DOORS[door]
    raw = bytearray(genuine)
    for at, removed, added in edits:
        start = at % (len(raw) + 1)
        raw[start : start + removed] = added
    with contextlib.suppress(GridloomError):
        decode(bytes(raw))


@pytest.mark.parametrize("door", DOORS)
def test_genuine_bytes_pass_every_door(door: str) -> None:
    genuine, decode = DOORS[door]
    decode(genuine)
