"""The errors of the store; each names the file, what is wrong with it and the way out.

Refused      -> StoreLocked      another process writes here
             -> RingFull         the oldest record is not drained yet
             -> Overdrawn        a posting would take an account below zero
             -> KeyReused        a transaction key with a different content
Malformed    -> JournalDamaged   the chain does not hold, or its end is missing
             -> RingMalformed    not a ring, or one of another shape
Unavailable  -> StoreFailed      the disk is full or gone
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridloom.core.errors import Malformed, Refused, Unavailable

if TYPE_CHECKING:
    from pathlib import Path


class StoreLocked(Refused):
    """Another process, or another object in this one, writes here."""

    def __init__(self, path: Path, owner: str) -> None:
        """Name the locked file and the process that holds it."""
        self.path, self.owner = path, owner
        super().__init__(
            f"{path} is being written by process {owner or 'unknown'}; "
            "stop that one first, or open a reader"
        )


class RingFull(Refused):
    """The oldest record of a ring is not drained yet and will not be overwritten."""

    def __init__(self, path: Path, capacity: int) -> None:
        """Name the ring and its size."""
        self.path, self.capacity = path, capacity
        super().__init__(
            f"{path} holds {capacity} records that are not drained yet; "
            "see that the drain runs, or make the ring larger"
        )


class RingMalformed(Malformed):
    """The file is not a ring, or a ring of another shape."""

    def __init__(self, path: Path, what: str) -> None:
        """Name the file and what is wrong with it."""
        self.path, self.what = path, what
        super().__init__(f"{path}: {what}")


class JournalDamaged(Malformed):
    """The journal's chain does not hold, or its end is missing."""

    def __init__(self, path: Path, sequence: int, what: str) -> None:
        """Name the journal, the first bad sequence and what is wrong with it."""
        self.path, self.sequence, self.what = path, sequence, what
        super().__init__(
            f"{path}, entry {sequence}: {what}; restore the file from a copy, "
            "or move it aside and start a new one"
        )


class StoreFailed(Unavailable):
    """The disk did not take what had to be written."""

    def __init__(self, path: Path, what: str) -> None:
        """Name the file and the system's own words."""
        self.path, self.what = path, what
        super().__init__(f"cannot write {path}: {what}; free some space or check the disk")


class Overdrawn(Refused):
    """A posting would take an account below zero that may not go there."""

    def __init__(self, account: str, balance: int, amount: int) -> None:
        """Name the account, its balance and the amount asked for [the account's unit]."""
        self.account, self.balance, self.amount = account, balance, amount
        super().__init__(f"account {account} holds {balance}; {amount} would take it below zero")


class KeyReused(Refused):
    """A transaction key was used before for a different content."""

    def __init__(self, key: str) -> None:
        """Name the key."""
        self.key = key
        super().__init__(f"transaction {key!r} is already posted with a different content")
