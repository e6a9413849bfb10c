"""From fault event to command, on real sockets: how long, how many lost, with a full house around it.

Starts a NATS server with its record, the event path as its own process, a loader that sends telemetry, and a
subscriber that reads it. Then it plays faults one after the other: an indicator frame and the lock-out of a relay.
The clock runs from the moment before the lock-out is published to the moment the first command is received, both in
this process, so two trips through the server are in it. Every plan is answered to its end; a fault whose commands do
not all come is lost.

    python benchmarks/event_path.py [--smoke] [--json] [--faults N] [--readings-per-s R] [--grid URI]

Three settings: without a real-time class, the same with a job that burns a core, and with SCHED_RR where the system
permits it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gridloom.core.clock import SteppedClock
from gridloom.core.plans import Acknowledgement, Autonomy
from gridloom.grid import load
from gridloom.grid.instruments import gateway_names, place_instruments
from gridloom.ioe.commands import encode_ack
from gridloom.ioe.frames import Frame, FrameFlag, FrameKind, decode, encode
from gridloom.ioe.nats_bus import NatsBus
from gridloom.ioe.server import NatsServer, ServerAddress
from gridloom.ioe.signing import Signer, Verifier
from gridloom.ioe.wire import WireClient
from gridloom.orchestrator.agents import View
from gridloom.orchestrator.autonomy import AutonomyLevels
from gridloom.orchestrator.book import CapacityBook
from gridloom.orchestrator.event_records import EventRecord, RecordKind
from gridloom.orchestrator.gate import Gate
from gridloom.orchestrator.locks import Locks
from gridloom.orchestrator.preparation import Batch, Preparation, static_of
from gridloom.orchestrator.prepared import PreparedTable, shared_path
from gridloom.orchestrator.restoration import RestorationAgent, plan_number
from gridloom.store.ring import RingReader

START_NS = 1_700_000_000_000_000_000
FRAME_ROWS = 1000
PATIENCE_S = 5.0
PAUSE_S = 0.01


@dataclass
class Figures:
    """What one setting gave."""

    setting: str
    faults: int
    commands: int = 0
    lost: int = 0
    p50_ms: float = float("nan")
    p99_ms: float = float("nan")
    max_ms: float = float("nan")
    software_p50_ms: float = float("nan")
    software_p99_ms: float = float("nan")
    readings_per_s: float = 0.0
    is_real_time: bool = False
    over_100_ms: int = 0
    load_average: float = 0.0


@dataclass
class Plant:
    """Everything that is prepared once."""

    table: PreparedTable
    batch: Batch
    breakers: np.ndarray[Any, np.dtype[np.int32]]
    directory: Path
    address: ServerAddress
    verifier: Verifier
    relay_of: dict[int, int]
    series: int = 1
    sequence: int = 0
    lines: list[int] = field(default_factory=list)


def main() -> None:
    """Run and print."""
    options = _parse()
    faults = 20 if options.smoke else options.faults
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with NatsServer(store=directory / "bus", has_mqtt=False) as address:
            asyncio.run(_start_record(address))
            plant = _prepare(options.grid, directory, address)
            try:
                figures = _all_settings(plant, faults, options)
            finally:
                plant.table.remove()
    if options.json:
        sys.stdout.write(
            json.dumps({"grid": options.grid, "settings": [asdict(f) for f in figures]}) + "\n"
        )
        return
    _print(figures)


async def _start_record(address: ServerAddress) -> None:
    """Let JetStream keep events, commands and answers, as it does in operation."""
    bus = await NatsBus.connect(address.url, address.credentials)
    await bus.publish_durable("event.first", b"", message_id="first")
    await bus.close()


def _all_settings(plant: Plant, faults: int, options: argparse.Namespace) -> list[Figures]:
    figures = [_measure(plant, "normal class", faults, options)]
    figures.append(_measure(plant, "normal class, a core burning", faults, options, burn=True))
    if _may_be_real_time():
        figures.append(_measure(plant, "SCHED_RR", faults, options, realtime=True))
        figures.append(
            _measure(plant, "SCHED_RR, a core burning", faults, options, realtime=True, burn=True)
        )
    return figures


def _prepare(uri: str, directory: Path, address: ServerAddress) -> Plant:
    grid = load(uri)
    instruments = place_instruments(grid, rng=np.random.default_rng(1))
    names = gateway_names(grid).tolist()
    paths = {name: grid.cell_path(row) for row, name in enumerate(names)}
    table = PreparedTable.create(
        shared_path(f"gridloom-bench-{os.getpid()}", directory), static_of(grid, instruments, paths)
    )
    clock = SteppedClock(START_NS)
    levels = AutonomyLevels(grid.cells, Autonomy.ACT)
    gate = Gate(grid, clock, CapacityBook(), Locks(grid.switches.id), levels)
    preparation = Preparation(grid, instruments, RestorationAgent(grid), gate, table)
    view = View(grid=grid, positions=np.array(grid.switches.closed), now_ns=START_NS)
    batch = preparation.prepare(view)
    table.set_clock(START_NS, time.monotonic_ns(), 1.0)
    relays = np.flatnonzero(instruments.kind == "relay")
    relay_of = {int(instruments.element[row]): int(row) for row in relays}
    signer = Signer.from_file(directory / "key")
    return Plant(
        table=table,
        batch=batch,
        breakers=batch.zones.breaker,
        directory=directory,
        address=address,
        verifier=Verifier.of([signer.public_key]),
        relay_of=relay_of,
        lines=[line for line, row in batch.rows.items() if row.breaker in relay_of],
    )


def _measure(
    plant: Plant,
    setting: str,
    faults: int,
    options: argparse.Namespace,
    *,
    burn: bool = False,
    realtime: bool = False,
) -> Figures:
    figures = Figures(setting=setting, faults=faults, is_real_time=realtime)
    ring = plant.directory / f"ring-{setting.replace(' ', '-')}"
    stop = multiprocessing.Event()
    counted = multiprocessing.Value("q", 0)
    workers = [
        multiprocessing.Process(target=_load, args=(plant.address, options.readings_per_s, stop)),
        multiprocessing.Process(target=_listen, args=(plant.address, counted, stop)),
    ]
    if burn:
        workers.append(multiprocessing.Process(target=_burn, args=(stop,)))
    path = _start_event_path(plant, ring, realtime=realtime)
    try:
        for worker in workers:
            worker.start()
        _await_ready(plant)
        time.sleep(1.0)
        started_s, before = time.monotonic(), counted.value
        waits_ms = _play(plant, figures)
        figures.readings_per_s = (counted.value - before) / (time.monotonic() - started_s)
        figures.load_average = os.getloadavg()[0]
    finally:
        stop.set()
        path.terminate()
        path.wait(10)
        for worker in workers:
            worker.join(10)
    _summarise(figures, waits_ms, ring)
    return figures


def _start_event_path(plant: Plant, ring: Path, *, realtime: bool) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "gridloom.orchestrator.event_path"),
        *("--ready", str(plant.directory / "bus" / "ready.json")),
        *("--table", str(plant.table.path)),
        *("--ring", str(ring)),
        *("--key", str(plant.directory / "key")),
        *("--parent", str(os.getpid())),
    ]
    return subprocess.Popen(
        [*command, "--realtime"] if realtime else command, stdout=subprocess.DEVNULL
    )


def _await_ready(plant: Plant) -> None:
    """Return once the event path publishes its status."""
    client = WireClient.connect(plant.address.url, plant.address.credentials)
    heard: list[str] = []
    client.subscribe("platform.event-path", lambda subject, _: heard.append(subject))
    deadline_s = time.monotonic() + 60
    while not heard:
        client.poll(0.2)
        if time.monotonic() > deadline_s:
            raise SystemExit("the event path did not start")


class _Answers:
    """Receives commands, notes when the first came, answers `done`."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.client = WireClient.connect(plant.address.url, plant.address.credentials)
        self.client.subscribe("command.>", self._take)
        self.wanted, self.first_ns = "", 0
        self.keys: set[str] = set()

    def expect(self, plan_id: str) -> None:
        """Begin a new fault."""
        self.wanted, self.first_ns = plan_id, 0
        self.keys.clear()

    def _take(self, subject: str, payload: memoryview) -> None:
        now_ns = time.monotonic_ns()
        command = self._plant.verifier.verify(bytes(payload))
        answer = Acknowledgement(key=command.key, outcome="done", at_ns=START_NS)
        self.client.publish(subject.replace("command.", "ack.", 1), encode_ack(answer))
        if command.plan_id == self.wanted:
            self.first_ns = self.first_ns or now_ns
            self.keys.add(command.key)


