"""The birth: what a field says of itself before the first reading, so that rows have a meaning.

A platform asks for it on `field.birth` and refuses to read frames whose epoch is not the birth's.
On the wire: `GB`, version, then zlib over MessagePack. The size after unpacking is bounded, so that a few
kilobytes cannot fill the memory.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from gridloom.core.errors import Malformed
from gridloom.ioe.decoding import DECODE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Buffer

MAX_BIRTH_BYTES: Final = 256 * 1024 * 1024
_MAGIC: Final = b"GB\x01"


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """What a field is made of and how its time runs."""

    grid_hash: str
    """Hash of the grid model that rows refer to."""
    grid_uri: str
    instruments: bytes
    """Table of instruments as Arrow IPC bytes; frames' `index` are its rows."""
    epoch: int
    """Counts the starts of the field."""
    start_ns: int
    """Grid time at the start [ns since 1970 UTC]."""
    clock: str = "real"
    """`real`, `stepped` or `accelerated`."""
    speed: float = 1.0
    """Grid seconds per wall second."""
    gateways: dict[str, str] = {}
    """Name of each source to its cell path."""
    positions: bytes = b""
    """Switch positions at the start, one byte a switch, 1 closed; empty if as in the model."""
    device_keys: dict[str, bytes] = {}
    """Public Ed25519 keys of devices that sign, by name."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Birth)


def encode(birth: Birth) -> bytes:
    """Return the bytes of `birth`."""
    return _MAGIC + zlib.compress(_ENCODER.encode(birth), level=1)


def decode(data: Buffer) -> Birth:
    """Return the birth in `data`.

    Raises:
        Malformed: The bytes are not one birth, or unpack to more than `MAX_BIRTH_BYTES`.
    """
    raw = bytes(data)
    if not raw.startswith(_MAGIC):
        raise Malformed(f"not a birth: it starts with {raw[:3]!r}")
    unpack = zlib.decompressobj()
    try:
        body = unpack.decompress(raw[len(_MAGIC) :], MAX_BIRTH_BYTES)
    except zlib.error as error:
        raise Malformed(f"a birth that does not unpack: {error}") from None
    if not unpack.eof or unpack.unused_data:
        raise Malformed(f"a birth is one whole block of at most {MAX_BIRTH_BYTES} bytes")
    try:
        return _DECODER.decode(body)
    except DECODE_ERRORS as error:
        raise Malformed(f"a birth with wrong content: {error}") from None
