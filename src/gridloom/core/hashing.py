"""One canonical encoding and one hash, for state hashes, the journal's chain and file manifests."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENCODER = msgspec.json.Encoder(order="sorted")


def canonical_bytes(value: Any) -> bytes:  # noqa: ANN401 - anything msgspec can encode
    """Return the canonical JSON of `value`: sorted keys, no spaces; equal values give equal bytes."""
    return _ENCODER.encode(value)


def digest(parts: Iterable[bytes]) -> str:
    """Return the SHA-256 of the length-prefixed `parts` as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()
