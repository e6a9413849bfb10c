"""A view that replays a recorded sequence: the platform's side of the browser tests.

The topology is the real one; voltages and loadings are plain made-up levels. `tests/system` runs the same page
against the whole platform.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

import msgspec
import numpy as np

from gridloom.control_room.stations import branch_ends, branch_offsets
from gridloom.control_room.view import (
    Alarm,
    AutonomyLevel,
    CommandTrace,
    FaultStory,
    LiveState,
    Lock,
    Milestone,
    PlanCard,
    PlanState,
    Status,
    Topic,
)
from gridloom.core.errors import Refused, UnknownId
from gridloom.core.plans import Action, ActionKind, Autonomy, Check
from gridloom.core.units import NS_PER_MS, NS_PER_S
from gridloom.grid.model import Grid
from gridloom.grid.topology import topology

START_NS = 1_606_000_000 * NS_PER_S


class RecordedView:
    """A platform whose every answer is written down beforehand."""

    def __init__(self, grid: Grid, *, pause_s: float = 0.05) -> None:
        self._grid, self._pause_s = grid, pause_s
        self.now_ns = START_NS
        self.positions = np.array(grid.switches.closed)
        self.loading = 35.0
        self.alarm_list: tuple[Alarm, ...] = ()
        self.plan_list: tuple[PlanCard, ...] = ()
        self.stories: tuple[FaultStory, ...] = ()
        self.lock_list: tuple[Lock, ...] = ()
        self.levels = (AutonomyLevel(agent="restoration", cell="root", level=Autonomy.ACT),)
        self.wishes: list[tuple[str, ...]] = []
        self.faulted: set[str] = set()
        self.gate: asyncio.Semaphore | None = None
        """Where there is one, each step of the story waits for a release."""
        self._watchers: list[Callable[[Topic], None]] = []
        self._live = self._estimate()

    @property
    def grid(self) -> Grid:
        return self._grid

    def live(self) -> LiveState | None:
        return self._live

    def status(self) -> Status:
        return Status(
            grid=self._grid.name,
            now_ns=self.now_ns,
            clock="real",
            speed=1.0,
            autonomy=Autonomy.ACT,
            estimate_ns=self._live.time_ns,
            estimates_per_s=1.0,
            readings_per_s=2000.0,
            field_connected=True,
            journal_ok=True,
            customers_out=self._customers_out(),
        )

    def alarms(self) -> tuple[Alarm, ...]:
        return self.alarm_list

    def plans(self, limit: int) -> tuple[PlanCard, ...]:
        return self.plan_list[:limit]

    def plan(self, plan_id: str) -> PlanCard:
        for plan in self.plan_list:
            if plan.id == plan_id:
                return plan
        raise UnknownId("plan", plan_id, [plan.id for plan in self.plan_list])

    def faults(self, limit: int) -> tuple[FaultStory, ...]:
        return self.stories[:limit]

    def locks(self) -> tuple[Lock, ...]:
        return self.lock_list

    def autonomy(self) -> tuple[AutonomyLevel, ...]:
        return self.levels

    def watch(self, changed: Callable[[Topic], None]) -> Callable[[], None]:
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    async def break_cable(self, line_id: str) -> None:
        self._grid.lines.row(line_id)
        if line_id in self.faulted:
            raise Refused(f"{line_id} is broken already")
        self.wishes.append(("break", line_id))
        self.faulted.add(line_id)
        self._story = asyncio.create_task(self._play(line_id))

    async def repair(self, line_id: str) -> None:
        self.wishes.append(("repair", line_id))
        self.faulted.discard(line_id)
        self.alarm_list = ()
        if self.stories and self.stories[0].line == line_id:
            self._tell(self.stories[0], "repaired", f"{line_id} repaired", 60_000.0)

    async def lock(self, lock: Lock, *, locked: bool) -> None:
        self._grid.switches.row(lock.switch)
        self.wishes.append(("lock" if locked else "unlock", lock.switch))
        others = tuple(each for each in self.lock_list if each.switch != lock.switch)
        self.lock_list = (*others, lock) if locked else others
        self.changed(Topic.LOCKS)

    async def set_autonomy(self, level: AutonomyLevel) -> None:
        self.wishes.append(("autonomy", level.agent, level.cell, level.level))
        self.levels = (level,)
        self.changed(Topic.AUTONOMY)

    async def decide(self, plan_id: str, *, approve: bool) -> None:
        self.plan(plan_id)
        self.wishes.append(("approve" if approve else "refuse", plan_id))

    def changed(self, *topics: Topic) -> None:
        for topic in topics:
            for watcher in tuple(self._watchers):
                watcher(topic)

    def tick(self, seconds: float = 1.0) -> None:
        self.now_ns += round(seconds * NS_PER_S)
        self._live = self._estimate()
        self.changed(Topic.STATE)

    def operate(self, *, open_: Iterable[str] = (), close: Iterable[str] = ()) -> None:
        self.positions[self._grid.switches.rows(open_)] = False
        self.positions[self._grid.switches.rows(close)] = True
        self.tick(0.1)

    def set_voltage(self, bus: int, v_pu: float) -> None:
        voltages = self._live.v_pu.copy()
        voltages[bus] = v_pu
        self._live = replace(self._live, v_pu=voltages, time_ns=self.now_ns + 1)
        self.changed(Topic.STATE)

    def _customers_out(self) -> int:
        dead = ~self._live.is_energised[self._grid.loads.bus]
        return int(self._grid.loads.customers[dead].sum())

    def _estimate(self) -> LiveState:
        grid = self._grid
        now = topology(grid.with_positions(self.positions))
        alive = np.asarray(now.is_energised)
        loading = np.full(branch_offsets(grid)["end"], self.loading)
        starts, is_live = branch_offsets(grid), np.zeros(len(loading), dtype=bool)
        for kind, row, buses, _ in branch_ends(grid):
            is_live[starts[kind] + row] = alive[list(buses)].any()
        wave = 0.004 * np.sin(np.arange(len(alive)) / 7 + self.now_ns / NS_PER_S / 20)
        loading += 4 * np.sin(np.arange(len(loading)) / 5 + self.now_ns / NS_PER_S / 20)
        return LiveState(
            time_ns=self.now_ns,
            v_pu=np.where(alive, 1.0 + wave, np.nan),
            is_energised=alive,
            loading_pct=np.where(is_live, loading, np.nan),
            is_live=is_live,
            closed=self.positions.astype(np.float32),
        )

    async def _play(self, line_id: str) -> None:
        """Replay: breaker trips, fault located, plan made, both ends opened, tie closed."""
        ends, breaker, tie, tail = self._around(line_id)
        story = FaultStory(
            id="fault-1",
            line="",
            is_over=False,
            customers_interrupted=0,
            customers_restored=0,
            milestones=(),
        )
        story = self._tell(story, "requested", "Break asked for in the control room", 0.0)
        await self._wait()
        self.operate(open_=[breaker])
        out = self._customers_out()
        self.alarm_list = (
            Alarm(
                id="alarm-1",
                priority=1,
                element_kind="line",
                element=line_id,
                text="Cable fault",
                since_ns=self.now_ns,
            ),
        )
        story = msgspec.structs.replace(story, customers_interrupted=out)
        story = self._tell(story, "trip", f"{breaker} tripped", 112.0)
        story = msgspec.structs.replace(story, line=line_id)
        story = self._tell(story, "located", f"Fault on {line_id}", 143.0)
        self.plan_list = (self._plan(line_id, ends, breaker, tie), *self.plan_list)
        story = self._tell(story, "planned", "Prepared plan found and checked", 144.1)
        story = self._tell(story, "commanded", "5 commands sent", 145.2)
        await self._wait()
        self.operate(open_=ends, close=[breaker])
        story = self._tell(story, "isolated", "Faulted section isolated", 861.0)
        await self._wait()
        self.operate(close=tail)
        story = msgspec.structs.replace(
            story, customers_restored=out - self._customers_out(), is_over=True, plan_id="plan-1"
        )
        self.plan_list = (
            msgspec.structs.replace(
                self.plan_list[0],
                state=PlanState.DONE,
                outcome=f"{story.customers_restored} of {out} customers have supply again",
            ),
        )
        self.changed(Topic.PLANS)
        self._tell(story, "restored", "Supply restored through the tie", 1490.0)

    async def _wait(self) -> None:
        if self.gate is None:
            await asyncio.sleep(self._pause_s)
        else:
            await self.gate.acquire()

    def _tell(self, story: FaultStory, name: str, text: str, took_ms: float) -> FaultStory:
        at_ns = START_NS + round(took_ms * NS_PER_MS)
        milestone = Milestone(name=name, text=text, at_ns=at_ns, took_ms=took_ms)  # type: ignore[arg-type]
        story = msgspec.structs.replace(story, milestones=(*story.milestones, milestone))
        self.stories = (story,)
        self.changed(Topic.FAULTS, Topic.ALARMS, Topic.PLANS, Topic.STATUS)
        return story

    def _around(self, line_id: str) -> tuple[list[str], str, str, list[str]]:
        feeder = line_id.removeprefix("MV line ").split(".")[0]
        tie = f"tie {int(feeder) // 2 * 2}"
        ends = [f"switch {line_id} a", f"switch {line_id} b"]
        breaker = next(
            id_ for id_ in self._grid.switches.id if id_.startswith(f"switch MV line {feeder}.0")
        )
        return ends, breaker, tie, [f"switch {tie} a"]

    def _plan(self, line_id: str, ends: list[str], breaker: str, tie: str) -> PlanCard:
        steps = [(ActionKind.OPEN, end, 0) for end in ends]
        steps += [(ActionKind.CLOSE, breaker, 1), (ActionKind.CLOSE, f"switch {tie} a", 1)]
        actions = tuple(Action(kind=kind, target=target, step=step) for kind, target, step in steps)
        return PlanCard(
            id="plan-1",
            agent="restoration",
            rank="restoration",
            cell="root",
            state=PlanState.ACTING,
            reason=f"Fault on {line_id}: isolate it and feed the rest through {tie}",
            trigger="fault-1",
            made_ns=START_NS,
            expires_ns=START_NS + 600 * NS_PER_S,
            actions=actions,
            undo=tuple(
                Action(
                    kind=ActionKind.OPEN if each.kind is ActionKind.CLOSE else ActionKind.CLOSE,
                    target=each.target,
                )
                for each in reversed(actions)
            ),
            expectation={"restored_mw": 0.12, "v_min_pu": 0.971},
            alternatives=("tie 2: reaches 112 % on MV line 3.0",),
            checks=(
                Check(
                    name="voltage", passed=True, worst=0.971, limit=0.95, unit="pu", where="MV 1.0"
                ),
                Check(
                    name="loading",
                    passed=True,
                    worst=78.0,
                    limit=100.0,
                    unit="%",
                    where="MV line 1.0",
                ),
                Check(name="locks", passed=True, worst=0, limit=0, unit=""),
            ),
            verdict="all checks passed",
            autonomy=Autonomy.ACT,
            commands=tuple(
                CommandTrace(
                    action=each,
                    sent_ns=START_NS,
                    outcome="done",
                    answered_ns=START_NS + 700 * NS_PER_MS,
                )
                for each in actions
            ),
        )
