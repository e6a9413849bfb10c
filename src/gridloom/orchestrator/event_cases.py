"""What the event path keeps in mind: faults that it is locating, plans under way, and what it has done so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from gridloom.orchestrator.event_records import EventRecord, Reason, RecordKind
from gridloom.orchestrator.prepared import Operation


class Outgoing(NamedTuple):
    """One message to publish now."""

    subject: str
    payload: bytes
    message_id: str = ""


@dataclass(slots=True)
class PendingFault:
    """A breaker that has locked out and whose fault is not located yet."""

    breaker: int
    seen_ns: int
    since_ns: int
    settles_at: int
    """Pace time after which silent indicators count as not passed."""


@dataclass(slots=True)
class Execution:
    """A plan under way."""

    record: EventRecord
    step: int
    deadline: int
    """Pace time at which the current step has failed."""
    waiting: dict[str, Operation] = field(default_factory=dict)
    """Operations of the current step that are not confirmed, by key of their command."""


@dataclass(slots=True)
class Counters:
    """What has happened since the start, for the control room."""

    events: int = 0
    started: int = 0
    done: int = 0
    aborted: int = 0
    refused: int = 0
    commands: int = 0
    unrecorded: int = 0
    """Times the ring was full: then nothing was sent."""


def at_step(
    record: EventRecord, kind: RecordKind, now_ns: int, step: int, reason: Reason = Reason.NONE
) -> EventRecord:
    """Return the record of a later moment of the plan that `record` began."""
    return EventRecord(
        kind=kind,
        reason=reason,
        at_ns=now_ns,
        breaker=record.breaker,
        seen_ns=record.seen_ns,
        step=step,
        line=record.line,
        epoch=record.epoch,
        number=record.number,
        expires_ns=record.expires_ns,
        operations=record.operations,
    )
