"""Ed25519 keys and the envelope around a command.

    0   2s   magic, `GC`
    2   u8   version, 1
    3   u8   zero
    4   8s   key id: first bytes of the SHA-256 of the public key
    12  64s  signature over a fixed prefix and the body
    76  ...  body: the command as MessagePack

The body is not looked at before the signature holds.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gridloom.core.errors import BadInput, Malformed, Refused, Unavailable
from gridloom.core.plans import Command
from gridloom.ioe.decoding import DECODE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HEAD: Final = b"GC\x01\x00"
_KEY_ID_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64
_BODY_AT: Final = len(_HEAD) + _KEY_ID_BYTES + _SIGNATURE_BYTES
MAX_ENVELOPE_BYTES: Final = 64 * 1024
# Keeps a signature made here from meaning anything elsewhere.
_CONTEXT: Final = b"gridloom command 1\x00"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Command)
_PUBLIC_SUFFIX: Final = ".pub"
_KEY_BYTES: Final = 32


class Forged(Refused):
    """An envelope whose signature does not hold, or whose key is not known."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs commands with one private key."""

    _key: Ed25519PrivateKey = field(repr=False)
    key_id: bytes

    @classmethod
    def generate(cls) -> Self:
        """Return a signer with a new key that is in no file."""
        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return the signer of the key in `path`; at the first call the key is made, with mode 0600.

        The public half stands beside it as `<path>.pub`: give that file to devices.

        Raises:
            BadInput: The file is no key, or others than its owner can read it.
        """
        if not path.exists():
            _make_key(path)
        if path.stat().st_mode & 0o077:
            raise BadInput(f"key {path} can be read by others; run: chmod 600 {path}")
        return cls._of(Ed25519PrivateKey.from_private_bytes(_read_key(path)))

    @classmethod
    def _of(cls, key: Ed25519PrivateKey) -> Self:
        return cls(key, key_id(_public_bytes(key)))

    @property
    def public_key(self) -> bytes:
        """The public half, 32 bytes."""
        return _public_bytes(self._key)

    def sign(self, command: Command) -> bytes:
        """Return the envelope of `command`."""
        body = _ENCODER.encode(command)
        return b"".join((_HEAD, self.key_id, self._key.sign(_CONTEXT + body), body))


@dataclass(frozen=True, slots=True)
class Verifier:
    """Opens envelopes that were signed with one of the known keys."""

    _keys: dict[bytes, Ed25519PublicKey]

    @classmethod
    def of(cls, public_keys: Iterable[bytes]) -> Self:
        """Return a verifier that trusts `public_keys` (32 bytes each).

        Raises:
            BadInput: One of them is not a key.
        """
        keys = {}
        for raw in public_keys:
            try:
                keys[key_id(raw)] = Ed25519PublicKey.from_public_bytes(raw)
            except ValueError as error:
                raise BadInput(f"not a public key: {error}") from None
        return cls(keys)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return a verifier that trusts the public key in `path`.

        Raises:
            Unavailable: There is no such file.
            BadInput: The file is no key.
        """
        return cls.of([_read_key(path)])

    def verify(self, envelope: bytes) -> Command:
        """Return the command in `envelope`.

        Raises:
            Malformed: The bytes are no envelope, or what was signed is no command.
            Forged: The key is not known or the signature does not hold.
        """
        envelope = bytes(envelope)
        if not _BODY_AT < len(envelope) <= MAX_ENVELOPE_BYTES or not envelope.startswith(_HEAD):
            raise Malformed(f"{len(envelope)} bytes that are no command envelope")
        signed_by = envelope[len(_HEAD) : len(_HEAD) + _KEY_ID_BYTES]
        key = self._keys.get(signed_by)
        if key is None:
            raise Forged(f"signed with an unknown key {signed_by.hex()}")
        body = envelope[_BODY_AT:]
        try:
            key.verify(envelope[_BODY_AT - _SIGNATURE_BYTES : _BODY_AT], _CONTEXT + body)
        except InvalidSignature:
            raise Forged(f"signature by key {signed_by.hex()} does not hold") from None
        try:
            return _DECODER.decode(body)
        except DECODE_ERRORS as error:
            raise Malformed(f"a signed body that is no command: {error}") from None


def key_id(public_key: bytes) -> bytes:
    """Return the 8 bytes by which envelopes name a key."""
    return hashlib.sha256(public_key).digest()[:_KEY_ID_BYTES]


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _make_key(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    _write_new(path, private, 0o600)
    _write_new(path.with_name(path.name + _PUBLIC_SUFFIX), _public_bytes(key), 0o644)


def _write_new(path: Path, raw: bytes, mode: int) -> None:
    """Write a whole key or none: other processes may look for the file at any moment."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w") as file:
        file.write(raw.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read_key(path: Path) -> bytes:
    try:
        raw = bytes.fromhex(path.read_text())
    except FileNotFoundError:
        raise Unavailable(f"no key at {path}") from None
    except ValueError:
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise BadInput(f"{path} does not hold a key of {2 * _KEY_BYTES} hexadecimal digits")
    return raw