def _play(plant: Plant, figures: Figures) -> list[float]:
    answers = _Answers(plant)
    rng = np.random.default_rng(7)
    waits_ms: list[float] = []
    for _ in range(figures.faults):
        line = int(rng.choice(plant.lines))
        row = _lay_ready(plant, line)
        plan_id = f"restore-{row.number:x}"
        answers.expect(plan_id)
        began_ns = _send_fault(plant, answers.client, line, row.breaker)
        deadline_s = time.monotonic() + PATIENCE_S
        while len(answers.keys) < len(row.operations) and time.monotonic() < deadline_s:
            answers.client.poll(0.05)
        figures.commands += len(answers.keys)
        if len(answers.keys) < len(row.operations):
            figures.lost += 1
        if answers.first_ns:
            waits_ms.append((answers.first_ns - began_ns) / 1e6)
        _send(plant, answers.client, FrameKind.RELAY, {plant.relay_of[row.breaker]: 0.0})
        answers.client.poll(PAUSE_S)
        time.sleep(PAUSE_S)
    return waits_ms


def _lay_ready(plant: Plant, line: int) -> Any:  # noqa: ANN401 - a row of the table
    """Write a fresh generation, as the platform does after each change; return the row for the fault to come."""
    plant.series += 1
    rows = {
        at: replace(row, number=plan_number(plant.series, at))
        for at, row in plant.batch.rows.items()
    }
    plant.table.write(
        rows,
        positions=plant.batch.view.positions,
        state_hash=plant.batch.view.state_hash,
        zones=plant.batch.zones,
        locked=(),
        epoch=1,
        series=plant.series,
        now_ns=START_NS,
    )
    plant.table.set_clock(START_NS, time.monotonic_ns(), 1.0)
    return rows[line]


