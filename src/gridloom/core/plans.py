"""Plans, verdicts and promises: what agents propose, what the gate says, what is owed to whom.

A plan is a value. It names what it wants done, why, what it expects, how to undo it, until when it holds and
on which state it was made. Nobody acts on a plan without a verdict.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Literal

import msgspec


class Rank(IntEnum):
    """Who goes first when plans conflict; lower is stronger."""

    SAFETY = 0
    RESTORATION = 1
    FREQUENCY = 2
    CONGESTION = 3
    ECONOMY = 4


class Autonomy(StrEnum):
    """How far an agent may go in a cell."""

    OBSERVE = "observe"
    """It may look; its plans are not made."""
    ADVISE = "advise"
    """Its plans are made, verified, journaled and shown; a person decides."""
    ACT = "act"
    """Its verified plans are carried out."""


class ActionKind(StrEnum):
    """What one action does to one device."""

    OPEN = "open"
    CLOSE = "close"
    SET_POINT = "set_point"
    SET_TAP = "set_tap"
    BROADCAST = "broadcast"


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be done to one device; steps run in rising order, equal steps together."""

    kind: ActionKind
    target: str
    """Id of the switch, device or cell."""
    value: float = 0.0
    unit: str = ""
    step: int = 0


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One question that the gate asked, with its worst value and the limit that it was held to."""

    name: str
    passed: bool
    worst: float
    limit: float
    unit: str
    where: str = ""
    """Id of the element with the worst value."""
    note: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent wants done."""

    id: str
    agent: str
    cell: str
    rank: Rank
    reason: str
    actions: tuple[Action, ...]
    undo: tuple[Action, ...]
    expectation: dict[str, float]
    """Named figures with their unit in the name, e.g. `restored_mw`."""
    state_hash: str
    """Hash of the switch states and model that the plan was made on."""
    made_ns: int
    expires_ns: int
    trigger: str = ""
    """What it answers: a fault id, `branch:<id>` for a prepared plan, a cadence."""
    alternatives: tuple[str, ...] = ()
    """What else was looked at and why it lost, in words."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate said of a plan."""

    plan_id: str
    accepted: bool
    checks: tuple[Check, ...]
    decided_ns: int
    autonomy: Autonomy
    """Level in force: an accepted plan is carried out only under `act`."""
    note: str = ""

    @property
    def refusals(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """Power that a device (class) owes to a service in an interval [start, end)."""

    device: str
    service: str
    p_mw: float
    """Injection promised, positive into the grid."""
    start_ns: int
    end_ns: int
    plan_id: str


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An order to one device: signed, expiring, executed at most once per (plan, epoch, step, target)."""

    plan_id: str
    epoch: int
    """Counts restarts and re-issues of a plan; a device never executes an older epoch."""
    action: Action
    issued_ns: int
    expires_ns: int
    issuer: str

    @property
    def key(self) -> str:
        """The idempotency key."""
        return f"{self.plan_id}/{self.epoch}/{self.action.step}/{self.action.target}"


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a device answers to a command."""

    key: str
    outcome: Literal[
        "accepted", "done", "failed", "duplicate", "expired", "forged", "stale", "unknown"
    ]
    at_ns: int
    note: str = ""
