"""The hash chain: each entry's hash covers its own bytes and the hash before it.

Pure functions over entries; where entries are kept is the journal's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gridloom.core.hashing import digest

if TYPE_CHECKING:
    from collections.abc import Iterable

GENESIS: Final = "0" * 64
"""What the first entry has before it."""


class Entry(msgspec.Struct, frozen=True):
    """One line of the journal."""

    sequence: int
    """Counts from 1 without a gap."""
    kind: str
    at_ns: int
    """Grid time [ns since 1970 UTC], given by the caller."""
    body: bytes
    """Canonical JSON."""
    hash: str
    """64 hexadecimal digits."""


class Head(msgspec.Struct, frozen=True):
    """Where a journal ended at some moment: what a witness has to remember of it."""

    sequence: int
    hash: str


EMPTY: Final = Head(0, GENESIS)


class VerifyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of the chain found."""

    ok: bool
    n: int
    """Entries that hold, counted from the first."""
    first_bad: int | None
    """Sequence of the first entry that does not hold, or is missing."""
    head_hash: str
    """Hash of the last entry that holds."""
    why: str = ""
    witnessed: bool = False
    """Whether a believable head was there to say how long the journal has to be."""


def link(before: str, sequence: int, kind: str, at_ns: int, body: bytes) -> str:
    """Return the hash of an entry that follows the hash `before`."""
    return digest(
        (before.encode(), sequence.to_bytes(8, "little"), kind.encode(), b"%d" % at_ns, body)
    )


def check_chain(entries: Iterable[Entry], witness: Head | None = None) -> VerifyResult:
    """Walk the chain from the first entry.

    Args:
        entries: All entries in rising order.
        witness: A head remembered elsewhere: the chain must reach it and agree with it. Without one,
            a missing end cannot be seen, nor a chain rewritten as a whole.

    Returns:
        The result; a broken chain is a finding, not an exception.
    """
    witnessed = witness is not None
    last = EMPTY
    for entry in entries:
        why = _fault(last, entry, witness)
        if why:
            return _broken_after(last, why, witnessed=witnessed)
        last = Head(entry.sequence, entry.hash)
    if witness is not None and witness.sequence > last.sequence:
        why = f"the end is missing: the head names {witness.sequence} entries"
        return _broken_after(last, why, witnessed=True)
    return VerifyResult(
        ok=True, n=last.sequence, first_bad=None, head_hash=last.hash, witnessed=witnessed
    )


def _broken_after(last: Head, why: str, *, witnessed: bool) -> VerifyResult:
    return VerifyResult(
        ok=False,
        n=last.sequence,
        first_bad=last.sequence + 1,
        head_hash=last.hash,
        why=why,
        witnessed=witnessed,
    )


def _fault(last: Head, entry: Entry, witness: Head | None) -> str:
    if entry.sequence != last.sequence + 1:
        return f"missing; the next entry found is {entry.sequence}"
    if entry.hash != link(last.hash, entry.sequence, entry.kind, entry.at_ns, entry.body):
        return "its hash does not match its content and the hash before it"
    if witness is not None and entry.sequence == witness.sequence and entry.hash != witness.hash:
        return "its hash is not the witnessed one: the chain was rewritten"
    return ""