def _send_fault(plant: Plant, client: WireClient, line: int, breaker: int) -> int:
    """Send what the indicators and the relay say of a fault on `line`; return when the lock-out went out."""
    zones = plant.batch.zones
    own = np.flatnonzero(plant.breakers == breaker)
    last = next((int(row) for row in own if zones.line[row] == line), -1)
    if last < 0 and zones.head_line[breaker] != line:
        # A line that shares its section with the one that stands for it: take that indicator.
        last = int(own[-1])
    flags = dict.fromkeys(own.tolist(), 0.0)
    while last >= 0:
        flags[last] = 1.0
        last = int(zones.parent[last])
    _send(plant, client, FrameKind.INDICATOR, flags, complete=True)
    began_ns = time.monotonic_ns()
    _send(plant, client, FrameKind.RELAY, {plant.relay_of[breaker]: 3.0})
    return began_ns


def _send(
    plant: Plant,
    client: WireClient,
    kind: FrameKind,
    values: dict[int, float],
    *,
    complete: bool = False,
) -> None:
    plant.sequence += 1
    frame = Frame(
        kind=kind,
        source="bench",
        epoch=1,
        sequence=plant.sequence,
        time_ns=START_NS + plant.sequence,
        flags=int(FrameFlag.COMPLETE) if complete else 0,
        index=np.array(list(values), dtype=np.uint32),
        values=np.array([list(values.values())], dtype=np.float32),
    )
    client.publish("event.bench", encode(frame))


