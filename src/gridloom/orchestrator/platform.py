"""The platform: everything that it knows and decides, without a wire and without a loop.

    telemetry, events -> Intake -> Estimator -> GridState -> agents -> Gate -> prepared plans, commands
                                                    `-> alarms, history          `-> journal

`runtime` puts it on a bus and on a clock; a stepped run calls the same methods one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from gridloom import __version__
from gridloom.core.errors import BadInput
from gridloom.core.plans import Autonomy
from gridloom.core.units import NS_PER_S
from gridloom.grid import table_from_bytes
from gridloom.grid.instruments import Instruments
from gridloom.ioe.frames import COLUMNS, FrameKind
from gridloom.orchestrator.agents import View
from gridloom.orchestrator.alarm_book import AlarmBook
from gridloom.orchestrator.autonomy import ANY_AGENT, AutonomyLevels
from gridloom.orchestrator.book import CapacityBook
from gridloom.orchestrator.gate import Gate
from gridloom.orchestrator.intake import Intake, Moved
from gridloom.orchestrator.locks import Locks, SwitchLock
from gridloom.orchestrator.restoration import RestorationAgent
from gridloom.store.records import (
    Alarm,
    OperatorAction,
    OperatorDeed,
    PositionSeen,
    PreparedPlan,
    Record,
    Started,
    Stopped,
    kind_of,
)
from gridloom.twin.estimation import Estimator

if TYPE_CHECKING:
    from collections.abc import Callable

    from gridloom.core.clock import Clock
    from gridloom.core.plans import Plan
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags
    from gridloom.ioe.birth import Birth
    from gridloom.ioe.frames import Frame
    from gridloom.ioe.telemetry import Readings
    from gridloom.orchestrator.alarm_book import AlarmState
    from gridloom.orchestrator.preparation import Batch, Preparation
    from gridloom.store import Journal, Replayed
    from gridloom.store.history import History
    from gridloom.twin.state import GridState

log = structlog.get_logger(__name__)

_DENSE_NS: Final = 600 * NS_PER_S
_THIN_NS: Final = 10 * NS_PER_S
_HISTORY_KINDS: Final = {kind: kind.name.lower() for kind in FrameKind}


@dataclass(slots=True)
class PlanCounts:
    """What became of plans."""

    proposed: int = 0
    accepted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """What is known at one instant, for an estimate."""

    readings: Readings
    positions: Flags
    now_ns: int


@dataclass(eq=False, kw_only=True)
class Platform:
    """One grid, run by the loop."""

    grid: Grid
    birth: Birth
    clock: Clock
    journal: Journal
    history: History | None
    mode: Autonomy
    epoch: int
    """Counts the starts of this platform; commands carry it."""
    seed: int = 0
    state: GridState | None = None
    plans: PlanCounts = field(default_factory=PlanCounts)
    on_record: Callable[[Record, int], None] | None = None
    """Told of each record that is journaled, with its grid time."""
    on_alarm: Callable[[], None] | None = None
    on_autonomy: Callable[[], None] | None = None
    """Told at once when a person has changed how far an agent may go."""

    def __post_init__(self) -> None:
        """Build the rooms that the loop passes through."""
        if self.birth.grid_hash != self.grid.hash:
            message = (
                f"the field speaks of another grid: its model is {self.birth.grid_hash[:12]}, ours is "
                f"{self.grid.hash[:12]} ({self.grid.name}); load the same grid on both sides"
            )
            raise BadInput(message)
        self.instruments = table_from_bytes(Instruments, self.birth.instruments)
        self.intake = Intake(
            grid=self.grid,
            instruments=self.instruments,
            epoch=self.birth.epoch,
            positions=_positions(self.birth, self.grid),
            # An accelerated second passes within milliseconds of wall time: readings may look early.
            ahead_tolerance_ns=round(5e9 * max(1.0, self.birth.speed)),
        )
        self.estimator = Estimator(
            self.grid, self.instruments, is_timed=not self.clock.is_deterministic
        )
        self.locks = Locks(self.grid.switches.id.tolist())
        self.autonomy = AutonomyLevels(self.grid.cells, default=self.mode)
        self.book = CapacityBook()
        self.gate = Gate(self.grid, self.clock, self.book, self.locks, self.autonomy)
        self.restoration = RestorationAgent(self.grid)
        self.alarms = AlarmBook(self.grid)
        self._began_ns, self._kept_ns = self.clock.now_ns(), 0
        self.prepared: dict[str, Plan] = {}
        """Accepted plans that lie ready, by id."""
        self.faulted: set[str] = set()
        """Ids of the lines known to be broken."""

    # --- life -------------------------------------------------------------------------------------------------

    def begin(self, before: Replayed | None) -> None:
        """Journal the start, taking over the locks, levels and open plans that an earlier life left."""
        if before is not None:
            self._resume(before)
        known = dict(
            zip(self.grid.switches.id.tolist(), self.intake.positions.tolist(), strict=True)
        )
        self.record(
            Started(
                version=__version__,
                mode=self.mode,
                grid_hash=self.grid.hash,
                clock=self.birth.clock,
                epoch=self.epoch,
                seed=self.seed,
                positions=known,
            )
        )

    def _resume(self, before: Replayed) -> None:
        now_ns = self.clock.now_ns()
        for switch in sorted(before.locked):
            if switch in self.grid.switches:
                self.locks.set(
                    SwitchLock(
                        switch=switch,
                        owner="operator",
                        reason="kept over a restart",
                        since_ns=now_ns,
                    )
                )
        # A plan made after a restart must not close onto what broke before it.
        self.faulted |= {line for line in before.faulted if line in self.grid.lines}
        for target, level in before.autonomy.items():
            agent, _, cell = target.partition("@")
            if cell in self.grid.cells:
                self.autonomy.set(agent, cell, level)

    def end(self, reason: str) -> None:
        """Journal the stop."""
        self.record(Stopped(reason=reason))
        self.journal.commit()

    def record(self, record: Record, at_ns: int | None = None) -> None:
        """Journal one record and tell whoever listens."""
        at_ns = self.clock.now_ns() if at_ns is None else at_ns
        self.journal.append(kind_of(record), record, at_ns)
        self.tell(record, at_ns)

    def tell(self, record: Record, at_ns: int) -> None:
        """Tell whoever listens of a record that stands in the journal already."""
        if self.on_record is not None:
            self.on_record(record, at_ns)

    # --- sense ------------------------------------------------------------------------------------------------

    def take_telemetry(self, data: bytes) -> None:
        """Take one telemetry message."""
        self._positions_moved(self.intake.telemetry(data, self.clock.now_ns()))

    def take_event(self, frame: Frame) -> None:
        """Take one event that was not seen before."""
        self._positions_moved(self.intake.event(frame, self.clock.now_ns()))

    def _positions_moved(self, moved: list[Moved]) -> None:
        for one in moved:
            self.record(
                PositionSeen(switch=str(self.grid.switches.id[one.switch]), closed=one.closed),
                max(one.at_ns, 0),
            )

    # --- estimate ---------------------------------------------------------------------------------------------

    def moment(self) -> Moment:
        """Freeze what an estimate needs; quick, on the thread that takes telemetry."""
        moment = Moment(
            readings=self.intake.latest.snapshot(),
            positions=self.intake.positions.copy(),
            now_ns=self.clock.now_ns(),
        )
        if self.history is not None:
            self._keep_readings()
        return moment

    def estimate(self, moment: Moment) -> GridState:
        """Estimate the state at a moment; heavy, may run in a worker thread, always the same one."""
        self.estimator.read(moment.readings, moment.now_ns)
        return self.estimator.estimate(moment.positions, moment.now_ns)

    def _keep_readings(self) -> None:
        latest, rows = self.intake.latest, self.intake.latest.take()
        for kind, name in _HISTORY_KINDS.items():
            of_kind = rows[latest.kind[rows] == kind]
            if self.history is not None and len(of_kind):
                columns = {
                    column: latest.values[number, of_kind]
                    for number, column in enumerate(COLUMNS[kind])
                }
                self.history.append(
                    name, latest.time_ns[of_kind], of_kind.astype(np.uint32), columns
                )

    def adopt_state(self, state: GridState) -> None:
        """Make an estimate the current one: history, alarms."""
        self.state = state
        if self.history is not None and self._is_kept(state.time_ns):
            self._keep_estimate(self.history, state)
        self._alarms_changed(self.alarms.update(state))

    def _is_kept(self, time_ns: int) -> bool:
        """Whether an estimate goes into the history: each one at first, then one in ten seconds.

        Ten thousand buses a second would fill eight gigabytes a day.
        """
        if time_ns - self._began_ns > _DENSE_NS and time_ns - self._kept_ns < _THIN_NS:
            return False
        self._kept_ns = time_ns
        return True

    @staticmethod
    def _keep_estimate(history: History, state: GridState) -> None:
        live = np.isfinite(state.v_pu)
        columns = {
            "v_pu": state.v_pu[live].astype(np.float32),
            "v_sigma_pu": state.v_sigma_pu[live].astype(np.float32),
        }
        history.append("estimate", state.time_ns, np.flatnonzero(live).astype(np.uint32), columns)

    def platform_alarm(self, part: str, text: str, priority: int, *, is_active: bool) -> None:
        """Raise or clear an alarm about a part of the platform itself."""
        self._alarms_changed(
            self.alarms.set(part, text, priority, self.clock.now_ns(), is_active=is_active)
        )

    def _alarms_changed(self, changed: tuple[AlarmState, ...]) -> None:
        for alarm in changed:
            self.record(
                Alarm(
                    id=alarm.id,
                    priority=alarm.priority,
                    text=alarm.text,
                    element=alarm.element,
                    is_active=alarm.is_active,
                )
            )
        if changed and self.on_alarm is not None:
            self.on_alarm()

    # --- propose, verify --------------------------------------------------------------------------------------

    def view(self) -> View:
        """Return the present moment, frozen."""
        return View(
            grid=self.grid,
            positions=self.intake.positions.copy(),
            state=self.state,
            locks=self.locks.switches(),
            now_ns=self.clock.now_ns(),
            unknown=frozenset(self.intake.unknown),
            faulted=frozenset(self.faulted),
        )

    def lay_ready(self, batch: Batch, preparation: Preparation) -> None:
        """Journal a batch of prepared plans, have it on the disk, and only then lay it ready."""
        self.plans.proposed += len(batch.plans)
        self.plans.accepted += batch.accepted
        self.plans.refused += len(batch.plans) - batch.accepted
        for plan, verdict in batch.plans:
            self.record(
                PreparedPlan(plan=plan, verdict=verdict, generation=batch.series), batch.view.now_ns
            )
        self.journal.commit()
        self.prepared = {plan.id: plan for plan, verdict in batch.plans if verdict.accepted}
        preparation.publish(batch, epoch=self.epoch)

    # --- people -----------------------------------------------------------------------------------------------

    def set_lock(self, lock: SwitchLock, *, locked: bool) -> None:
        """Put a person's lock on a switch, or take it off."""
        if locked:
            self.locks.set(replace_since(lock, self.clock.now_ns()))
        else:
            self.locks.lift(lock.switch, lock.owner)
        self.record(
            OperatorAction(
                operator=lock.owner,
                deed=OperatorDeed.LOCK if locked else OperatorDeed.UNLOCK,
                target=lock.switch,
                note=lock.reason,
            )
        )
        self.intake.positions_version += 1

    def set_autonomy(self, agent: str, cell: str, level: Autonomy, operator: str) -> None:
        """Set how far an agent may go in a cell and below."""
        self.autonomy.set(agent or ANY_AGENT, cell, level)
        if self.on_autonomy is not None:
            self.on_autonomy()
        self.record(
            OperatorAction(
                operator=operator, deed=OperatorDeed.AUTONOMY, target=f"{agent}@{cell}", value=level
            )
        )
        self.intake.positions_version += 1


def replace_since(lock: SwitchLock, now_ns: int) -> SwitchLock:
    """Return `lock` as set at `now_ns`."""
    return SwitchLock(switch=lock.switch, owner=lock.owner, reason=lock.reason, since_ns=now_ns)


def _positions(birth: Birth, grid: Grid) -> np.ndarray:
    if not birth.positions:
        return np.array(grid.switches.closed)
    positions = np.frombuffer(birth.positions, dtype=np.uint8)
    if len(positions) != len(grid.switches):
        message = f"the birth carries {len(positions)} switch positions, the grid has {len(grid.switches)} switches"
        raise BadInput(message)
    return positions.astype(np.bool_)
