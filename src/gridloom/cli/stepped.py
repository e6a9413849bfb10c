"""A run on the stepped clock: everything in one process, a barrier at each moment, the same seed the same bytes.

The bus is the in-process one, but what travels on it are the same encoded frames, events and signed commands, with
the field's seeded link delays. Nothing waits for wall time, and no wall time reaches the journal.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gridloom.cli.faults import planned_faults
from gridloom.cli.field import time_ns_of
from gridloom.cli.summary import FieldSummary, summarise, summary_of, write_field_summary
from gridloom.core.clock import SteppedClock
from gridloom.core.plans import Autonomy
from gridloom.core.units import NS_PER_MS, ns_from_s
from gridloom.field import FieldOptions, PlannedFault, Shell, TelemetrySettings, World
from gridloom.grid import load
from gridloom.ioe import subjects
from gridloom.ioe.bus import InProcessBus
from gridloom.ioe.signing import Signer, Verifier
from gridloom.ioe.subjects import Lane
from gridloom.orchestrator.event_path import EventPath
from gridloom.orchestrator.event_records import RECORD_BYTES
from gridloom.orchestrator.platform import Platform
from gridloom.orchestrator.preparation import static_of
from gridloom.orchestrator.prepared import PreparedTable
from gridloom.orchestrator.runtime import Runtime
from gridloom.store import Journal, Ring
from gridloom.store.history import History

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gridloom.cli.settings import Settings
    from gridloom.cli.summary import RunSummary
    from gridloom.ioe.bus import Message
    from gridloom.orchestrator.event_path import Outgoing

_RING_RECORDS = 4096
_TICK_NS = NS_PER_MS
"""Barriers stand at least this far apart."""


async def in_place[**P, T](_: str, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run heavy work where it stands: a stepped clock does not move meanwhile."""
    return work(*args, **kwargs)


@dataclass(eq=False, kw_only=True)
class InlineEventPath:
    """The event path as an object on the stepped bus instead of a process."""

    path: EventPath
    ring_path: Path
    bus: InProcessBus
    clock: SteppedClock
    restarts: int = 0
    pid: int = 1
    _out: list[Outgoing] = field(default_factory=list)

    async def start(self) -> None:
        """Listen, before anybody else does."""
        await self.bus.subscribe(subjects.everything(Lane.EVENT), self._on_event)
        await self.bus.subscribe(subjects.everything(Lane.ACK), self._on_ack)

    async def _on_event(self, message: Message) -> None:
        now_ns = self.clock.now_ns()
        await self._send(self.path.on_event(message.subject, message.data, now_ns, now_ns))

    async def _on_ack(self, message: Message) -> None:
        now_ns = self.clock.now_ns()
        await self._send(self.path.on_ack(message.data, now_ns, now_ns))

    async def tick(self) -> None:
        """Do what time alone brings."""
        now_ns = self.clock.now_ns()
        if self.path.next_due <= now_ns:
            await self._send(self.path.tick(now_ns, now_ns))

    async def _send(self, messages: list[Outgoing]) -> None:
        for message in messages:
            await self.bus.publish(message.subject, message.payload)

    @property
    def is_up(self) -> bool:
        """Whether it listens: always."""
        return True

    def heard(self) -> None:
        """Do nothing: nobody has to say that it listens."""

    def watch(self) -> None:
        """Do nothing: it lives as long as the run."""

    def stop(self) -> None:
        """Do nothing: it lives as long as the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The parts of a stepped run."""

    clock: SteppedClock
    world: World
    shell: Shell
    runtime: Runtime
    event_path: InlineEventPath
    ring: Ring


def run_stepped(
    settings: Settings, named: list[tuple[str, float]], *, random_faults: int, folder: Path
) -> RunSummary:
    """Run to the end of `settings.duration` and return what happened."""
    faults = planned_faults(settings, named, random_faults)
    return asyncio.run(_run(settings, faults, folder))


async def _run(settings: Settings, faults: list[tuple[str, float]], folder: Path) -> RunSummary:
    run = _build(settings, faults, folder)
    platform, history = run.runtime.platform, run.runtime.platform.history
    await run.event_path.start()
    await run.shell.attach()
    await run.runtime.start()
    platform.begin(None)
    await _steps(run, settings)
    await run.shell.detach()
    await run.runtime.close()
    platform.end("its time was over")
    summary, world = summary_of(run.runtime), run.world
    write_field_summary(folder / "field", FieldSummary.of(world))
    platform.journal.close()
    if history is not None:
        history.close()
    run.ring.close()
    return summarise(folder, summary, is_wall_time=False)


def _build(settings: Settings, faults: list[tuple[str, float]], folder: Path) -> _Run:
    grid, start_ns = load(settings.grid), time_ns_of(settings.start)
    clock = SteppedClock(start_ns)
    bus, signer = InProcessBus(clock), Signer.generate()
    options = FieldOptions(
        seed=settings.seed,
        start_ns=start_ns,
        grid_uri=settings.grid,
        mv_share=settings.mv_share,
        telemetry=TelemetrySettings(meter_period_s=settings.meter_period_s),
        faults=tuple(PlannedFault(line=line, at_s=at_s) for line, at_s in faults),
        truth_dir=folder / "field" / "truth",
    )
    world = World(grid, options, verify=Verifier.of([signer.public_key]).verify)
    birth = world.birth(clock="stepped")
    platform = Platform(
        grid=grid,
        birth=birth,
        clock=clock,
        journal=Journal(folder / "journal.sqlite", commit_every_s=None),
        history=History(folder / "history", clock=clock, in_background=False),
        mode=Autonomy(settings.mode),
        epoch=1,
        seed=settings.seed,
    )
    table = PreparedTable.create(
        folder / "prepared.table", static_of(grid, platform.instruments, birth.gateways)
    )
    ring = Ring(folder / "event-path.ring", _RING_RECORDS, RECORD_BYTES)
    event_path = InlineEventPath(
        path=EventPath(table, ring, signer.sign),
        ring_path=folder / "event-path.ring",
        bus=bus,
        clock=clock,
    )
    runtime = Runtime(
        platform=platform,
        bus=bus,
        table=table,
        event_path=event_path,
        signer=signer,
        heavy=in_place,
    )
    return _Run(
        clock=clock,
        world=world,
        shell=Shell(world, bus, clock),
        runtime=runtime,
        event_path=event_path,
        ring=ring,
    )


async def _steps(run: _Run, settings: Settings) -> None:
    """Move from moment to moment; at each one everybody does what is due, always in the same order."""
    period_ns = ns_from_s(settings.estimate_period_s)
    end_ns = run.clock.now_ns() + ns_from_s(settings.duration)
    estimate_ns = run.clock.now_ns() + period_ns
    while run.clock.now_ns() < end_ns:
        due = [estimate_ns, end_ns, run.event_path.path.next_due]
        if run.shell.next_ns is not None:
            due.append(run.shell.next_ns)
        run.clock.advance_to(min(max(min(due), run.clock.now_ns() + _TICK_NS), end_ns))
        now_ns = run.clock.now_ns()
        await run.shell.step(now_ns)
        await run.event_path.tick()
        await run.runtime.sender.tick()
        if now_ns >= estimate_ns:
            await run.runtime.estimate()
            estimate_ns += period_ns
            run.runtime.platform.journal.commit()
        run.runtime.drain()
        await run.runtime.replan_if_due()
        await run.runtime.prepare_if_due()
        await asyncio.sleep(0)
