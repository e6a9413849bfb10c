"""The event path: a relay has locked out, indicators have spoken, the prepared plan goes out.

    python -m gridloom.orchestrator.event_path --ready READY --table TABLE --ring RING --key KEY

Pure logic: frames, answers and times go in, messages come out. `event_process` runs it as a process of its own on
real sockets; a stepped run calls it inline. Nothing here waits, and nothing it allocates grows with a frame.

Order of things: the record goes into the ring, then the command to the wire. A later step goes out only when every
switch of the earlier ones stands where it should. Whatever does not fit ends in a recorded refusal, never in an
action.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from gridloom.core.errors import Malformed
from gridloom.core.plans import Command
from gridloom.core.units import NS_PER_MS, NS_PER_S
from gridloom.ioe import subjects
from gridloom.ioe.commands import CommandOutbox, decode_ack, settled
from gridloom.ioe.events import EventInbox, encode_receipt
from gridloom.ioe.frames import Frame, FrameKind, decode
from gridloom.ioe.retry import RetryPolicy
from gridloom.orchestrator.event_cases import (
    Counters,
    Execution,
    Outgoing,
    PendingFault,
    at_step,
)
from gridloom.orchestrator.event_records import (
    COMMAND_LIFE_NS,
    EventRecord,
    Reason,
    RecordKind,
    command_of,
)
from gridloom.orchestrator.location import NoLocation
from gridloom.orchestrator.location_kernel import locate, take_changes, take_flags
from gridloom.orchestrator.prepared import ACT, PreparedRow, PreparedTable
from gridloom.store.errors import RingFull
from gridloom.store.ring import Ring

__all__ = ["LOOK_BACK_NS", "SETTLE_NS", "STEP_TIMEOUT_NS", "EventPath", "Outgoing"]

AHEAD_NS: Final = 5 * NS_PER_S
"""Events may be this far ahead of our clock, times its speed; later ones are refused [ns]."""
SETTLE_NS: Final = 1000 * NS_PER_MS
"""After lock-out, indicators that stay silent this long have seen nothing [ns]."""
LOOK_BACK_NS: Final = 5 * NS_PER_S
"""Indicators may report this long before their relay first moves [ns]."""
STEP_TIMEOUT_NS: Final = 20 * NS_PER_S
"""A step whose switches are not in place by then ends the plan [ns]."""
_LOCKED_OUT = 3.0
_NEVER, _UNKNOWN = -9.0, -1.0
"""Value of what has not reported yet, and position of a switch that says it does not know."""
_MOST_CHANGES = 4096
_RETRY: Final = RetryPolicy(first_ns=100 * NS_PER_MS, most_ns=2 * NS_PER_S)


class EventPath:
    """Turns events into commands. `now_ns` is grid time, `pace_ns` any monotonic time for waits and retries."""

    def __init__(
        self,
        table: PreparedTable,
        ring: Ring,
        sign: Callable[[Command], bytes],
        *,
        wall_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        """Take up where the ring's last records stopped; `resume` then sends what was under way.

        Args:
            table: Prepared plans, written by the platform.
            ring: Where every act is recorded first; this is its one writer.
            sign: Puts a command into a signed envelope.
            wall_ns: Machine time for latency figures; leave it out on a stepped clock.
        """
        self.table, self._ring, self._sign, self._wall_ns = table, ring, sign, wall_ns
        self._static = table.static
        n = max(table.n_instruments, 1)
        self._kind = np.zeros(n, dtype=np.uint8)
        self._kind[: table.n_instruments] = np.frombuffer(
            self._static.instrument_kind, dtype=np.uint8
        )
        self._value = np.full(n, _NEVER, dtype=np.float32)
        self._seen_ns = np.full(n, -1, dtype=np.int64)
        self._changed = np.empty(_MOST_CHANGES, dtype=np.int64)
        self._element = self._static.instrument_element
        self._position = np.full(table.n_switches, np.nan, dtype=np.float32)
        self._stirred_ns: dict[int, int] = {}
        self._faults: dict[int, PendingFault] = {}
        self._running: dict[tuple[int, int], Execution] = {}
        self._spent: set[tuple[int, int]] = set()
        self._known_faults: set[tuple[int, int]] = set()
        self._unresolved: list[EventRecord] = []
        self._inbox = EventInbox()
        self._outbox = CommandOutbox(_RETRY)
        self._arrived_wall_ns = 0
        self.counters = Counters()
        self._recover()

    # -- what comes in ------------------------------------------------------------------------------------------

    def on_event(
        self, subject: str, data: bytes | memoryview, now_ns: int, pace_ns: int
    ) -> list[Outgoing]:
        """Take one event frame; return commands first, its receipt last.

        Raises:
            Malformed: The bytes are no frame, or say that they come from the future: nothing happens and no
                receipt is due.
        """
        self._arrived_wall_ns = self._wall_ns()
        frame = decode(data)
        ahead_ns = frame.time_ns - now_ns
        if ahead_ns > AHEAD_NS * max(self.table.speed, 1.0):
            raise Malformed(f"a frame of {frame.source} is {ahead_ns / NS_PER_S:.0f} s ahead of us")
        out: list[Outgoing] = []
        if self._inbox.is_new(frame.key):
            self.counters.events += 1
            self._take(frame, now_ns, pace_ns, out)
            self._inbox.mark(frame.key)
        path = subjects.split(subject)[1]
        out.append(Outgoing(f"receipt.{path}", encode_receipt(frame.key)))
        return out

    def on_ack(self, data: bytes | memoryview, now_ns: int, pace_ns: int) -> list[Outgoing]:
        """Take a device's answer.

        Raises:
            Malformed: The bytes are no answer.
        """
        answer = decode_ack(data)
        out: list[Outgoing] = []
        for execution in tuple(self._running.values()):
            if answer.key not in execution.waiting:
                continue
            final = settled(answer)
            self._outbox.answer(answer, pace_ns)
            if final is None:
                continue
            if final.outcome == "done":
                self._confirm(execution, answer.key, now_ns, pace_ns, out)
            else:
                self._abort(execution, Reason.NOT_MOVED, now_ns)
        return out

    def tick(self, now_ns: int, pace_ns: int) -> list[Outgoing]:
        """Do what time alone brings: repeat commands, end steps that take too long, stop waiting for indicators."""
        self._arrived_wall_ns = self._wall_ns()
        out: list[Outgoing] = []
        again, _ = self._outbox.queue.due(pace_ns)
        out.extend(
            Outgoing(subject, envelope, subjects.token(key)) for key, (subject, envelope) in again
        )
        for execution in tuple(self._running.values()):
            if pace_ns >= execution.deadline:
                self._abort(execution, Reason.NO_ANSWER, now_ns)
        for fault in tuple(self._faults.values()):
            if pace_ns >= fault.settles_at:
                self._try(fault, now_ns, pace_ns, out)
        return out

    @property
    def next_due(self) -> int:
        """Pace time at which `tick` has something to do."""
        deadlines = [execution.deadline for execution in self._running.values()]
        settling = [fault.settles_at for fault in self._faults.values()]
        return min([self._outbox.queue.next_due_ns, *deadlines, *settling])

    @property
    def is_busy(self) -> bool:
        """Whether a fault is being located or a plan is under way."""
        return bool(self._faults or self._running)

    # -- frames -------------------------------------------------------------------------------------------------

    def _take(self, frame: Frame, now_ns: int, pace_ns: int, out: list[Outgoing]) -> None:
        if frame.kind is FrameKind.INDICATOR:
            take_flags(
                frame.index,
                frame.values[0],
                self._kind,
                int(frame.kind),
                frame.time_ns,
                self._value,
                self._seen_ns,
            )
        elif frame.kind in (FrameKind.RELAY, FrameKind.SWITCH):
            count = take_changes(
                frame.index,
                frame.values[0],
                self._kind,
                int(frame.kind),
                frame.time_ns,
                self._value,
                self._seen_ns,
                self._changed,
            )
            is_relay = frame.kind is FrameKind.RELAY
            for k in range(count):
                row = int(self._changed[k])
                switch, value = self._element[row], float(self._value[row])
                if is_relay:
                    self._relay(switch, value, frame.time_ns, now_ns, pace_ns)
                else:
                    self._moved(switch, value, now_ns, pace_ns, out)
        for fault in tuple(self._faults.values()):
            self._try(fault, now_ns, pace_ns, out)

    def _relay(self, breaker: int, state: float, time_ns: int, now_ns: int, pace_ns: int) -> None:
        if state == 0.0:
            self._stirred_ns.pop(breaker, None)
            self._faults.pop(breaker, None)
            return
        self._stirred_ns.setdefault(breaker, time_ns)
        for execution in tuple(self._running.values()):
            # Closing steps may have put voltage on something broken: stop, whatever it was.
            if execution.step and breaker in self._touched(execution):
                self._abort(execution, Reason.FAULT_AGAIN, now_ns)
        if state != _LOCKED_OUT or (breaker, time_ns) in self._known_faults:
            return
        since_ns = self._stirred_ns.pop(breaker) - LOOK_BACK_NS
        fault = PendingFault(breaker, time_ns, since_ns, pace_ns + SETTLE_NS)
        if self._record(RecordKind.LOCKED_OUT, now_ns, fault):
            self._known_faults.add((breaker, time_ns))
            self._faults[breaker] = fault

    def _moved(
        self, switch: int, position: float, now_ns: int, pace_ns: int, out: list[Outgoing]
    ) -> None:
        self._position[switch] = _UNKNOWN if np.isnan(position) else position
        for execution in tuple(self._running.values()):
            for key, operation in tuple(execution.waiting.items()):
                if operation.switch == switch and position == float(operation.close):
                    self._confirm(execution, key, now_ns, pace_ns, out)

    def _touched(self, execution: Execution) -> set[int]:
        return {
            execution.record.breaker,
            *(o.switch for o in execution.record.operations if o.close),
        }

    # -- from fault to plan -------------------------------------------------------------------------------------

    def _try(self, fault: PendingFault, now_ns: int, pace_ns: int, out: list[Outgoing]) -> None:
        looked = self.table.consistently(lambda: self._look(fault, now_ns, pace_ns))
        if looked is None:
            del self._faults[fault.breaker]
            self._refuse(fault, Reason.NO_PLAN, now_ns)
            return
        found, row, reason = looked
        if found == NoLocation.WAIT:
            return
        del self._faults[fault.breaker]
        if row is None or reason:
            self._refuse(fault, reason, now_ns, line=found, number=row.number if row else 0)
            return
        self._start(fault, found, row, now_ns, pace_ns, out)

    def _look(
        self, fault: PendingFault, now_ns: int, pace_ns: int
    ) -> tuple[int, PreparedRow | None, Reason]:
        """Return the faulted line or a `NoLocation`, its plan, and what speaks against carrying it out."""
        zones = self.table.zones
        found = locate(
            fault.breaker,
            fault.since_ns,
            pace_ns >= fault.settles_at,
            self._value,
            self._seen_ns,
            zones.parent,
            zones.depth,
            zones.line,
            zones.breaker,
            zones.head_line,
        )
        if found < 0:
            unclear = found == NoLocation.CONTRADICTION
            return found, None, Reason.CONTRADICTION if unclear else Reason.AMBIGUOUS
        row = self.table.row(found)
        return found, row, Reason.NO_PLAN if row is None else self._why_not(row, fault, now_ns)

    def _why_not(self, row: PreparedRow, fault: PendingFault, now_ns: int) -> Reason:
        """Return the first reason against carrying out `row` now."""
        targets = {operation.switch for operation in row.operations}
        others = {o.switch for e in self._running.values() for o in e.record.operations}
        questions = (
            (row.breaker != fault.breaker, Reason.OTHER_BREAKER),
            (now_ns >= row.expires_ns, Reason.EXPIRED),
            (
                row.state_hash != self.table.state_hash or self._has_moved(fault.breaker),
                Reason.STALE,
            ),
            (any(self.table.locked[switch] for switch in targets), Reason.LOCKED),
            (row.autonomy != ACT, Reason.NOT_ALLOWED),
            (bool(targets & others) or (row.number, self.table.epoch) in self._spent, Reason.BUSY),
            (not all(self._static.command_paths[switch] for switch in targets), Reason.UNREACHABLE),
        )
        return next((reason for is_so, reason in questions if is_so), Reason.NONE)

    def _has_moved(self, tripped: int) -> bool:
        """Whether any switch but the tripped breaker was seen elsewhere than where the plans count on it."""
        known = self._position
        differs = (known != self.table.positions) & ~np.isnan(known)
        differs[tripped] = False
        return bool(differs.any())

    # -- carrying out -------------------------------------------------------------------------------------------

    def _start(
        self,
        fault: PendingFault,
        line: int,
        row: PreparedRow,
        now_ns: int,
        pace_ns: int,
        out: list[Outgoing],
    ) -> None:
        first = min(operation.step for operation in row.operations)
        record = EventRecord(
            kind=RecordKind.STARTED,
            at_ns=now_ns,
            breaker=fault.breaker,
            seen_ns=fault.seen_ns,
            step=first,
            line=line,
            epoch=self.table.epoch,
            number=row.number,
            took_ns=self._took_ns(),
            expires_ns=row.expires_ns,
            operations=row.operations,
        )
        if not self._append(record):
            return
        self.counters.started += 1
        self._spent.add((record.number, record.epoch))
        self._send_step(record, first, now_ns, pace_ns, out)

    def _send_step(
        self, record: EventRecord, step: int, now_ns: int, pace_ns: int, out: list[Outgoing]
    ) -> None:
        execution = Execution(record, step, pace_ns + STEP_TIMEOUT_NS)
        self._running[record.number, record.epoch] = execution
        for operation in record.operations:
            if operation.step != step:
                continue
            command = command_of(self._static, record, operation, now_ns)
            envelope = self._sign(command)
            subject = f"command.{self._static.command_paths[operation.switch]}"
            execution.waiting[command.key] = operation
            self._outbox.post(command.key, subject, envelope, pace_ns, pace_ns + COMMAND_LIFE_NS)
            out.append(Outgoing(subject, envelope, subjects.token(command.key)))
            self.counters.commands += 1

    def _confirm(
        self, execution: Execution, key: str, now_ns: int, pace_ns: int, out: list[Outgoing]
    ) -> None:
        del execution.waiting[key]
        self._outbox.queue.answer(key)
        if execution.waiting:
            return
        record = execution.record
        later = [o.step for o in record.operations if o.step > execution.step]
        if not later:
            self._end(execution, RecordKind.DONE, Reason.NONE, now_ns)
            return
        reason = self._why_stop(execution, now_ns)
        if reason:
            self._abort(execution, reason, now_ns)
            return
        step = min(later)
        if self._append(at_step(record, RecordKind.STEP, now_ns, step)):
            self._send_step(record, step, now_ns, pace_ns, out)

    def _why_stop(self, execution: Execution, now_ns: int) -> Reason:
        """Return what has come up against the rest of a plan since it began."""
        record = execution.record
        later = [o for o in record.operations if o.step > execution.step]
        before = [o for o in record.operations if o.step <= execution.step]
        if any(self.table.locked[operation.switch] for operation in later):
            return Reason.LOCKED
        if now_ns >= record.expires_ns:
            return Reason.EXPIRED
        strayed = any(self._position[o.switch] == float(not o.close) for o in before)
        return Reason.CONFIRMED_OTHERWISE if strayed else Reason.NONE

    def _abort(self, execution: Execution, reason: Reason, now_ns: int) -> None:
        self._end(execution, RecordKind.ABORTED, reason, now_ns)

    def _end(self, execution: Execution, kind: RecordKind, reason: Reason, now_ns: int) -> None:
        record = execution.record
        for key in execution.waiting:
            self._outbox.queue.answer(key)
        self._running.pop((record.number, record.epoch), None)
        self._append(at_step(record, kind, now_ns, execution.step, reason))
        if kind is RecordKind.DONE:
            self.counters.done += 1
        else:
            self.counters.aborted += 1

    def _refuse(
        self, fault: PendingFault, reason: Reason, now_ns: int, *, line: int = -1, number: int = 0
    ) -> None:
        self.counters.refused += 1
        self._record(
            RecordKind.REFUSED, now_ns, fault, reason=reason, line=max(line, -1), number=number
        )

    # -- the ring -----------------------------------------------------------------------------------------------

    def _record(
        self,
        kind: RecordKind,
        now_ns: int,
        fault: PendingFault,
        *,
        reason: Reason = Reason.NONE,
        line: int = -1,
        number: int = 0,
    ) -> bool:
        return self._append(
            EventRecord(
                kind=kind,
                reason=reason,
                at_ns=now_ns,
                breaker=fault.breaker,
                seen_ns=fault.seen_ns,
                line=line,
                epoch=self.table.epoch,
                number=number,
                took_ns=self._took_ns(),
            )
        )

    def _append(self, record: EventRecord) -> bool:
        """Record first; what cannot be recorded is not done."""
        try:
            self._ring.append(record.encode())
        except RingFull:
            self.counters.unrecorded += 1
            return False
        return True

    def _took_ns(self) -> int:
        return self._wall_ns() - self._arrived_wall_ns

    def _recover(self) -> None:
        """Learn from the ring what was done and what is still under way."""
        open_plans: dict[tuple[int, int], EventRecord] = {}
        locating: dict[tuple[int, int], EventRecord] = {}
        for entry in self._ring.drain(0):
            record = EventRecord.decode(entry.payload)
            plan, fault = (record.number, record.epoch), (record.breaker, record.seen_ns)
            self._known_faults.add(fault)
            if record.kind is RecordKind.LOCKED_OUT:
                locating[fault] = record
                continue
            locating.pop(fault, None)
            if record.kind in (RecordKind.STARTED, RecordKind.STEP):
                open_plans[plan] = record
                self._spent.add(plan)
            elif record.kind in (RecordKind.DONE, RecordKind.ABORTED):
                open_plans.pop(plan, None)
        self._unresolved = [*open_plans.values(), *locating.values()]

    def resume(self, now_ns: int, pace_ns: int) -> list[Outgoing]:
        """Go on after a restart: send the step under way again, under the same keys, so that nothing moves twice."""
        out: list[Outgoing] = []
        for record in self._unresolved:
            if record.kind is RecordKind.LOCKED_OUT:
                fault = PendingFault(record.breaker, record.seen_ns, 0, pace_ns)
                self._refuse(fault, Reason.RESTARTED, now_ns)
            elif now_ns >= record.expires_ns:
                self._end(
                    Execution(record, record.step, 0), RecordKind.ABORTED, Reason.EXPIRED, now_ns
                )
            else:
                self._send_step(record, record.step, now_ns, pace_ns, out)
        self._unresolved = []
        return out


if __name__ == "__main__":
    from gridloom.orchestrator.event_process import main

    raise SystemExit(main())
