"""A restoration agent, a gate, a table and an event path around one grid, without any process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gridloom.core.clock import SteppedClock
from gridloom.core.plans import Acknowledgement, Autonomy, Command
from gridloom.grid.instruments import Instruments, gateway_names, place_instruments
from gridloom.grid.model import Grid
from gridloom.ioe.commands import encode_ack
from gridloom.ioe.frames import Frame, FrameFlag, FrameKind, encode
from gridloom.ioe.signing import Signer, Verifier
from gridloom.orchestrator.agents import View
from gridloom.orchestrator.autonomy import AutonomyLevels
from gridloom.orchestrator.book import CapacityBook
from gridloom.orchestrator.event_path import EventPath, Outgoing
from gridloom.orchestrator.event_records import RECORD_BYTES, EventRecord
from gridloom.orchestrator.gate import Gate
from gridloom.orchestrator.locks import Locks
from gridloom.orchestrator.preparation import Preparation, static_of
from gridloom.orchestrator.prepared import PreparedTable
from gridloom.orchestrator.restoration import RestorationAgent
from gridloom.store.ring import Ring

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def view_of(grid: Grid, **changes: object) -> View:
    return View(
        **{"grid": grid, "positions": np.array(grid.switches.closed), "now_ns": START_NS, **changes}
    )


@dataclass
class House:
    """Everything that decides, on one grid, in one process."""

    grid: Grid
    directory: Path
    level: Autonomy = Autonomy.ACT
    epoch: int = 1
    sequence: int = 0
    now_ns: int = START_NS
    clock: SteppedClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = SteppedClock(START_NS)
        self.instruments: Instruments = place_instruments(self.grid, rng=np.random.default_rng(1))
        self.paths = dict(
            zip(
                gateway_names(self.grid).tolist(),
                (self.grid.cell_path(row) for row in range(len(self.grid.cells))),
                strict=True,
            )
        )
        self.locks = Locks(self.grid.switches.id)
        self.autonomy = AutonomyLevels(self.grid.cells, self.level)
        self.gate = Gate(self.grid, self.clock, CapacityBook(), self.locks, self.autonomy)
        self.agent = RestorationAgent(self.grid)
        self.table = PreparedTable.create(
            self.directory / "table", static_of(self.grid, self.instruments, self.paths)
        )
        self.preparation = Preparation(
            self.grid, self.instruments, self.agent, self.gate, self.table
        )
        self.signer = Signer.generate()
        self.verifier = Verifier.of([self.signer.public_key])
        self.ring = Ring(self.directory / "ring", 64, RECORD_BYTES)
        self.path = EventPath(self.table, self.ring, self.signer.sign)
        self.prepare()

    def prepare(self, **changes: object) -> None:
        batch = self.preparation.prepare(view_of(self.grid, **changes))
        self.preparation.publish(batch, epoch=self.epoch)

    def restart(self) -> list[Outgoing]:
        """Kill the event path and start another one on the same ring and table."""
        self.ring.close()
        self.ring = Ring(self.directory / "ring", 64, RECORD_BYTES)
        self.path = EventPath(self.table, self.ring, self.signer.sign)
        return self.path.resume(self.now_ns, self.now_ns)

    def records(self) -> list[EventRecord]:
        return [EventRecord.decode(entry.payload) for entry in self.ring.drain(0)]

    def instrument(self, id_: str) -> int:
        return self.instruments.row(id_)

    def frame(
        self,
        kind: FrameKind,
        values: dict[str, float],
        *,
        source: str = "gw-A",
        flags: int = 0,
        age_ns: int = 0,
    ) -> bytes:
        self.sequence += 1
        return encode(
            Frame(
                kind=kind,
                source=source,
                epoch=1,
                sequence=self.sequence,
                time_ns=self.now_ns - age_ns,
                flags=flags,
                index=np.array([self.instrument(id_) for id_ in values], dtype=np.uint32),
                values=np.array([list(values.values())], dtype=np.float32),
            )
        )

    def event(self, data: bytes) -> list[Command]:
        """Give a frame to the event path and return the commands that come out."""
        return self.commands(self.path.on_event("event.area.A", data, self.now_ns, self.now_ns))

    def commands(self, messages: list[Outgoing]) -> list[Command]:
        return [
            self.verifier.verify(message.payload)
            for message in messages
            if message.subject.startswith("command.")
        ]

    def lock_out(self, breaker: str, state: float = 3.0) -> list[Command]:
        return self.event(self.frame(FrameKind.RELAY, {f"relay:{breaker}": state}))

    def flags(self, seen: str, *, feeder: str = "A", n: int = 3) -> list[Command]:
        """All indicators of a feeder report; `seen` is the last line whose indicator saw the fault."""
        last = int(seen.removeprefix(feeder)) if seen else 0
        values = {f"indicator:{feeder}{k}": float(k <= last) for k in range(1, n + 1)}
        if feeder == "A":
            values["indicator:T"] = 0.0
        return self.event(self.frame(FrameKind.INDICATOR, values, flags=int(FrameFlag.COMPLETE)))

    def switch(self, id_: str, closed: float) -> list[Command]:
        return self.event(self.frame(FrameKind.SWITCH, {f"switch:{id_}": closed}))

    def answer(self, command: Command, outcome: str = "done", note: str = "") -> list[Command]:
        raw = encode_ack(
            Acknowledgement(key=command.key, outcome=outcome, at_ns=self.now_ns, note=note)
        )
        return self.commands(self.path.on_ack(raw, self.now_ns, self.now_ns))
