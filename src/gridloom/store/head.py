"""The head file: beside a journal, how far it had come, so that a cut-off end is found.

Two slots of 512 bytes are written in turn, each with a checksum, so that a torn write spoils the older one at most.
With a seal (a signing function whose key is kept elsewhere) nobody else can write a head that is believed;
an old head put back with the old journal can only be found by a witness outside this machine.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from gridloom.store.chain import EMPTY, Head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SLOT_BYTES: Final = 512


class _Slot(msgspec.Struct, array_like=True):
    sequence: int
    hash: str
    seal: bytes
    crc: int


_DECODER = msgspec.msgpack.Decoder(_Slot)


def sealed_bytes(head: Head) -> bytes:
    """Return what a seal signs: the position and hash of `head`."""
    return b"gridloom journal head %d %s" % (head.sequence, head.hash.encode())


class HeadFile:
    """The writing side."""

    def __init__(self, path: Path, seal: Callable[[bytes], bytes] | None = None) -> None:
        """Open or create; `seal` returns a signature of at most 256 bytes."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._seal = seal
        if os.fstat(self._file).st_size < 2 * SLOT_BYTES:
            os.pwrite(self._file, bytes(2 * SLOT_BYTES), 0)  # later writes need no new space
        first, second = (_read_slot(os.pread(self._file, SLOT_BYTES, at)) for at in (0, SLOT_BYTES))
        newer_is_first = first is not None and (second is None or first.sequence > second.sequence)
        self._next_slot = int(newer_is_first)

    def write(self, head: Head) -> None:
        """Note `head`; call it after the entries are on the disk, never before."""
        seal = b"" if self._seal is None else self._seal(sealed_bytes(head))
        crc = zlib.crc32(sealed_bytes(head) + seal)
        packed = msgspec.msgpack.encode(_Slot(head.sequence, head.hash, seal, crc))
        slot = len(packed).to_bytes(2, "little") + packed
        os.pwrite(self._file, slot.ljust(SLOT_BYTES, b"\0"), self._next_slot * SLOT_BYTES)
        self._next_slot = 1 - self._next_slot

    def close(self) -> None:
        """Put it on the disk and close; a second call does nothing."""
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1


def read_head(path: Path, check_seal: Callable[[bytes, bytes], bool] | None = None) -> Head | None:
    """Return the newest believable head in the file, or None if there is none.

    Args:
        path: The head file; it may be missing.
        check_seal: Says whether a seal (second argument) belongs to the bytes (first argument).
            None believes every head whose checksum holds.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    best: Head | None = None
    for slot in (_read_slot(raw[:SLOT_BYTES]), _read_slot(raw[SLOT_BYTES:])):
        if slot is None:
            continue
        head = Head(slot.sequence, slot.hash)
        if check_seal is not None and not check_seal(sealed_bytes(head), slot.seal):
            continue
        if head.sequence >= (best or EMPTY).sequence:
            best = head
    return best


def _read_slot(raw: bytes) -> _Slot | None:
    length = int.from_bytes(raw[:2], "little")
    try:
        slot = _DECODER.decode(raw[2 : 2 + length])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    whole = sealed_bytes(Head(slot.sequence, slot.hash)) + slot.seal
    return slot if zlib.crc32(whole) == slot.crc else None
