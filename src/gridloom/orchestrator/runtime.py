"""The platform on a bus and on a clock: what it does with each message, and what is due when.

The same methods serve every clock. On a running one, `loops.run` calls them from tasks and hands heavy work to
threads; on a stepped one the stepper calls them at each barrier and heavy work runs in place. None of this is in
the event path's way: that is a process of its own (or, stepped, an object of its own).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import numpy as np
import structlog

from gridloom.core.clock import FollowedClock
from gridloom.core.errors import BadInput, GridloomError, Malformed, Refused
from gridloom.core.plans import Autonomy
from gridloom.core.units import NS_PER_S
from gridloom.ioe import subjects
from gridloom.ioe.commands import decode_ack, settled
from gridloom.ioe.events import EventInbox
from gridloom.ioe.frames import FrameKind, decode
from gridloom.ioe.lanes import CommandSender
from gridloom.ioe.pacing import pace_ns
from gridloom.ioe.subjects import Lane
from gridloom.orchestrator.event_records import EventRecord, RecordKind, fault_id, journal_decoder
from gridloom.orchestrator.fallback import Fallback
from gridloom.orchestrator.figures import Rate, RuntimeFigures
from gridloom.orchestrator.preparation import Preparation
from gridloom.orchestrator.restoration import plan_id
from gridloom.orchestrator.runner import PlanRunner
from gridloom.orchestrator.second_look import SecondLook
from gridloom.store import RingReader, drain_ring
from gridloom.store.records import (
    Acknowledged,
    FaultSeen,
    OperatorAction,
    OperatorDeed,
    Record,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from pathlib import Path

    from gridloom.core.plans import Plan
    from gridloom.ioe.bus import Bus, Message, Subscription
    from gridloom.ioe.signing import Signer
    from gridloom.orchestrator.platform import Platform
    from gridloom.orchestrator.prepared import PreparedTable
    from gridloom.store.journal import Draft
    from gridloom.store.records import DecidedPlan
    from gridloom.twin.state import GridState

log = structlog.get_logger(__name__)

FIELD_SPEED: Final = "field.speed"
EVENT_PATH_STATUS: Final = f"{subjects.PLATFORM}.event-path"
_SETTLE_NS: Final = 300_000_000
"""Positions must stand still this long before plans are made anew."""
_PREPARE_EVERY_NS: Final = 300 * NS_PER_S
"""Loads change: plans are prepared anew this often even if no switch moves."""
_MOST_TRIES: Final = 4
"""Plans for one fault, one after the other, before a person has to look."""
_SILENCE_S: Final = 10.0
_NEW_FIELD_AFTER_S: Final = 3.0


class EventPathHandle(Protocol):
    """The event path as the platform knows it: where its ring is, and whether it runs."""

    restarts: int

    @property
    def ring_path(self) -> Path:
        """The ring that it writes."""
        ...

    @property
    def pid(self) -> int:
        """Its process id; 0 while there is none."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether it has said that it listens."""
        ...

    def heard(self) -> None:
        """Take note that it has said so."""
        ...

    def watch(self) -> None:
        """Start it again if it has died."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class Heavy(Protocol):
    """Runs heavy work: in a worker thread named by `lane`, or in place."""

    def __call__[**P, T](
        self, lane: str, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """Return what the work returns."""
        ...


class _SpeedChange(msgspec.Struct, frozen=True):
    at_ns: int
    speed: float


@dataclass(frozen=True, slots=True)
class _Replan:
    due_ns: int
    line: str
    fault: str
    tries: int = 1


@dataclass(eq=False, kw_only=True)
class Runtime:
    """One running platform."""

    platform: Platform
    bus: Bus
    table: PreparedTable
    event_path: EventPathHandle
    signer: Signer
    heavy: Heavy
    on_state: Callable[[GridState], None] | None = None
    figures: RuntimeFigures = field(default_factory=RuntimeFigures)
    note: str = ""
    """What is degraded at the moment, in words."""
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first plans lie ready."""
    is_outdated: bool = False
    """Whether the field speaks under a newer epoch: its birth has to be asked for again."""

    def __post_init__(self) -> None:
        """Prepare the parts that work on the loop."""
        platform = self.platform
        self._inbox = EventInbox()
        self.preparation = Preparation(
            platform.grid, platform.instruments, platform.restoration, platform.gate, self.table
        )
        self.sender = CommandSender(self.bus, platform.clock, self.signer)
        paths = zip(self.table.static.switch_ids, self.table.static.command_paths, strict=True)
        self._runner = PlanRunner(
            sender=self.sender,
            clock=platform.clock,
            epoch=platform.epoch,
            cell_path_of=dict(paths),
            record=platform.record,
            sync=self._sync,
            recheck=lambda plan: platform.gate.recheck(plan, platform.view()),
            ended=lambda plan: platform.gate.release(plan.id),
        )
        # What was prepared under another level waits for nobody: new plans come within a second.
        platform.on_autonomy = self.table.withdraw
        self._fallback = Fallback(platform)
        self._second_look = SecondLook(platform.intake.latest)
        self._held: dict[str, Plan] = {}
        self._running: set[str] = set()
        """Ids of the plans that the runner carries out."""
        self._replans: list[_Replan] = []
        self._answers: dict[str, _Replan] = {}
        """By id of the plan that answers it."""
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._readings = Rate()
        self._ring: RingReader | None = None
        self._version, self._moved_ns = -1, 0
        self._prepared_version, self._prepared_ns = -1, 0

    async def start(self) -> None:
        """Listen."""
        for pattern, handler in (
            (subjects.everything(Lane.TELEMETRY), self._on_telemetry),
            (subjects.everything(Lane.EVENT), self._on_event),
            (subjects.everything(Lane.ACK), self._on_ack),
            (FIELD_SPEED, self._on_speed),
            (EVENT_PATH_STATUS, self._on_event_path),
        ):
            self._subscriptions.append(await self.bus.subscribe(pattern, handler))
        await self.sender.start()
        self.tell_time()

    async def close(self) -> None:
        """Stop listening, end the event path, and bring its last records home."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sender.stop()
        await self.heavy("journal", self.event_path.stop)
        self.drain()
        # Nobody reads it any more: a platform that is killed instead leaves it to the event path that lives on.
        self.table.remove()

    async def _sync(self) -> None:
        await self.heavy("journal", self.platform.journal.commit)

    # --- what comes in ----------------------------------------------------------------------------------------

    def _on_telemetry(self, message: Message) -> None:
        counts = self.platform.intake.counts
        before = counts.frames
        self.platform.take_telemetry(message.data)
        if counts.frames != before:
            self.figures.last_frame_s = time.monotonic()

    def _on_event(self, message: Message) -> None:
        """Take an event for the picture of the grid; the receipt is the event path's business."""
        try:
            frame = decode(message.data)
        except Malformed as error:
            self.platform.intake.counts.malformed += 1
            log.warning("event_malformed", subject=message.subject, error=str(error))
            return
        if not self._inbox.is_new(frame.key):
            return
        self._inbox.mark(frame.key)
        self.platform.take_event(frame)
        if frame.kind is FrameKind.RELAY:
            self._relays(frame.index.tolist(), frame.values[0].tolist(), frame.time_ns)

    def _relays(self, rows: list[int], states: list[float], time_ns: int) -> None:
        instruments, now_ns = self.platform.instruments, self.platform.clock.now_ns()
        for row, state in zip(rows, states, strict=True):
            if row < len(instruments) and instruments.kind[row] == "relay":
                if not np.isfinite(state):
                    continue
                breaker, zones = int(instruments.element[row]), self.preparation.zones
                self.preparation.relay(breaker, int(state), now_ns)
                pace = pace_ns(self.platform.clock)
                self._second_look.relay(breaker, int(state), time_ns, zones, pace)

    def _on_ack(self, message: Message) -> None:
        """Journal what devices answered to the event path; the runner journals its own answers."""
        try:
            final = settled(decode_ack(message.data))
        except Malformed as error:
            log.warning("ack_malformed", subject=message.subject, error=str(error))
            return
        if final is not None and final.outcome == "failed":
            # A key reads plan/epoch/step/target.
            self._fallback.stuck.add(final.key.split("/", 3)[-1])
        if final is not None and final.key.partition("/")[0] not in self._running:
            self.platform.record(Acknowledged(acknowledgement=final))

    def _on_speed(self, message: Message) -> None:
        try:
            change = msgspec.json.decode(message.data, type=_SpeedChange)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            log.warning("speed_malformed", error=str(error))
            return
        if isinstance(self.platform.clock, FollowedClock):
            self.platform.clock.follow(change.at_ns, change.speed)
            self.tell_time()

    def tell_time(self) -> None:
        """Tell the event path what time it is."""
        clock = self.platform.clock
        self.table.set_clock(clock.now_ns(), time.monotonic_ns(), clock.speed)

    # --- what is due ------------------------------------------------------------------------------------------

    async def estimate(self) -> None:
        """Estimate once from what is known now."""
        platform, started = self.platform, time.perf_counter()
        if not platform.intake.has_picture(platform.clock.now_ns()):
            return
        moment = platform.moment()
        try:
            state = await self.heavy("estimate", platform.estimate, moment)
        except GridloomError as error:
            platform.platform_alarm("estimator", f"no estimate: {error}", 2, is_active=True)
            return
        self.figures.estimate_ms.add((time.perf_counter() - started) * 1e3)
        self.figures.estimates += 1
        platform.adopt_state(state)
        platform.platform_alarm("estimator", "", 2, is_active=False)
        self.figures.readings_per_s = self._readings.update(platform.intake.counts.readings)
        if self.on_state is not None:
            self.on_state(state)

    async def prepare_if_due(self) -> None:
        """Lay plans ready for the present positions, if they are new and have settled, or old."""
        platform, now_ns = self.platform, pace_ns(self.platform.clock)
        version = platform.intake.positions_version
        if version != self._version:
            self._version, self._moved_ns = version, now_ns
        is_due = version != self._prepared_version or now_ns - self._prepared_ns > _PREPARE_EVERY_NS
        if platform.state is None or not is_due or not self._is_calm(now_ns):
            return
        started, view = time.perf_counter(), platform.view()
        batch = await self.heavy("plan", self.preparation.prepare, view)
        if platform.intake.positions_version != version or self._is_held():
            return
        await self.heavy("plan", platform.lay_ready, batch, self.preparation)
        self.tell_time()
        self._prepared_version, self._prepared_ns = version, now_ns
        took_ms = (time.perf_counter() - started) * 1e3
        self.figures.preparation_ms.add(took_ms)
        log.info(
            "plans_prepared",
            plans=len(batch.plans),
            accepted=batch.accepted,
            took_ms=round(took_ms),
        )
        self._tell_ready()

    def _on_event_path(self, _: Message) -> None:
        """Take from its status that the event path listens."""
        self.event_path.heard()
        self._tell_ready()

    def _tell_ready(self) -> None:
        """Be ready once plans lie ready and somebody listens who can carry them out."""
        if self._prepared_version >= 0 and self.event_path.is_up:
            self.is_ready.set()

    def _is_calm(self, now_ns: int) -> bool:
        is_first = self._prepared_version < 0
        return (is_first or now_ns - self._moved_ns >= _SETTLE_NS) and not self._is_held()

    def _is_held(self) -> bool:
        return self.preparation.is_held(self.platform.clock.now_ns())

    async def replan_if_due(self) -> None:
        """Plan for faults that the event path could not answer by itself."""
        now_ns = pace_ns(self.platform.clock)
        self._look_again(now_ns)
        due = [one for one in self._replans if one.due_ns <= now_ns]
        self._replans = [one for one in self._replans if one.due_ns > now_ns]
        for one in due:
            decided = await self.heavy("plan", self._fallback.plan, one.line, one.fault)
            if decided is not None:
                self._answers[decided.plan.id] = one
                self._decided(decided)

    def watch(self) -> None:
        """Look after the parts and raise alarms about them."""
        platform, silent_s = self.platform, self.figures.seconds_since_frame
        # One forged frame of a high epoch is not a new field: ours must have fallen silent too.
        is_newer = platform.intake.newest_epoch > platform.birth.epoch
        self.is_outdated = is_newer and silent_s > _NEW_FIELD_AFTER_S
        self.event_path.watch()
        self.figures.event_restarts = self.event_path.restarts
        is_silent = silent_s > _SILENCE_S and self.figures.last_frame_s > 0
        platform.platform_alarm("telemetry", "no telemetry arrives", 1, is_active=is_silent)
        is_down = not self.event_path.pid
        platform.platform_alarm("event path", "the event path is not running", 1, is_active=is_down)
        self.note = platform.journal.failure or ("no telemetry arrives" if is_silent else "")

    # --- the event path's ring --------------------------------------------------------------------------------

    def drain(self) -> None:
        """Bring what the event path did into the journal, and learn from it."""
        if self._ring is None:
            with contextlib.suppress(GridloomError, OSError):
                self._ring = RingReader(self.event_path.ring_path)
        if self._ring is None or not self._ring.n_waiting:
            return
        drained: list[tuple[EventRecord, Sequence[Draft]]] = []
        to_drafts = journal_decoder(self.table.static)

        def take(raw: bytes) -> Sequence[Draft]:
            drafts = to_drafts(raw)
            drained.append((EventRecord.decode(raw), drafts))
            return drafts

        drain_ring(self._ring, self.platform.journal, take)
        for record, drafts in drained:
            for draft in drafts:
                if isinstance(draft.body, Record):
                    self.platform.tell(draft.body, draft.at_ns)
            self._react(record)

    def _react(self, record: EventRecord) -> None:
        """Take over what the event path learned, and plan anew where it could not act by itself."""
        platform, static = self.platform, self.table.static
        if record.kind in {RecordKind.STARTED, RecordKind.REFUSED}:
            self.preparation.decided(record.breaker)
            if record.took_ns:
                self.figures.event_ms.add(record.took_ns / 1e6)
        if record.line < 0:
            if record.kind is RecordKind.REFUSED:
                text = "a fault could not be located; a person has to look"
                platform.platform_alarm("location", text, 1, is_active=True)
            return
        self._second_look.explained(record.breaker, record.seen_ns)
        line = static.line_ids[record.line]
        platform.faulted.add(line)
        plan = platform.prepared.get(plan_id(record.number))
        if record.kind is RecordKind.STARTED and plan is not None:
            platform.gate.hold(plan)
        elif record.kind in {RecordKind.DONE, RecordKind.ABORTED}:
            platform.gate.release(plan_id(record.number))
        if record.kind in {RecordKind.REFUSED, RecordKind.ABORTED}:
            due_ns = pace_ns(platform.clock) + _SETTLE_NS
            self._replans.append(_Replan(due_ns, line, fault_id(static, record)))

    def _look_again(self, now_ns: int) -> None:
        """Locate what the event path could not, and plan for it."""
        platform, static = self.platform, self.table.static
        for found in self._second_look.look(now_ns):
            head, line = static.switch_ids[found.breaker], static.line_ids[found.line]
            fault = f"{head}@{found.seen_ns}"
            evidence = (f"relay at {head} locked out", f"indicators say {line}, on a second look")
            platform.record(FaultSeen(fault=fault, section=line, evidence=evidence))
            platform.platform_alarm("location", "", 1, is_active=False)
            platform.faulted.add(line)
            self._replans.append(_Replan(now_ns, line, fault))

    # --- plans off the event path -----------------------------------------------------------------------------

    def _decided(self, decided: DecidedPlan) -> None:
        """Journal a plan and its verdict; carry it out, hold it for a person, or leave it."""
        plan, verdict = decided.plan, decided.verdict
        self.platform.plans.proposed += 1
        self.platform.plans.accepted += verdict.accepted
        self.platform.plans.refused += not verdict.accepted
        self.platform.record(decided)
        if not verdict.accepted:
            return
        if verdict.autonomy is Autonomy.ACT:
            self._start(self._execute(plan))
        else:
            self._held[plan.id] = plan

    async def _execute(self, plan: Plan) -> None:
        self.platform.gate.hold(plan)
        self._running.add(plan.id)
        is_done = await self._runner.run(plan)
        answered = self._answers.pop(plan.id, None)
        if not is_done and answered is not None and answered.tries < _MOST_TRIES:
            due_ns = pace_ns(self.platform.clock) + _SETTLE_NS
            again = replace(answered, due_ns=due_ns, tries=answered.tries + 1)
            self._replans.append(again)

    def decide(self, plan_id: str, *, approve: bool) -> None:
        """Take a person's decision on a held plan.

        Raises:
            BadInput: There is no such plan waiting.
            Refused: The plan no longer fits: it expired, or the grid has changed since.
        """
        plan = self._held.get(plan_id)
        if plan is None:
            raise BadInput(f"no plan {plan_id!r} waits for a decision")
        if approve:
            verdict = self.platform.gate.recheck(plan, self.platform.view())
            if not verdict.accepted:
                reasons = "; ".join(
                    f"{check.name}: {check.note or check.where}" for check in verdict.refusals
                )
                raise Refused(f"plan {plan_id} cannot be carried out any more: {reasons}")
        del self._held[plan_id]
        if approve:
            self._start(self._execute(plan))

    def locks_changed(self) -> None:
        """Tell the event path at once; plans that use a locked switch are prepared anew a moment later."""
        grid, locked = self.platform.grid, sorted(self.platform.locks.switches())
        self.table.lock([grid.switches.row(id_) for id_ in locked])

    def repaired(self, line_id: str) -> None:
        """Take note that a line is sound again."""
        self.platform.faulted.discard(line_id)
        self.platform.record(
            OperatorAction(operator="operator", deed=OperatorDeed.REPAIRED, target=line_id)
        )
        # Whoever mended the line has been there: what did not move may move again.
        self._fallback.stuck.clear()
        self.platform.intake.positions_version += 1

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
