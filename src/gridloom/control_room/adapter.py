"""The platform as a `PlatformView`: reads what is there, passes wishes on, decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from gridloom.control_room.desk import Desk
from gridloom.control_room.view import (
    Alarm,
    AutonomyLevel,
    FaultStory,
    LiveState,
    Lock,
    PlanCard,
    Status,
    Topic,
)
from gridloom.core.errors import BadInput, Malformed, Refused
from gridloom.core.plans import Autonomy
from gridloom.ioe import subjects
from gridloom.orchestrator.autonomy import ANY_AGENT
from gridloom.orchestrator.locks import SwitchLock
from gridloom.store.records import OperatorAction, OperatorDeed, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from gridloom.grid.model import Grid
    from gridloom.ioe.bus import Bus
    from gridloom.orchestrator.platform import Platform
    from gridloom.orchestrator.runtime import Runtime
    from gridloom.twin.state import GridState

_STALE_ESTIMATES = 5.0
"""So many estimate periods without a new estimate count as a broken connection to the field."""


class _FieldWish(msgspec.Struct, frozen=True):
    do: Literal["inject", "repair"]
    target: str


class _FieldAnswer(msgspec.Struct, frozen=True):
    ok: bool
    note: str = ""


class RuntimeView:
    """What the control room sees of a running platform."""

    def __init__(
        self, runtime: Runtime, bus: Bus, *, is_simulated: bool, operator: str = "operator"
    ) -> None:
        """Look at `runtime`.

        Args:
            runtime: The running platform.
            bus: Carries wishes to the simulated field.
            is_simulated: Whether there is a simulated field: only that can be broken by a button.
            operator: Who is at the desk, for the journal.
        """
        self._runtime, self._bus, self._operator = runtime, bus, operator
        self._is_simulated = is_simulated
        platform = runtime.platform
        self.desk = Desk(has_wall_time=platform.birth.clock == "real")
        self._watchers: list[Callable[[Topic], None]] = []
        platform.on_record = self._recorded
        platform.on_alarm = lambda: self._changed(Topic.ALARMS)
        runtime.on_state = lambda _: self._changed(Topic.STATE, Topic.STATUS)

    @property
    def _platform(self) -> Platform:
        return self._runtime.platform

    @property
    def grid(self) -> Grid:
        """The grid with its normal switch positions."""
        return self._platform.grid

    def live(self) -> LiveState | None:
        """Return the newest estimate, or nothing before the first."""
        state = self._platform.state
        return None if state is None else self._live(state)

    def _live(self, state: GridState) -> LiveState:
        grid, positions = self.grid, state.positions
        topology = grid.wiring.topology(positions)
        energised = topology.is_energised
        sides = (
            (grid.lines, topology.line_closed, (grid.lines.from_bus, grid.lines.to_bus)),
            (
                grid.transformers,
                topology.transformer_closed,
                (grid.transformers.hv_bus, grid.transformers.lv_bus),
            ),
            (
                grid.transformers3w,
                topology.transformer3w_closed,
                (
                    grid.transformers3w.hv_bus,
                    grid.transformers3w.mv_bus,
                    grid.transformers3w.lv_bus,
                ),
            ),
            (grid.branches, topology.branch_closed, (grid.branches.from_bus, grid.branches.to_bus)),
        )
        is_live = [
            np.any([closed[:, side] & energised[bus] for side, bus in enumerate(buses)], axis=0)
            for _, closed, buses in sides
        ]
        unknown_3w = np.full(len(grid.transformers3w), np.nan)
        unknown = np.full(len(grid.branches), np.nan)
        closed = positions.astype(np.float32)
        closed[list(self._platform.intake.unknown)] = np.nan
        return LiveState(
            time_ns=state.time_ns,
            v_pu=state.v_pu,
            is_energised=state.is_energised,
            loading_pct=np.concatenate(
                [state.line_loading_pct, state.transformer_loading_pct, unknown_3w, unknown]
            ),
            is_live=np.concatenate(is_live),
            closed=closed,
            p_mw=np.concatenate([state.line_p_mw, state.transformer_p_mw, unknown_3w, unknown]),
            v_sigma_pu=state.v_sigma_pu,
        )

    def status(self) -> Status:
        """Return how the platform itself is doing."""
        platform, state = self._platform, self._platform.state
        figures = self._runtime.figures
        return Status(
            grid=platform.grid.name,
            now_ns=platform.clock.now_ns(),
            clock=msgspec.convert(platform.birth.clock, Literal["real", "stepped", "accelerated"]),
            speed=platform.clock.speed,
            autonomy=platform.mode,
            estimate_ns=0 if state is None else state.time_ns,
            estimates_per_s=figures.estimates_per_s,
            readings_per_s=figures.readings_per_s,
            field_connected=figures.seconds_since_frame < _STALE_ESTIMATES,
            journal_ok=not platform.journal.failure,
            customers_out=0 if state is None else platform.alarms.customers_out(state),
            note=platform.journal.failure or self._runtime.note,
        )

    def alarms(self) -> tuple[Alarm, ...]:
        """Return the alarms in force and those gone but not yet old."""
        return tuple(
            msgspec.convert(alarm, Alarm, from_attributes=True)
            for alarm in self._platform.alarms.all()
        )

    def plans(self, limit: int) -> tuple[PlanCard, ...]:
        """Return the latest plans that were triggered or decided, newest first."""
        return self.desk.plans(limit)

    def plan(self, plan_id: str) -> PlanCard:
        """Return one plan, prepared ones included."""
        return self.desk.plan(plan_id)

    def faults(self, limit: int) -> tuple[FaultStory, ...]:
        """Return the latest faults, newest first."""
        return self.desk.faults(limit)

    def locks(self) -> tuple[Lock, ...]:
        """Return the locks in force."""
        return tuple(
            msgspec.convert(lock, Lock, from_attributes=True) for lock in self._platform.locks.all()
        )

    def autonomy(self) -> tuple[AutonomyLevel, ...]:
        """Return the level of each agent; the root cell stands for all cells below it."""
        platform = self._platform
        root = str(platform.grid.cells.id[0])
        levels = {
            (platform.restoration.name, root): platform.autonomy.level(
                platform.restoration.name, root
            )
        }
        levels |= platform.autonomy.all()
        return tuple(
            AutonomyLevel(agent=agent, cell=cell, level=level)
            for (agent, cell), level in levels.items()
        )

    def watch(self, changed: Callable[[Topic], None]) -> Callable[[], None]:
        """Call `changed` after each change; return what ends the watch."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    async def break_cable(self, line_id: str) -> None:
        """Ask the simulated field to break a cable."""
        self.grid.lines.row(line_id)
        await self._ask_field("inject", line_id)

    async def repair(self, line_id: str) -> None:
        """Ask the simulated field to repair a cable."""
        self.grid.lines.row(line_id)
        await self._ask_field("repair", line_id)
        self._runtime.repaired(line_id)
        self.desk.repaired(line_id, self._platform.clock.now_ns())
        self._changed(Topic.FAULTS)

    async def _ask_field(self, wish: Literal["inject", "repair"], line_id: str) -> None:
        if not self._is_simulated:
            message = (
                "this platform runs a real grid: nothing can be broken or repaired from the page"
            )
            raise Refused(message)
        request = msgspec.json.encode(_FieldWish(wish, line_id))
        raw = await self._bus.request(subjects.FIELD_CONTROL, request, timeout_s=5.0)
        try:
            answer = msgspec.json.decode(raw, type=_FieldAnswer)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            message = f"the field's answer cannot be read: {error}"
            raise Malformed(message) from None
        if not answer.ok:
            raise BadInput(answer.note)

    async def lock(self, lock: Lock, *, locked: bool) -> None:
        """Set a lock, or lift it."""
        self._platform.set_lock(
            SwitchLock(
                switch=lock.switch, owner=lock.owner, reason=lock.reason, since_ns=lock.since_ns
            ),
            locked=locked,
        )
        self._runtime.locks_changed()
        self._changed(Topic.LOCKS)

    async def set_autonomy(self, level: AutonomyLevel) -> None:
        """Set how far an agent may go in a cell."""
        agent = level.agent or ANY_AGENT
        self._platform.set_autonomy(agent, level.cell, Autonomy(level.level), self._operator)
        self._changed(Topic.AUTONOMY, Topic.STATUS)

    async def decide(self, plan_id: str, *, approve: bool) -> None:
        """Approve or refuse a plan that is held for a person."""
        deed = OperatorDeed.APPROVE if approve else OperatorDeed.REJECT
        self._runtime.decide(plan_id, approve=approve)
        self._platform.record(OperatorAction(operator=self._operator, deed=deed, target=plan_id))

    def _recorded(self, record: Record, at_ns: int) -> None:
        if not self.desk.take(record, at_ns):
            return
        self._changed(Topic.PLANS)
        self._changed(Topic.FAULTS)

    def _changed(self, *topics: Topic) -> None:
        for watcher in tuple(self._watchers):
            for topic in topics:
                watcher(topic)
