"""Sending again until somebody answers: bounded, with growing waits, without a clock of its own.

Pure logic on a time that the caller passes in; any unit of rising nanoseconds will do.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

from gridloom.core.errors import BadInput, Unavailable
from gridloom.core.units import NS_PER_MS, NS_PER_S

NEVER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to send again, and when to stop."""

    first_ns: int = 100 * NS_PER_MS
    """Wait before the second attempt [ns]; each further wait doubles."""
    most_ns: int = 2 * NS_PER_S
    """Longest wait [ns]."""
    give_up_ns: int = 600 * NS_PER_S
    """Time after the first attempt at which an unanswered item is given up [ns]."""
    capacity: int = 10_000
    """Unanswered items held at once."""

    def __post_init__(self) -> None:
        """Refuse a policy that would send without pause or never."""
        if not 0 < self.first_ns <= self.most_ns or self.give_up_ns <= 0 or self.capacity < 1:
            raise BadInput(f"a retry policy without sense: {self}")

    def wait_ns(self, attempts: int) -> int:
        """Return the wait after `attempts` attempts [ns]."""
        return min(self.first_ns << min(attempts - 1, 40), self.most_ns)


@dataclass(slots=True)
class _Pending[T]:
    item: T
    attempts: int
    due_ns: int
    until_ns: int


class RetryQueue[K, T]:
    """Items that wait for an answer, by key."""

    def __init__(self, policy: RetryPolicy | None = None) -> None:
        """Make an empty queue."""
        self.policy = policy or RetryPolicy()
        self._pending: dict[K, _Pending[T]] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._pushes = 0
        self.attempts = self.answered = self.given_up = 0

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, key: K) -> bool:
        return key in self._pending

    def items(self) -> tuple[tuple[K, T], ...]:
        """Return what waits for an answer, oldest first."""
        return tuple((key, pending.item) for key, pending in self._pending.items())

    def add(self, key: K, item: T, now_ns: int, *, until_ns: int | None = None) -> None:
        """Count a first attempt at `now_ns`; a key that waits already is left as it is.

        Args:
            key: What the answer will name.
            item: What to send again.
            now_ns: Time of the first attempt, which the caller makes.
            until_ns: When to give up; by default as the policy says.

        Raises:
            Unavailable: The queue is full: nobody has answered for too long.
        """
        if key in self._pending:
            return
        if len(self._pending) >= self.policy.capacity:
            raise Unavailable(f"{len(self._pending)} unanswered messages; the limit is reached")
        until = now_ns + self.policy.give_up_ns if until_ns is None else until_ns
        self._pending[key] = _Pending(item, 1, 0, until)
        self.attempts += 1
        self._schedule(key, now_ns + self.policy.wait_ns(1))

    def answer(self, key: K) -> T | None:
        """Take out and return the item of `key`; None if it does not wait (any more)."""
        pending = self._pending.pop(key, None)
        if pending is None:
            return None
        self.answered += 1
        return pending.item

    def postpone(self, key: K, due_ns: int) -> None:
        """Do not send `key` again before `due_ns`."""
        if key in self._pending:
            self._schedule(key, due_ns)

    def due(self, now_ns: int) -> tuple[list[tuple[K, T]], list[tuple[K, T]]]:
        """Return what to send again now, and what is given up now."""
        again: list[tuple[K, T]] = []
        over: list[tuple[K, T]] = []
        while self._heap and self._heap[0][0] <= now_ns:
            due_ns, _, key = heapq.heappop(self._heap)
            pending = self._pending.get(key)
            if pending is None or pending.due_ns != due_ns:
                continue
            if now_ns >= pending.until_ns:
                del self._pending[key]
                self.given_up += 1
                over.append((key, pending.item))
                continue
            pending.attempts += 1
            self.attempts += 1
            again.append((key, pending.item))
            self._schedule(key, now_ns + self.policy.wait_ns(pending.attempts))
        return again, over

    @property
    def next_due_ns(self) -> int:
        """When `due` has something to say; `NEVER` if nothing waits."""
        while self._heap:
            due_ns, _, key = self._heap[0]
            pending = self._pending.get(key)
            if pending is not None and pending.due_ns == due_ns:
                return due_ns
            heapq.heappop(self._heap)
        return NEVER

    def _schedule(self, key: K, due_ns: int) -> None:
        pending = self._pending[key]
        pending.due_ns = min(due_ns, pending.until_ns)
        self._pushes += 1
        heapq.heappush(self._heap, (pending.due_ns, self._pushes, key))
