"""What happens next: a queue of things to do, ordered by time, then class, then order of entry.

The order never depends on hashes or memory addresses, so the same seed gives the same run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum


class Turn(IntEnum):
    """Who goes first among things that are due at the same nanosecond."""

    HAPPENING = 0
    """Faults, movements of switches, relays."""
    SOLVE = 1
    """The power flow of this second."""
    SAMPLE = 2
    """Instruments reading what was solved."""


@dataclass(order=True, slots=True)
class _Entry:
    due_ns: int
    turn: int
    number: int
    act: Callable[[int], None] = field(compare=False)


class Agenda:
    """A deterministic queue of callables, each called with its own due time [ns]."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._number = 0

    def __len__(self) -> int:
        """Return how many things are still to be done."""
        return len(self._entries)

    @property
    def next_ns(self) -> int | None:
        """Due time of the next thing [ns], None where nothing is left."""
        return self._entries[0].due_ns if self._entries else None

    def add(self, due_ns: int, act: Callable[[int], None], turn: Turn = Turn.HAPPENING) -> None:
        """Ask that `act(due_ns)` be called when time reaches `due_ns` [ns]."""
        heapq.heappush(self._entries, _Entry(due_ns, int(turn), self._number, act))
        self._number += 1

    def run_until(self, to_ns: int) -> None:
        """Do everything that is due at or before `to_ns` [ns], including what that brings about."""
        while self._entries and self._entries[0].due_ns <= to_ns:
            entry = heapq.heappop(self._entries)
            entry.act(entry.due_ns)
