"""The event path against the simulated world: real relays, real indicators, real switching times, messages lost."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from tests.orchestrator.house import view_of

from gridloom.core.clock import SteppedClock
from gridloom.core.plans import Autonomy
from gridloom.core.units import NS_PER_S
from gridloom.field.control import ControlRequest
from gridloom.field.options import FieldOptions
from gridloom.field.world import World
from gridloom.grid import load
from gridloom.grid.model import Grid
from gridloom.ioe.signing import Signer, Verifier
from gridloom.orchestrator.autonomy import AutonomyLevels
from gridloom.orchestrator.book import CapacityBook
from gridloom.orchestrator.event_path import EventPath, Outgoing
from gridloom.orchestrator.event_records import RECORD_BYTES, EventRecord, RecordKind
from gridloom.orchestrator.gate import Gate
from gridloom.orchestrator.locks import Locks
from gridloom.orchestrator.preparation import Preparation, static_of
from gridloom.orchestrator.prepared import PreparedTable
from gridloom.orchestrator.restoration import RestorationAgent
from gridloom.store.ring import Ring

START_NS = 1_593_561_600 * NS_PER_S


@pytest.fixture(scope="module")
def grid() -> Grid:
    return load("simbench:1-MV-urban--0-sw")


@dataclass
class Loop:
    """World and event path on one stepped clock; messages go between them as the links say."""

    grid: Grid
    directory: Path
    options: FieldOptions
    now_ns: int = START_NS
    waiting: list[tuple[int, int, str, bytes]] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        signer = Signer.generate()
        self.world = World(self.grid, self.options, verify=Verifier.of([signer.public_key]).verify)
        birth = self.world.birth()
        self.table = PreparedTable.create(
            self.directory / "table", static_of(self.grid, self.world.instruments, birth.gateways)
        )
        clock, levels = SteppedClock(START_NS), AutonomyLevels(self.grid.cells, Autonomy.ACT)
        gate = Gate(self.grid, clock, CapacityBook(), Locks(self.grid.switches.id), levels)
        self.agent = RestorationAgent(self.grid)
        keeper = Preparation(self.grid, self.world.instruments, self.agent, gate, self.table)
        self.view = view_of(self.grid, now_ns=START_NS)
        batch = keeper.prepare(self.view)
        self.plans = {plan.trigger.removeprefix("branch:"): plan for plan, _ in batch.plans}
        keeper.publish(batch, epoch=1)
        self.ring = Ring(self.directory / "ring", 256, RECORD_BYTES)
        self.path = EventPath(self.table, self.ring, signer.sign)

    def run(self, seconds: float) -> None:
        end_ns = self.now_ns + round(seconds * NS_PER_S)
        while self.now_ns < end_ns:
            at_ns = min(end_ns, self.world.next_ns or end_ns, self.path.next_due)
            at_ns = min(at_ns, self.waiting[0][0]) if self.waiting else at_ns
            self.now_ns = max(at_ns, self.now_ns)
            self.take(self.world.advance(self.now_ns))
            while self.waiting and self.waiting[0][0] <= self.now_ns:
                _, _, subject, payload = heapq.heappop(self.waiting)
                if subject.startswith("event."):
                    self.give(self.path.on_event(subject, payload, self.now_ns, self.now_ns))
                elif subject.startswith("ack."):
                    self.give(self.path.on_ack(payload, self.now_ns, self.now_ns))
            if self.path.next_due <= self.now_ns:
                self.give(self.path.tick(self.now_ns, self.now_ns))

    def take(self, emissions: list) -> None:
        for one in emissions:
            self.number += 1
            heapq.heappush(self.waiting, (one.due_ns, self.number, one.subject, one.payload))

    def give(self, messages: list[Outgoing]) -> None:
        for message in messages:
            self.take(self.world.receive(message.subject, message.payload, self.now_ns))

    def records(self) -> list[EventRecord]:
        return [EventRecord.decode(entry.payload) for entry in self.ring.drain(0)]


@pytest.mark.parametrize("number", [0, 3, 40, 77, 120, 133])
def test_a_broken_cable_is_found_isolated_and_everybody_the_plan_names_gets_supply(
    grid: Grid, tmp_path: Path, number: int
) -> None:
    line = str(grid.lines.id[number])
    loop = Loop(grid, tmp_path, FieldOptions(start_ns=START_NS, seed=number + 1))
    loop.run(2.0)
    reply, emissions = loop.world.control(ControlRequest(do="inject", target=line), loop.now_ns)
    assert reply.ok, reply.note
    loop.take(emissions)
    loop.run(45.0)
    records = loop.records()
    assert [record.kind for record in records][-1] is RecordKind.DONE, records
    plan = loop.plans[line]
    assert {
        loop.table.static.line_ids[r.line] for r in records if r.kind is RecordKind.STARTED
    } == {line}
    status, _ = loop.world.control(ControlRequest(do="status"), loop.now_ns)
    assert status.customers_interrupted == plan.expectation["customers_out"]
    assert status.customers_restored == plan.expectation["customers_restored"]
    moved = np.array(loop.world.plant.switchgear.closed)
    assert all(moved[grid.switches.row(a.target)] == (a.kind == "close") for a in plan.actions)


def test_a_switch_that_sticks_ends_the_plan_and_nothing_is_closed_on_the_fault(
    grid: Grid, tmp_path: Path
) -> None:
    loop = Loop(grid, tmp_path, FieldOptions(start_ns=START_NS, seed=9))
    line = str(grid.lines.id[3])
    stuck = next(a.target for a in loop.plans[line].actions if a.kind == "open")
    loop.world.control(ControlRequest(do="stick", target=stuck), loop.now_ns)
    loop.take(loop.world.control(ControlRequest(do="inject", target=line), loop.now_ns)[1])
    loop.run(45.0)
    assert loop.records()[-1].kind is RecordKind.ABORTED
    assert not loop.path.is_busy
    closes = {a.target for a in loop.plans[line].actions if a.kind == "close"}
    positions = loop.world.plant.switchgear.closed
    assert not any(positions[grid.switches.row(id_)] for id_ in closes)
