"""From the journal back to where things stood: what a restart goes on from, and what `journal replay` shows.

A fold over entries in order; the same entries always give the same result. Kinds that it does not know are
counted and passed over, so an older program can read a newer journal.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gridloom.core.errors import Malformed
from gridloom.core.plans import ActionKind, Autonomy, Command
from gridloom.store.records import (
    Acknowledged,
    Alarm,
    DecidedPlan,
    FaultSeen,
    OperatorAction,
    OperatorDeed,
    Outcome,
    PositionSeen,
    PreparedPlan,
    Record,
    SentCommand,
    Started,
    Stopped,
    record_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gridloom.store.chain import Entry

_STILL_OPEN: Final = "accepted"
"""The one answer after which a command is still on its way."""


@dataclass(frozen=True)
class Replayed:
    """Where things stood after the last entry."""

    sequence: int
    at_ns: int
    """Grid time of the last entry [ns since 1970 UTC]; 0 for an empty journal."""
    epoch: int
    """Of the last start; 0 if there was none."""
    grid_hash: str
    was_stopped: bool
    """False if the platform was killed, or still runs."""
    positions: dict[str, bool]
    """Switch id -> closed, as last reported or acknowledged."""
    prepared: dict[str, PreparedPlan]
    """Trigger -> the plan laid ready for it."""
    decided: dict[str, DecidedPlan]
    """Plan id -> accepted plan without an outcome yet."""
    open_commands: dict[str, Command]
    """Idempotency key -> sent, and neither carried out nor refused by its device."""
    executed: dict[str, bool]
    """Plan id -> whether it succeeded, in the order of the outcomes."""
    locked: tuple[str, ...]
    """Switches that a person has locked, sorted."""
    autonomy: dict[str, Autonomy]
    """`agent@cell` -> level set by a person."""
    faulted: tuple[str, ...]
    """Lines that are broken and not reported repaired, sorted."""
    alarms: dict[str, Alarm]
    """Alarms that are on."""
    counts: dict[str, int]
    """Entries of each kind."""
    unknown: int
    """Entries of a kind, or with a body, that this version cannot read."""


@dataclass
class _Fold:
    epoch: int = 0
    grid_hash: str = ""
    was_stopped: bool = False
    positions: dict[str, bool] = field(default_factory=dict)
    prepared: dict[str, PreparedPlan] = field(default_factory=dict)
    decided: dict[str, DecidedPlan] = field(default_factory=dict)
    open_commands: dict[str, Command] = field(default_factory=dict)
    executed: dict[str, bool] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    autonomy: dict[str, Autonomy] = field(default_factory=dict)
    faulted: set[str] = field(default_factory=set)
    alarms: dict[str, Alarm] = field(default_factory=dict)

    def started(self, record: Started) -> None:
        self.epoch, self.grid_hash, self.was_stopped = record.epoch, record.grid_hash, False
        self.positions.update(record.positions)

    def stopped(self, _: Stopped) -> None:
        self.was_stopped = True

    def prepared_plan(self, record: PreparedPlan) -> None:
        self.prepared[record.plan.trigger] = record

    def decided_plan(self, record: DecidedPlan) -> None:
        if record.verdict.accepted:
            self.decided[record.plan.id] = record

    def sent(self, record: SentCommand) -> None:
        self.open_commands[record.command.key] = record.command

    def acknowledged(self, record: Acknowledged) -> None:
        answer = record.acknowledgement
        if answer.outcome == _STILL_OPEN:
            return
        command = self.open_commands.pop(answer.key, None)
        # A duplicate says only that the device had the command before: where it stands, it reports itself.
        if command is not None and answer.outcome == "done":
            self._moved(command)

    def _moved(self, command: Command) -> None:
        if command.action.kind in {ActionKind.OPEN, ActionKind.CLOSE}:
            self.positions[command.action.target] = command.action.kind == ActionKind.CLOSE

    def ended(self, record: Outcome) -> None:
        self.executed[record.plan_id] = record.succeeded
        self.decided.pop(record.plan_id, None)

    def operated(self, record: OperatorAction) -> None:
        if record.deed == OperatorDeed.LOCK:
            self.locked.add(record.target)
        elif record.deed == OperatorDeed.UNLOCK:
            self.locked.discard(record.target)
        elif record.deed == OperatorDeed.AUTONOMY:
            self.autonomy[record.target] = Autonomy(record.value)
        elif record.deed == OperatorDeed.REPAIRED:
            self.faulted.discard(record.target)

    def fault_seen(self, record: FaultSeen) -> None:
        if record.section:
            self.faulted.add(record.section)

    def alarmed(self, record: Alarm) -> None:
        if record.is_active:
            self.alarms[record.id] = record
        else:
            self.alarms.pop(record.id, None)

    def seen(self, record: PositionSeen) -> None:
        self.positions[record.switch] = record.closed


_STEPS: Final[dict[type[Record], Callable[..., None]]] = {
    Started: _Fold.started,
    Stopped: _Fold.stopped,
    PreparedPlan: _Fold.prepared_plan,
    DecidedPlan: _Fold.decided_plan,
    SentCommand: _Fold.sent,
    Acknowledged: _Fold.acknowledged,
    Outcome: _Fold.ended,
    OperatorAction: _Fold.operated,
    Alarm: _Fold.alarmed,
    FaultSeen: _Fold.fault_seen,
    PositionSeen: _Fold.seen,
}


def replay(entries: Iterable[Entry]) -> Replayed:
    """Fold `entries`, given in order from the first, into where things stood after the last.

    Whether the entries are genuine is for `verify` to say; replay takes them at their word.
    """
    fold, counts = _Fold(), Counter[str]()
    sequence = at_ns = unknown = 0
    for entry in entries:
        sequence, at_ns = entry.sequence, entry.at_ns
        counts[entry.kind] += 1
        try:
            record = record_of(entry)
            step = _STEPS.get(type(record))
            if step is not None:
                step(fold, record)
        except (Malformed, ValueError):
            unknown += 1
    return Replayed(
        sequence=sequence,
        at_ns=at_ns,
        locked=tuple(sorted(fold.locked)),
        faulted=tuple(sorted(fold.faulted)),
        counts=dict(counts),
        unknown=unknown,
        **{name: value for name, value in vars(fold).items() if name not in {"locked", "faulted"}},
    )
