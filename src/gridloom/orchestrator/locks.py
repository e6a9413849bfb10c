"""Locks that people set: nothing automatic operates a locked switch.

A lock has an owner and a reason. Only locks decide; how they are shown is the control room's matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gridloom.core.errors import BadInput, Refused, UnknownId

if TYPE_CHECKING:
    from collections.abc import Iterable


class SwitchLock(msgspec.Struct, frozen=True, kw_only=True):
    """A person's lock on one switch."""

    switch: str
    owner: str
    reason: str
    since_ns: int


class Locks:
    """The locks in force; one switch can be locked by several people, and each lifts only their own."""

    def __init__(self, known: Iterable[str]) -> None:
        """Start without locks; `known` are the ids of all switches."""
        self._known = frozenset(known)
        self._held: dict[tuple[str, str], SwitchLock] = {}

    def set(self, lock: SwitchLock) -> None:
        """Put a lock on.

        Raises:
            UnknownId: If there is no such switch.
            BadInput: If the lock names no owner.
        """
        if lock.switch not in self._known:
            raise UnknownId("switch", lock.switch, self._known)
        if not lock.owner.strip():
            raise BadInput(f"a lock on {lock.switch!r} needs the name of the person who sets it")
        self._held[lock.switch, lock.owner] = lock

    def lift(self, switch: str, owner: str) -> SwitchLock:
        """Take the owner's lock off and return it.

        Raises:
            Refused: If this person has no lock there; the message names who has.
        """
        try:
            return self._held.pop((switch, owner))
        except KeyError:
            owners = sorted(lock.owner for lock in self._held.values() if lock.switch == switch)
            held = f"it is locked by {', '.join(owners)}" if owners else "it is not locked"
            raise Refused(f"{owner} has no lock on {switch!r}: {held}") from None

    def all(self) -> tuple[SwitchLock, ...]:
        """Return the locks in force, in the order they were set."""
        return tuple(self._held.values())

    def switches(self) -> frozenset[str]:
        """Return the ids of all locked switches."""
        return frozenset(switch for switch, _ in self._held)

    def is_locked(self, switch: str) -> bool:
        """Return whether anybody has locked the switch."""
        return any(held == switch for held, _ in self._held)
