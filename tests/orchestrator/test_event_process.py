"""The event path as a real process on a real bus, killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.orchestrator.grids import two_feeders
from tests.orchestrator.house import START_NS, House

from gridloom.core.plans import Acknowledgement
from gridloom.edge.guard import CommandGuard
from gridloom.ioe.commands import encode_ack
from gridloom.ioe.frames import FrameFlag, FrameKind
from gridloom.ioe.server import NatsServer, ServerAddress
from gridloom.ioe.signing import Signer, Verifier
from gridloom.ioe.wire import WireClient
from gridloom.orchestrator.event_process import STATUS_SUBJECT
from gridloom.orchestrator.event_records import EventRecord, RecordKind
from gridloom.store.ring import RingReader

PATIENCE_S = 30.0


class Field:
    """All switches behind one guard; counts how often each order is carried out."""

    def __init__(self, address: ServerAddress, house: House, public_key: bytes) -> None:
        verify = Verifier.of([public_key]).verify
        self.guard = CommandGuard(verify, set(house.grid.switches.id.tolist()))
        self.table = house.table
        self.client = WireClient.connect(address.url, address.credentials)
        self.client.subscribe("command.>", self.take)
        self.client.subscribe(STATUS_SUBJECT, lambda *_: self.heard.append(1))
        self.client.subscribe("receipt.>", lambda *_: self.receipts.append(1))
        self.heard: list[int] = []
        self.receipts: list[int] = []
        self.moved: Counter[str] = Counter()
        self.is_deaf = False

    def take(self, subject: str, payload: memoryview) -> None:
        now_ns = self.table.now_ns(time.monotonic_ns())
        decision = self.guard.check(bytes(payload), now_ns)
        if decision.is_accepted:
            self.moved[decision.key] += 1
        if self.is_deaf:
            return
        outcome, note = ("done", "") if decision.is_accepted else (decision.outcome, "done")
        answer = Acknowledgement(key=decision.key, outcome=outcome, at_ns=START_NS, note=note)
        self.client.publish(subject.replace("command", "ack", 1), encode_ack(answer))

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline_s
            self.client.poll(0.05)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[ServerAddress]:
    with NatsServer(store=tmp_path / "bus", has_mqtt=False, has_record=False) as address:
        yield address


def start(tmp_path: Path, house: House) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "gridloom.orchestrator.event_path"),
            *("--ready", str(tmp_path / "bus" / "ready.json")),
            *("--table", str(house.table.path)),
            *("--ring", str(tmp_path / "process-ring")),
            *("--ring-capacity", "64"),
            *("--key", str(tmp_path / "key")),
            *("--parent", str(os.getpid())),
        ],
        stdout=subprocess.DEVNULL,
    )


def test_a_kill_in_the_middle_of_a_plan_neither_loses_nor_doubles_a_command(
    tmp_path: Path, address: ServerAddress
) -> None:
    house = House(two_feeders(), tmp_path)
    house.table.set_clock(START_NS, time.monotonic_ns(), 1.0)
    field = Field(address, house, Signer.from_file(tmp_path / "key").public_key)
    process = start(tmp_path, house)
    try:
        field.until(lambda: bool(field.heard))
        field.is_deaf = True
        flags = {"indicator:A1": 1.0, "indicator:A2": 1.0, "indicator:A3": 0.0, "indicator:T": 0.0}
        for raw in (
            house.frame(FrameKind.INDICATOR, flags, flags=int(FrameFlag.COMPLETE)),
            house.frame(FrameKind.RELAY, {"relay:A1.f": 3.0}),
        ):
            field.client.publish("event.area.A", raw)
        field.until(lambda: len(field.moved) == 2 and len(field.receipts) == 2)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        field.is_deaf = False
        process = start(tmp_path, house)
        field.until(lambda: len(field.moved) == 4)
        field.client.poll(0.3)
    finally:
        process.terminate()
        process.wait(10)
        field.client.close()
    assert {key.rpartition("/")[2] for key in field.moved} == {"A2.f", "A2.t", "A1.f", "T.t"}
    assert set(field.moved.values()) == {1}
    with RingReader(tmp_path / "process-ring") as ring:
        kinds = [EventRecord.decode(entry.payload).kind for entry in ring.drain(0)]
    assert kinds == [
        RecordKind.LOCKED_OUT,
        RecordKind.STARTED,
        RecordKind.STEP,
        RecordKind.STEP,
        RecordKind.DONE,
    ]
