"""What the event path writes to its ring before it acts, and what the journal makes of it.

One record has one fixed size and holds everything that a restart needs to go on: the whole plan, not a reference
to a table that may have changed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from gridloom.core.errors import Malformed
from gridloom.core.plans import Action, ActionKind, Command
from gridloom.core.units import NS_PER_MS, NS_PER_S
from gridloom.orchestrator.prepared import MOST_OPERATIONS, Operation
from gridloom.orchestrator.restoration import plan_id
from gridloom.store.journal import Draft
from gridloom.store.records import FaultSeen, Outcome, Record, Refusal, SentCommand, kind_of

if TYPE_CHECKING:
    from gridloom.orchestrator.prepared import Static

ISSUER: Final = "event path"
COMMAND_LIFE_NS: Final = 30 * NS_PER_S
"""From issue to expiry of a command: a switch with a motor takes up to 7 s, a lost answer is asked for again [ns]."""
_HEAD: Final = struct.Struct("<BBBBiiIqqqqq")
_OPERATION: Final = struct.Struct("<iBB")
RECORD_BYTES: Final = _HEAD.size + MOST_OPERATIONS * _OPERATION.size


class RecordKind(IntEnum):
    """What happened."""

    LOCKED_OUT = 1
    """A relay has locked out; the fault is being located."""
    STARTED = 2
    """A plan begins: its first step is about to be sent."""
    STEP = 3
    """A later step is about to be sent."""
    DONE = 4
    ABORTED = 5
    REFUSED = 6


class Reason(IntEnum):
    """Why a plan was not carried out, or not to its end."""

    NONE = 0
    CONTRADICTION = 1
    AMBIGUOUS = 2
    NO_PLAN = 3
    OTHER_BREAKER = 4
    EXPIRED = 5
    STALE = 6
    LOCKED = 7
    NOT_ALLOWED = 8
    BUSY = 9
    NOT_MOVED = 10
    NO_ANSWER = 11
    FAULT_AGAIN = 12
    RESTARTED = 13
    UNREACHABLE = 14
    CONFIRMED_OTHERWISE = 15


WORDS: Final = {
    Reason.NONE: "",
    Reason.CONTRADICTION: "the fault indicators contradict each other",
    Reason.AMBIGUOUS: "the fault indicators fit several sections",
    Reason.NO_PLAN: "no verified plan is prepared for this section",
    Reason.OTHER_BREAKER: "another breaker has tripped than the plan counts on",
    Reason.EXPIRED: "the plan has expired",
    Reason.STALE: "a switch has moved since the plan was made",
    Reason.LOCKED: "a person has locked a switch of the plan",
    Reason.NOT_ALLOWED: "the agent may not act here; a person decides",
    Reason.BUSY: "another plan is moving one of these switches",
    Reason.NOT_MOVED: "a switch did not move",
    Reason.NO_ANSWER: "a switch did not answer in time",
    Reason.FAULT_AGAIN: "a relay has picked up again",
    Reason.RESTARTED: "the event path restarted while it was locating",
    Reason.UNREACHABLE: "a switch of the plan takes no commands",
    Reason.CONFIRMED_OTHERWISE: "a switch has left the position that an earlier step gave it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One record of the ring."""

    kind: RecordKind
    at_ns: int
    """Grid time [ns]."""
    breaker: int
    """Switch row of the breaker that locked out."""
    seen_ns: int
    """Time that the event frame carries [ns]."""
    reason: Reason = Reason.NONE
    step: int = 0
    line: int = -1
    epoch: int = 0
    number: int = 0
    took_ns: int = 0
    """Machine time from the frame's arrival to this record [ns]; 0 on a stepped clock."""
    expires_ns: int = 0
    operations: tuple[Operation, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes of the record."""
        head = _HEAD.pack(
            self.kind,
            self.reason,
            self.step,
            len(self.operations),
            self.line,
            self.breaker,
            self.epoch,
            self.number,
            self.at_ns,
            self.seen_ns,
            self.took_ns,
            self.expires_ns,
        )
        return head + b"".join(
            _OPERATION.pack(operation.switch, operation.close, operation.step)
            for operation in self.operations
        )

    @classmethod
    def decode(cls, raw: bytes) -> EventRecord:
        """Return the record in `raw`.

        Raises:
            Malformed: The bytes are no record.
        """
        try:
            kind, reason, step, count, line, breaker, epoch, number, *times = _HEAD.unpack_from(raw)
            operations = tuple(
                Operation(switch, bool(close), of_step)
                for switch, close, of_step in _OPERATION.iter_unpack(raw[_HEAD.size :])
            )
            if len(operations) != count:
                raise Malformed(f"a record says {count} operations and has {len(operations)}")
            return cls(
                kind=RecordKind(kind),
                reason=Reason(reason),
                step=step,
                line=line,
                breaker=breaker,
                epoch=epoch,
                number=number,
                at_ns=times[0],
                seen_ns=times[1],
                took_ns=times[2],
                expires_ns=times[3],
                operations=operations,
            )
        except (struct.error, ValueError) as error:
            raise Malformed(
                f"{len(raw)} bytes that are no record of the event path: {error}"
            ) from None


def command_of(
    static: Static, record: EventRecord, operation: Operation, issued_ns: int
) -> Command:
    """Return the order that carries out one operation of a plan."""
    return Command(
        plan_id=plan_id(record.number),
        epoch=record.epoch,
        action=Action(
            kind=ActionKind.CLOSE if operation.close else ActionKind.OPEN,
            target=static.switch_ids[operation.switch],
            step=operation.step,
        ),
        issued_ns=issued_ns,
        expires_ns=issued_ns + COMMAND_LIFE_NS,
        issuer=ISSUER,
    )


def journal_decoder(static: Static) -> Callable[[bytes], Sequence[Draft]]:
    """Return what turns ring records into journal entries, for `store.drain.drain_ring`."""

    def decode(raw: bytes) -> Sequence[Draft]:
        record = EventRecord.decode(raw)
        return [Draft(kind_of(body), body, record.at_ns) for body in _bodies(static, record)]

    return decode


def fault_id(static: Static, record: EventRecord) -> str:
    """Return the id of the fault that a record is about: the breaker that cleared it, and when."""
    return f"{_name(static.switch_ids, record.breaker)}@{record.seen_ns}"


def _bodies(static: Static, record: EventRecord) -> list[Record]:
    fault = fault_id(static, record)
    head = _name(static.switch_ids, record.breaker)
    match record.kind:
        case RecordKind.LOCKED_OUT:
            return [FaultSeen(fault=fault, section="", evidence=(f"relay at {head} locked out",))]
        case RecordKind.STARTED:
            return [*_located(static, record), *_sent(static, record)]
        case RecordKind.STEP:
            return list(_sent(static, record))
        case RecordKind.DONE | RecordKind.ABORTED:
            return [_outcome(record)]
        case RecordKind.REFUSED:
            line = f" on {static.line_ids[record.line]}" if record.line >= 0 else ""
            return [
                *_located(static, record),
                Refusal(
                    what=f"restoration after fault {fault}{line}",
                    reason=WORDS[record.reason],
                    plan_id=plan_id(record.number) if record.number else "",
                    source=ISSUER,
                ),
            ]


def _located(static: Static, record: EventRecord) -> list[FaultSeen]:
    """Return what is known of the place of a fault, nothing where it was not found."""
    if record.line < 0:
        return []
    head, line = _name(static.switch_ids, record.breaker), _name(static.line_ids, record.line)
    evidence = (f"relay at {head} locked out", f"indicators say {line}")
    return [FaultSeen(fault=fault_id(static, record), section=line, evidence=evidence)]


def _sent(static: Static, record: EventRecord) -> list[SentCommand]:
    return [
        SentCommand(command=command_of(static, record, operation, record.at_ns))
        for operation in record.operations
        if operation.step == record.step
    ]


def _outcome(record: EventRecord) -> Outcome:
    measured = {"since_fault_ms": (record.at_ns - record.seen_ns) / NS_PER_MS}
    return Outcome(
        plan_id=plan_id(record.number),
        epoch=record.epoch,
        succeeded=record.kind is RecordKind.DONE,
        measured=measured,
        note=WORDS[record.reason],
    )


def _name(ids: list[str], row: int) -> str:
    return ids[row] if 0 <= row < len(ids) else f"row {row}"
