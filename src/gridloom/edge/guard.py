"""The last word before a device moves: is this order genuine, timely, new and for me?

Pure logic on arguments: no input or output, no clock, no cryptography of its own. What it remembers is saved and
restored as bytes, so that a device that restarts does not carry out an order twice.

Memory is bounded. When an order is forgotten, the guard raises a floor: orders issued before the floor are refused
as stale, because nobody could tell any more whether they were carried out. Replay protection thus needs no clock.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from gridloom.core.errors import BadInput, GridloomError, Malformed
from gridloom.core.units import NS_PER_S

type Outcome = Literal["accepted", "duplicate", "expired", "failed", "forged", "stale", "unknown"]
_STATE_VERSION: Final = 1
_FINAL: Final = ("failed", "stale")
"""Refusals that time could undo: a copy that comes later must not be carried out after its sender was told no."""


class _Action(Protocol):
    @property
    def target(self) -> str: ...


class Order(Protocol):
    """What the guard needs to know of a command; `core.plans.Command` is one."""

    @property
    def plan_id(self) -> str:
        """The plan that it belongs to."""
        ...

    @property
    def epoch(self) -> int:
        """Issue of the plan; an older one is never carried out."""
        ...

    @property
    def action(self) -> _Action:
        """What to do, with its `target`."""
        ...

    @property
    def issued_ns(self) -> int:
        """When it was signed [ns since 1970 UTC]."""
        ...

    @property
    def expires_ns(self) -> int:
        """From when on it is void [ns since 1970 UTC]."""
        ...

    @property
    def key(self) -> str:
        """The idempotency key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """How tolerant a guard is."""

    clock_tolerance_ns: int = 2 * NS_PER_S
    """How far an order may be ahead of the device's clock [ns]."""
    longest_life_ns: int = 3600 * NS_PER_S
    """Longest time from issue to expiry [ns]; an order that lives longer is refused as stale."""
    memory: int = 4096
    """Orders remembered."""
    burst: int = 8
    """Orders that one target takes at once."""
    refill_ns: int = NS_PER_S // 2
    """Time after which a target may take one more [ns]."""


