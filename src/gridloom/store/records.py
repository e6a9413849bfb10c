"""What the journal's entries say: one typed body a kind.

The body of every entry is the canonical JSON of one of these. A new kind is one Struct and one line in `KINDS`;
fields may be added with a default, never renamed or given another meaning.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from gridloom.core.errors import Malformed
from gridloom.core.plans import Acknowledgement, Command, Plan, Verdict

if TYPE_CHECKING:
    from gridloom.store.chain import Entry


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every body."""


class Started(Record, frozen=True):
    """The platform came up, on this grid, knowing these switch positions."""

    version: str
    mode: str
    grid_hash: str
    clock: str
    epoch: int
    """Counts starts; commands carry it, so that devices tell a restart from a repetition."""
    seed: int = 0
    positions: dict[str, bool] = {}
    """Switch id -> closed, as far as known at the start."""


class Stopped(Record, frozen=True):
    """The platform went down in good order; a start without it before means that it was killed."""

    reason: str


class PreparedPlan(Record, frozen=True):
    """A verified plan laid ready before it is needed; a later one for the same trigger takes its place."""

    plan: Plan
    verdict: Verdict
    generation: int = 0
    """Generation of the shared table of prepared plans."""


class DecidedPlan(Record, frozen=True):
    """A plan and what the gate said of it."""

    plan: Plan
    verdict: Verdict


class SentCommand(Record, frozen=True):
    """A command that went out, or was about to: written first, sent after."""

    command: Command
    ring_sequence: int = 0
    """Place in the event path's ring; 0 if it did not come that way."""


class Acknowledged(Record, frozen=True):
    """What a device answered."""

    acknowledgement: Acknowledgement


class Outcome(Record, frozen=True):
    """How a plan ended, measured against what it expected."""

    plan_id: str
    epoch: int
    succeeded: bool
    measured: dict[str, float] = {}
    """Named figures with their unit in the name, as in the plan's expectation."""
    note: str = ""


class Refusal(Record, frozen=True):
    """Something asked for that was not done: a plan, a forged or expired command, a hostile frame."""

    what: str
    reason: str
    plan_id: str = ""
    source: str = ""
    """Who asked."""


class OperatorDeed(StrEnum):
    """What a person can do."""

    LOCK = "lock"
    UNLOCK = "unlock"
    AUTONOMY = "autonomy"
    APPROVE = "approve"
    REJECT = "reject"
    ACKNOWLEDGE_ALARM = "acknowledge_alarm"
    REPAIRED = "repaired"
    """The target, a line that was broken, is sound again."""


class OperatorAction(Record, frozen=True):
    """Something that a person did."""

    operator: str
    deed: OperatorDeed
    target: str
    """Switch id for locks, `agent@cell` for autonomy, plan id, alarm id."""
    value: str = ""
    """The new level for autonomy."""
    note: str = ""


class Alarm(Record, frozen=True):
    """An alarm came or went."""

    id: str
    priority: int
    """1 urgent, 2 high, 3 medium, 4 low."""
    text: str
    element: str = ""
    is_active: bool = True


class PositionSeen(Record, frozen=True):
    """A switch reported where it stands."""

    switch: str
    closed: bool


class FaultSeen(Record, frozen=True):
    """A fault was located."""

    fault: str
    section: str
    """Id of the faulted branch; empty if it is not known yet."""
    evidence: tuple[str, ...] = ()
    """Instruments that said so, in words."""


KINDS: Final[dict[str, type[Record]]] = {
    "start": Started,
    "stop": Stopped,
    "prepared": PreparedPlan,
    "plan": DecidedPlan,
    "command": SentCommand,
    "acknowledgement": Acknowledged,
    "outcome": Outcome,
    "refusal": Refusal,
    "operator": OperatorAction,
    "alarm": Alarm,
    "position": PositionSeen,
    "fault": FaultSeen,
}
_KIND_OF: Final = {body: kind for kind, body in KINDS.items()}


def kind_of(record: Record) -> str:
    """Return the journal kind of `record`."""
    return _KIND_OF[type(record)]


def decode(kind: str, body: bytes) -> Record:
    """Return the typed body of an entry.

    Canonical JSON writes NaN and infinities as null; they come back as NaN.

    Raises:
        Malformed: If the kind is unknown or the body does not fit it.
    """
    if kind not in KINDS:
        message = f"unknown journal kind {kind!r}; known are {', '.join(KINDS)}"
        raise Malformed(message)
    try:
        return msgspec.json.decode(body, type=KINDS[kind])
    except msgspec.ValidationError as error:
        if b"null" not in body:
            raise _misfit(kind, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _misfit(kind, error) from error
    try:
        # No body has an optional field, so a null can only be a number that JSON has no sign for.
        return msgspec.convert(_null_to_nan(msgspec.json.decode(body)), KINDS[kind])
    except msgspec.ValidationError as error:
        raise _misfit(kind, error) from error


def record_of(entry: Entry) -> Record:
    """Return the typed body of `entry`; raises as `decode` does."""
    return decode(entry.kind, entry.body)


def _misfit(kind: str, error: Exception) -> Malformed:
    return Malformed(f"a journal body of kind {kind!r} does not fit: {error}")


def _null_to_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _null_to_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_null_to_nan(inner) for inner in value]
    return math.nan if value is None else value