def _load(address: ServerAddress, readings_per_s: int, stop: Any) -> None:  # noqa: ANN401 - an event
    """Send meter frames at a steady rate."""
    client = WireClient.connect(address.url, address.credentials)
    rng = np.random.default_rng(3)
    index = np.arange(FRAME_ROWS, dtype=np.uint32)
    values = rng.normal(size=(3, FRAME_ROWS)).astype(np.float32)
    period_s, sequence, due_s = FRAME_ROWS / readings_per_s, 0, time.monotonic()
    while not stop.is_set():
        frame = Frame(
            kind=FrameKind.METER,
            source="load",
            epoch=1,
            sequence=sequence,
            time_ns=START_NS,
            index=index,
            values=values,
        )
        client.publish("telemetry.bench", encode(frame))
        sequence += 1
        due_s += period_s
        wait_s = due_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        if sequence % 100 == 0:
            client.poll(0.0)


def _listen(address: ServerAddress, counted: Any, stop: Any) -> None:  # noqa: ANN401 - shared objects
    """Read all telemetry into a table of last values, as the platform does."""
    client = WireClient.connect(address.url, address.credentials)
    latest = np.zeros((3, FRAME_ROWS), dtype=np.float32)

    def take(_: str, payload: memoryview) -> None:
        frame = decode(payload)
        latest[:, frame.index] = frame.values
        counted.value += len(frame.index)

    client.subscribe("telemetry.>", take)
    while not stop.is_set():
        client.poll(0.1)


def _burn(stop: Any) -> None:  # noqa: ANN401 - an event
    """Do what training a forecast does: dense algebra without a pause, on one core."""
    rng = np.random.default_rng(5)
    while not stop.is_set():
        a = rng.normal(size=(300, 300))
        np.linalg.solve(a @ a.T + np.eye(300), a)


def _may_be_real_time() -> bool:
    probe = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    done = subprocess.run([sys.executable, "-c", probe], stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def _summarise(figures: Figures, waits_ms: list[float], ring: Path) -> None:
    if waits_ms:
        figures.p50_ms, figures.p99_ms = (float(np.percentile(waits_ms, q)) for q in (50, 99))
        figures.max_ms = max(waits_ms)
        figures.over_100_ms = sum(wait > 100 for wait in waits_ms)
    with RingReader(ring) as reader:
        records = [EventRecord.decode(entry.payload) for entry in reader.drain(0)]
    took_ms = [record.took_ns / 1e6 for record in records if record.kind is RecordKind.STARTED]
    if took_ms:
        figures.software_p50_ms, figures.software_p99_ms = (
            float(np.percentile(took_ms, q)) for q in (50, 99)
        )


def _print(figures: list[Figures]) -> None:
    head = f"{'setting':32} {'faults':>6} {'lost':>4} {'cmds':>5} {'p50':>8} {'p99':>8} {'max':>8} {'readings/s':>11}"
    print(f"event to command [ms]\n{head}")
    for f in figures:
        print(
            f"{f.setting:32} {f.faults:6} {f.lost:4} {f.commands:5} {f.p50_ms:8.2f} {f.p99_ms:8.2f} "
            f"{f.max_ms:8.2f} {f.readings_per_s:11.0f}"
        )
        print(
            f"{'':32} inside the process: p50 {f.software_p50_ms:.3f}, p99 {f.software_p99_ms:.3f} ms"
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="fault event to command, on real sockets")
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--readings-per-s", type=int, default=200_000)
    parser.add_argument("--grid", default="simbench:1-MV-urban--0-sw")
    parser.add_argument("--smoke", action="store_true", help="20 faults")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
