"""The platform on a bus and on a clock: subscriptions, cycles, and the event path beside it.

Three rhythms on one loop, each in a task of its own: estimate (heavy work in one worker thread), prepare (in another)
and drain (the event path's ring into the journal). Telemetry and events come in between. None of them is in the
event path's way: that is a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from gridloom.core.clock import FollowedClock
from gridloom.core.errors import BadInput, GridloomError, Malformed, Refused
from gridloom.core.plans import Autonomy
from gridloom.ioe import subjects
from gridloom.ioe.commands import decode_ack, settled
from gridloom.ioe.events import EventInbox
from gridloom.ioe.frames import FrameKind, decode
from gridloom.ioe.lanes import CommandSender
from gridloom.ioe.subjects import Lane
from gridloom.orchestrator.event_records import EventRecord, RecordKind, fault_id, journal_decoder
from gridloom.orchestrator.figures import Rate, RuntimeFigures
from gridloom.orchestrator.fallback import Fallback
from gridloom.orchestrator.preparation import Preparation
from gridloom.orchestrator.runner import PlanRunner
from gridloom.store import RingReader, drain_ring
from gridloom.store.records import Acknowledged, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from gridloom.core.plans import Plan
    from gridloom.ioe.bus import Bus, Message, Subscription
    from gridloom.ioe.signing import Signer
    from gridloom.orchestrator.event_child import EventChild
    from gridloom.orchestrator.platform import Platform
    from gridloom.orchestrator.prepared import PreparedTable
    from gridloom.store.journal import Draft
    from gridloom.store.records import DecidedPlan
    from gridloom.twin.state import GridState

log = structlog.get_logger(__name__)

FIELD_SPEED: Final = "field.speed"
_DRAIN_EVERY_S: Final = 0.02
_LOOK_EVERY_S: Final = 0.05
_SETTLE_S: Final = 0.3
"""Positions must stand still this long before plans are prepared anew."""
_PREPARE_EVERY_S: Final = 300.0
"""Loads change: plans are prepared anew this often even if no switch moves."""
_MAINTAIN_EVERY_S: Final = 600.0


class _SpeedChange(msgspec.Struct, frozen=True):
    at_ns: int
    speed: float


@dataclass(eq=False, kw_only=True)
class Runtime:
    """One running platform."""

    platform: Platform
    bus: Bus
    table: PreparedTable
    event_child: EventChild
    signer: Signer
    estimate_period_s: float = 1.0
    on_state: Callable[[GridState], None] | None = None
    figures: RuntimeFigures = field(default_factory=RuntimeFigures)
    note: str = ""
    """What is degraded at the moment, in words."""
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first plans lie ready."""

    def __post_init__(self) -> None:
        """Prepare the parts that work on the loop."""
        platform = self.platform
        self._inbox = EventInbox()
        self._estimating = ThreadPoolExecutor(1, "estimate")
        self._planning = ThreadPoolExecutor(1, "plan")
        self.preparation = Preparation(
            platform.grid, platform.instruments, platform.restoration, platform.gate, self.table
        )
        self._sender = CommandSender(self.bus, platform.clock, self.signer)
        self._runner = PlanRunner(
            sender=self._sender,
            clock=platform.clock,
            epoch=platform.epoch,
            cell_path_of=dict(zip(self.table.static.switch_ids, self.table.static.command_paths, strict=True)),
            record=platform.record,
            sync=platform.journal.commit,
            recheck=lambda plan: platform.gate.recheck(plan, platform.view()),
            ended=lambda plan: platform.gate.release(plan.id),
        )
        self._fallback = Fallback(platform)
        self._held: dict[str, Plan] = {}
        self._running: set[str] = set()
        """Ids of the plans that the runner carries out."""
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._frames = Rate()
        self._ring: RingReader | None = None
        self._prepared_version = -1

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set or a part fails for good."""
        await self._subscribe()
        await self._sender.start()
        async with asyncio.TaskGroup() as group:
            loops = [
                group.create_task(self._every_estimate(), name="estimate"),
                group.create_task(self._every_preparation(), name="prepare"),
                group.create_task(self._every_drain(), name="drain"),
                group.create_task(self._every_upkeep(), name="upkeep"),
            ]
            await stop.wait()
            for loop in loops:
                loop.cancel()
        await self._close()

    async def _subscribe(self) -> None:
        for pattern, handler in (
            (subjects.everything(Lane.TELEMETRY), self._on_telemetry),
            (subjects.everything(Lane.EVENT), self._on_event),
            (subjects.everything(Lane.ACK), self._on_ack),
            (FIELD_SPEED, self._on_speed),
        ):
            self._subscriptions.append(await self.bus.subscribe(pattern, handler))

    async def _close(self) -> None:
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._sender.stop()
        await asyncio.to_thread(self.event_child.stop)
        self._drain()
        self._estimating.shutdown()
        self._planning.shutdown()

    # --- what comes in ----------------------------------------------------------------------------------------

    def _on_telemetry(self, message: Message) -> None:
        self.figures.last_frame_s = time.monotonic()
        self.platform.take_telemetry(message.data)

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
            self._relays(frame.index.tolist(), frame.values[0].tolist())

    def _relays(self, rows: list[int], states: list[float]) -> None:
        instruments, now_ns = self.platform.instruments, self.platform.clock.now_ns()
        for row, state in zip(rows, states, strict=True):
            if row < len(instruments) and instruments.kind[row] == "relay":
                self.preparation.relay(int(instruments.element[row]), int(state), now_ns)

    def _on_ack(self, message: Message) -> None:
        """Journal what devices answered to the event path; the runner journals its own answers."""
        try:
            answer = decode_ack(message.data)
        except Malformed as error:
            log.warning("ack_malformed", subject=message.subject, error=str(error))
            return
        final = settled(answer)
        if final is not None and answer.key.partition("/")[0] not in self._running:
            self.platform.record(Acknowledged(acknowledgement=final))

    def _on_speed(self, message: Message) -> None:
        try:
            change = msgspec.json.decode(message.data, type=_SpeedChange)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            log.warning("speed_malformed", error=str(error))
            return
        if isinstance(self.platform.clock, FollowedClock):
            self.platform.clock.follow(change.at_ns, change.speed)
            self._tell_time()

    def _tell_time(self) -> None:
        clock = self.platform.clock
        self.table.set_clock(clock.now_ns(), time.monotonic_ns(), clock.speed)

    # --- cycles -----------------------------------------------------------------------------------------------

    async def _every_estimate(self) -> None:
        loop, next_s = asyncio.get_running_loop(), time.monotonic()
        while True:
            next_s = max(next_s + self.estimate_period_s, time.monotonic())
            moment = self.platform.moment()
            started = time.perf_counter()
            try:
                state = await loop.run_in_executor(self._estimating, self.platform.estimate, moment)
            except GridloomError as error:
                self.platform.platform_alarm("estimator", f"no estimate: {error}", 2, is_active=True)
            else:
                self.figures.estimate_ms.add((time.perf_counter() - started) * 1e3)
                self.figures.estimates += 1
                self.platform.adopt_state(state)
                self.platform.platform_alarm("estimator", "", 2, is_active=False)
                self._count()
                if self.on_state is not None:
                    self.on_state(state)
            await asyncio.sleep(max(next_s - time.monotonic(), 0.0))

    def _count(self) -> None:
        self.figures.readings_per_s = self._frames.update(self.platform.intake.counts.readings)
        mean_ms = self.figures.estimate_ms.at(50)
        self.figures.estimates_per_s = 1.0 / max(self.estimate_period_s, mean_ms / 1e3)

    async def _every_preparation(self) -> None:
        loop, platform = asyncio.get_running_loop(), self.platform
        stood_still_s, version, prepared_s = 0.0, -1, 0.0
        self._tell_time()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now_s = time.monotonic()
            if platform.intake.positions_version != version:
                version, stood_still_s = platform.intake.positions_version, now_s
            is_due = version != self._prepared_version or now_s - prepared_s > _PREPARE_EVERY_S
            is_calm = now_s - stood_still_s >= _SETTLE_S and not self.preparation.is_held(platform.clock.now_ns())
            if platform.state is None or not is_due or not is_calm:
                continue
            started = time.perf_counter()
            view = platform.view()
            batch = await loop.run_in_executor(self._planning, self.preparation.prepare, view)
            if platform.intake.positions_version != version or self.preparation.is_held(platform.clock.now_ns()):
                continue
            await asyncio.to_thread(platform.lay_ready, batch, self.preparation)
            self._tell_time()
            self._prepared_version, prepared_s = version, now_s
            self.figures.preparation_ms.add((time.perf_counter() - started) * 1e3)
            log.info("plans_prepared", plans=len(batch.plans), accepted=batch.accepted, took_ms=round((time.perf_counter() - started) * 1e3))
            self.is_ready.set()

    async def _every_drain(self) -> None:
        while True:
            self._drain()
            await asyncio.sleep(_DRAIN_EVERY_S)

    async def _every_upkeep(self) -> None:
        maintained_s = time.monotonic()
        while True:
            await asyncio.sleep(0.5)
            self.event_child.watch()
            self.figures.event_restarts = self.event_child.restarts
            self._watch_parts()
            if time.monotonic() - maintained_s > _MAINTAIN_EVERY_S and self.platform.history is not None:
                maintained_s = time.monotonic()
                await asyncio.to_thread(self.platform.history.maintain, self.platform.clock.now_ns())

    def _watch_parts(self) -> None:
        platform, silent_s = self.platform, self.figures.seconds_since_frame
        is_silent = silent_s > 10.0 and self.figures.last_frame_s > 0  # noqa: PLR2004 - ten periods of the fastest units
        platform.platform_alarm("telemetry", f"no telemetry for {silent_s:.0f} s", 1, is_active=is_silent)
        platform.platform_alarm("event path", "the event path is not running", 1, is_active=not self.event_child.pid)
        failure = platform.journal.failure
        self.note = failure or ("no telemetry" if is_silent else "")

    # --- the event path's ring --------------------------------------------------------------------------------

    def _drain(self) -> None:
        if self._ring is None:
            with contextlib.suppress(GridloomError, OSError):
                self._ring = RingReader(self.event_child.ring_path)
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
        """Learn from what the event path did, and plan anew where it could not act by itself."""
        platform, static = self.platform, self.table.static
        if record.kind in {RecordKind.STARTED, RecordKind.REFUSED}:
            self.preparation.decided(record.breaker)
            if record.took_ns:
                self.figures.event_ms.add(record.took_ns / 1e6)
        if record.kind is RecordKind.STARTED:
            platform.faulted.add(static.line_ids[record.line])
        elif record.kind is RecordKind.REFUSED and record.line >= 0:
            platform.faulted.add(static.line_ids[record.line])
            self._start(self._replan(static.line_ids[record.line], fault_id(static, record)))
        elif record.kind is RecordKind.ABORTED and record.line >= 0:
            self._start(self._replan(static.line_ids[record.line], fault_id(static, record)))
        elif record.kind is RecordKind.REFUSED:
            platform.platform_alarm("location", "a fault could not be located; a person has to look", 1, is_active=True)

    async def _replan(self, line_id: str, fault: str) -> None:
        """Plan from where things stand, have it verified, and carry it out if the agent may."""
        await asyncio.sleep(_SETTLE_S)
        decided = await asyncio.get_running_loop().run_in_executor(
            self._planning, self._fallback.plan, line_id, fault
        )
        if decided is not None:
            await self.decided(decided)

    async def decided(self, decided: DecidedPlan) -> None:
        """Journal a plan and its verdict; carry it out, hold it for a person, or leave it."""
        plan, verdict = decided.plan, decided.verdict
        self.platform.plans.proposed += 1
        self.platform.plans.accepted += verdict.accepted
        self.platform.plans.refused += not verdict.accepted
        self.platform.record(decided)
        if not verdict.accepted:
            return
        if verdict.autonomy is not Autonomy.ACT:
            self._held[plan.id] = plan
            return
        await self._execute(plan)

    async def _execute(self, plan: Plan) -> None:
        self.platform.gate.hold(plan)
        self._running.add(plan.id)
        await self._runner.run(plan)

    # --- people -----------------------------------------------------------------------------------------------

    def decide(self, plan_id: str, *, approve: bool) -> None:
        """Take a person's decision on a held plan.

        Raises:
            BadInput: There is no such plan waiting.
            Refused: The plan no longer fits: it expired, or the grid has changed since.
        """
        plan = self._held.get(plan_id)
        if plan is None:
            message = f"no plan {plan_id!r} waits for a decision"
            raise BadInput(message)
        if approve:
            verdict = self.platform.gate.recheck(plan, self.platform.view())
            if not verdict.accepted:
                reasons = "; ".join(f"{check.name}: {check.note or check.where}" for check in verdict.refusals)
                message = f"plan {plan_id} cannot be carried out any more: {reasons}"
                raise Refused(message)
        del self._held[plan_id]
        if approve:
            self._start(self._execute(plan))

    def locks_changed(self) -> None:
        """Tell the event path at once; plans that use a locked switch are prepared anew a moment later."""
        rows = [self.platform.grid.switches.row(id_) for id_ in sorted(self.platform.locks.switches())]
        self.table.lock(rows)

    def repaired(self, line_id: str) -> None:
        """Take note that a line is sound again."""
        self.platform.faulted.discard(line_id)
        self.platform.intake.positions_version += 1

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

