"""What a world must remember over a restart of its process: the time, where switches stand, what is broken.

Travels under way, timers of relays and unanswered events are not kept: a breaker that was about to reclose stays
open, and positions reach the platform with the next scan.
"""

from __future__ import annotations

import msgspec

from gridloom.core.errors import Malformed


class BrokenLine(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that is not repaired."""

    line: str
    fraction: float
    resistance_ohm: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The lasting state of a world."""

    grid_hash: str
    """Of the documented grid; another grid cannot take this memory."""
    now_ns: int
    """Grid time of the state [ns since 1970 UTC]."""
    wall_ns: int
    """Machine time of the state [ns since 1970 UTC], so that grid time can go on where it would be."""
    faults_so_far: int
    closed: bytes
    """One byte a switch, 1 closed."""
    blown: tuple[int, ...]
    """Rows of the switches whose fuse has melted."""
    dead_lines: tuple[int, ...]
    """Rows of the lines that have burnt off."""
    broken: tuple[BrokenLine, ...]


def encode(memory: Memory) -> bytes:
    """Return the JSON of a memory."""
    return msgspec.json.encode(memory)


def decode(data: bytes) -> Memory:
    """Return the memory in JSON `data`, or raise `Malformed`."""
    try:
        return msgspec.json.decode(data, type=Memory)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Malformed(f"not the memory of a field: {error}") from None