@dataclass(frozen=True, slots=True)
class Decision[O: Order]:
    """What the guard says; the fields of an acknowledgement, and the order if it was genuine."""

    outcome: Outcome
    key: str
    at_ns: int
    note: str = ""
    order: O | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the device shall carry the order out, now and once."""
        return self.outcome == "accepted"


class CommandGuard[O: Order]:
    """Decides on each envelope that reaches a device or a group of devices behind one gateway."""

    def __init__(
        self,
        verify: Callable[[bytes], O],
        targets: Collection[str],
        *,
        limits: GuardLimits | None = None,
    ) -> None:
        """Make a guard that has seen nothing.

        Args:
            verify: Returns the order in an envelope, or raises a `GridloomError` if it is not genuine.
            targets: Ids that this device answers for.
            limits: Tolerances; the defaults suit a switch or a gateway.
        """
        self._verify, self._targets = verify, targets
        self.limits = limits or GuardLimits()
        if self.limits.memory < 1 or self.limits.burst < 1 or self.limits.refill_ns < 1:
            raise BadInput(f"a guard needs memory, burst and refill of at least 1: {self.limits}")
        self._seen: OrderedDict[str, int] = OrderedDict()  # key -> issued_ns
        self._epochs: OrderedDict[str, tuple[int, int]] = OrderedDict()  # plan -> epoch, issued_ns
        self._refused: OrderedDict[str, Outcome] = OrderedDict()
        self._floor_ns = -1
        self._newest_issue_ns = 0
        self._free_at_ns: dict[str, int] = {}

    def check(self, envelope: bytes, now_ns: int) -> Decision[O]:
        """Decide on `envelope` at the device's time `now_ns`; an accepted order is remembered at once.

        Save the guard's state before carrying the order out: then a crash in between loses an order, which its
        sender notices, but never doubles one.
        """
        try:
            order = self._verify(envelope)
        except GridloomError as error:
            return Decision("forged", "", now_ns, str(error))
        outcome, note = self._judge(order, now_ns)
        if outcome == "accepted":
            self._remember(order)
        elif outcome in _FINAL:
            self._refuse(order.key, outcome)
        return Decision(outcome, order.key, now_ns, note, order)

    def _judge(self, order: O, now_ns: int) -> tuple[Outcome, str]:
        if order.action.target not in self._targets:
            return "unknown", f"no target {order.action.target!r} here"
        if order.key in self._seen:
            return "duplicate", "already taken"
        if order.key in self._refused:
            return self._refused[order.key], "refused before"
        refusal = self._untimely(order, now_ns) or self._outdated(order)
        if refusal is not None:
            return refusal
        if not self._takes_one_more(order.action.target, now_ns):
            burst = self.limits.burst
            return "failed", f"more than {burst} orders at once for {order.action.target}"
        return "accepted", ""

    def _untimely(self, order: O, now_ns: int) -> tuple[Outcome, str] | None:
        limits = self.limits
        if order.issued_ns > now_ns + limits.clock_tolerance_ns:
            ahead_s = (order.issued_ns - now_ns) / NS_PER_S
            return "stale", f"issued {ahead_s:.3f} s in the future: one of the two clocks jumped"
        # A genuine order proves that its time has come: no clock may fall behind what was signed.
        time_ns = max(now_ns, self._newest_issue_ns)
        if order.expires_ns <= time_ns:
            return "expired", f"void since {(time_ns - order.expires_ns) / NS_PER_S:.3f} s"
        life_ns = order.expires_ns - order.issued_ns
        if not 0 < life_ns <= limits.longest_life_ns:
            limit_s = limits.longest_life_ns / NS_PER_S
            return "stale", f"lives {life_ns / NS_PER_S:.3f} s; the limit is {limit_s:.3f} s"
        return None

    def _outdated(self, order: O) -> tuple[Outcome, str] | None:
        if order.issued_ns <= self._floor_ns:
            return "stale", "older than this device's memory"
        newest = self._epochs.get(order.plan_id, (order.epoch, 0))[0]
        if order.epoch < newest:
            return "stale", f"epoch {order.epoch} of the plan is older than {newest}"
        return None

    def _takes_one_more(self, target: str, now_ns: int) -> bool:
        """Count down a token bucket, kept as the time at which it would be full again."""
        limits = self.limits
        most_ns = limits.burst * limits.refill_ns
        # After a clock that jumped back, a bucket is at most empty, never locked for ever.
        full_at_ns = min(max(self._free_at_ns.get(target, 0), now_ns), now_ns + most_ns)
        if full_at_ns + limits.refill_ns > now_ns + most_ns:
            return False
        self._free_at_ns[target] = full_at_ns + limits.refill_ns
        return True

    def _remember(self, order: O) -> None:
        self._seen[order.key] = order.issued_ns
        self._newest_issue_ns = max(self._newest_issue_ns, order.issued_ns)
        epoch, issued_ns = self._epochs.pop(order.plan_id, (order.epoch, order.issued_ns))
        self._epochs[order.plan_id] = max(epoch, order.epoch), max(issued_ns, order.issued_ns)
        while len(self._seen) > self.limits.memory:
            _, forgotten_ns = self._seen.popitem(last=False)
            self._floor_ns = max(self._floor_ns, forgotten_ns)
        while len(self._epochs) > self.limits.memory:
            _, (_, forgotten_ns) = self._epochs.popitem(last=False)
            self._floor_ns = max(self._floor_ns, forgotten_ns)

    def _refuse(self, key: str, outcome: Outcome) -> None:
        self._refused[key] = outcome
        while len(self._refused) > self.limits.memory:
            self._refused.popitem(last=False)

    def save(self) -> bytes:
        """Return all that must outlive a restart."""
        state = {
            "version": _STATE_VERSION,
            "seen": list(self._seen.items()),
            "epochs": [[plan, *pair] for plan, pair in self._epochs.items()],
            "refused": list(self._refused.items()),
            "floor_ns": self._floor_ns,
            "newest_issue_ns": self._newest_issue_ns,
        }
        return json.dumps(state, separators=(",", ":")).encode()

    def restore(self, state: bytes) -> None:
        """Take over what `save` returned before a restart.

        Raises:
            Malformed: The bytes are damaged. Call `forget_before` then: the guard stays safe without its memory.
        """
        try:
            read: Any = json.loads(state)
            if read["version"] != _STATE_VERSION:
                raise Malformed(f"state of a guard has version {read['version']}")
            seen = OrderedDict((str(key), int(issued_ns)) for key, issued_ns in read["seen"])
            epochs = OrderedDict(
                (str(plan), (int(epoch), int(issued_ns)))
                for plan, epoch, issued_ns in read["epochs"]
            )
            refused = OrderedDict((str(key), _refusal(outcome)) for key, outcome in read["refused"])
            floor_ns, newest_ns = int(read["floor_ns"]), int(read["newest_issue_ns"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if isinstance(error, Malformed):
                raise
            raise Malformed(f"state of a guard is damaged: {error}") from None
        self._seen, self._epochs, self._refused = seen, epochs, refused
        self._floor_ns, self._newest_issue_ns = floor_ns, newest_ns

    def forget_before(self, time_ns: int) -> None:
        """Refuse every order issued up to `time_ns`, because it is not known what was carried out."""
        self._floor_ns = max(self._floor_ns, time_ns)


def _refusal(text: object) -> Outcome:
    if text == "failed":
        return "failed"
    if text == "stale":
        return "stale"
    raise Malformed(f"a guard refuses with {', '.join(_FINAL)}, not {text!r}")
