"""The event path as a process of its own: one thread, one socket, no event loop, no garbage collection in between.

Started by the platform or by the launcher; it lives on when the platform is killed and goes on with the last table.
It ends when the process that started it is gone for good (`--parent`), on SIGTERM, or on SIGINT.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import structlog

from gridloom.core.errors import Unavailable
from gridloom.core.plans import Action, ActionKind, Command
from gridloom.core.units import NS_PER_MS, NS_PER_S
from gridloom.ioe import subjects
from gridloom.ioe.server import ServerAddress
from gridloom.ioe.signing import Signer
from gridloom.ioe.wire import WireClient
from gridloom.orchestrator.event_path import EventPath
from gridloom.orchestrator.event_records import RECORD_BYTES
from gridloom.orchestrator.location_kernel import locate, take_changes, take_flags
from gridloom.orchestrator.prepared import PreparedTable
from gridloom.store.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gridloom.orchestrator.event_path import Outgoing

log = structlog.get_logger(__name__)

RING_CAPACITY: Final = 65_536
STATUS_SUBJECT: Final = f"{subjects.PLATFORM}.event-path"
_STATUS_EVERY_NS: Final = NS_PER_S
_IDLE_WAIT_S: Final = 0.25
_REAL_TIME_PRIORITY: Final = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop."""
    options = _parse(arguments)
    stop = _Stop(options.parent)
    table = PreparedTable(options.table)
    ring = Ring(options.ring, options.ring_capacity, RECORD_BYTES)
    signer = Signer.from_file(options.key)
    path = EventPath(table, ring, signer.sign, wall_ns=time.monotonic_ns)
    address = ServerAddress.read(options.ready)
    client = WireClient.connect(address.url, address.credentials, timeout_s=30.0)
    _warm_up(signer)
    is_real_time = options.realtime and _become_real_time()
    process = _Process(client, path, table, is_real_time=is_real_time)
    gc.collect()
    gc.freeze()
    gc.disable()
    log.info("event_path_ready", pid=os.getpid(), is_real_time=is_real_time)
    try:
        process.run(stop)
    finally:
        ring.close()
    return 0


class _Stop:
    """Whether to end: a signal came, or the process that we belong to is gone."""

    def __init__(self, parent: int) -> None:
        self._parent, self.now = parent, False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)

    def _told(self, *_: object) -> None:
        self.now = True

    def is_orphan(self) -> bool:
        """Whether the process named by `--parent` no longer exists."""
        if not self._parent:
            return False
        try:
            os.kill(self._parent, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


class _Process:
    """The loop: bytes from the socket, through the event path, back to the socket."""

    def __init__(
        self, client: WireClient, path: EventPath, table: PreparedTable, *, is_real_time: bool
    ) -> None:
        self._client, self._path, self._table = client, path, table
        self._is_real_time = is_real_time
        self._status_at_ns = 0
        self._unsent = 0
        client.subscribe(subjects.everything(subjects.Lane.EVENT), self._on_event)
        client.subscribe(subjects.everything(subjects.Lane.ACK), self._on_ack)

    def run(self, stop: _Stop) -> None:
        """Serve until told to stop."""
        wall_ns = time.monotonic_ns()
        self._publish(self._path.resume(self._table.now_ns(wall_ns), wall_ns))
        while not stop.now:
            wall_ns = time.monotonic_ns()
            wait_s = min(_IDLE_WAIT_S, max(self._path.next_due - wall_ns, 0) / NS_PER_S)
            with contextlib.suppress(Unavailable):
                self._client.poll(wait_s)
            wall_ns = time.monotonic_ns()
            if self._path.next_due <= wall_ns:
                self._publish(self._path.tick(self._table.now_ns(wall_ns), wall_ns))
            if wall_ns >= self._status_at_ns and not self._path.is_busy:
                self._status_at_ns = wall_ns + _STATUS_EVERY_NS
                self._tell_status()
                gc.collect()
                if stop.is_orphan():
                    return

    def _on_event(self, subject: str, payload: memoryview) -> None:
        wall_ns = time.monotonic_ns()
        self._publish(self._path.on_event(subject, payload, self._table.now_ns(wall_ns), wall_ns))

    def _on_ack(self, _: str, payload: memoryview) -> None:
        wall_ns = time.monotonic_ns()
        self._publish(self._path.on_ack(payload, self._table.now_ns(wall_ns), wall_ns))

    def _publish(self, messages: list[Outgoing]) -> None:
        for message in messages:
            try:
                self._client.publish(
                    message.subject, message.payload, message_id=message.message_id
                )
            except Unavailable:
                # Commands are repeated by the path, events by their senders.
                self._unsent += 1

    def _tell_status(self) -> None:
        status = {
            **asdict(self._path.counters),
            "pid": os.getpid(),
            "is_real_time": self._is_real_time,
            "malformed": self._client.handler_errors,
            "oversized": self._client.oversized,
            "reconnects": self._client.reconnects,
            "unsent": self._unsent,
            "generation": self._table.generation,
        }
        with contextlib.suppress(Unavailable):
            self._client.publish(STATUS_SUBJECT, msgspec.json.encode(status))


def _warm_up(signer: Signer) -> None:
    """Compile and touch everything that the first fault would otherwise wait for."""
    none, floats, times = np.zeros(1, np.uint32), np.zeros(1, np.float32), np.zeros(1, np.int64)
    rows, kinds, signs = np.full(1, -1, np.int32), np.zeros(1, np.uint8), np.zeros(1, np.int64)
    take_flags(none, floats, kinds, 5, 1, floats, times)
    take_changes(none, floats, kinds, 6, 1, floats, times, signs)
    locate(0, 1, True, floats, times, rows, rows, rows, rows, rows)  # noqa: FBT003 - compiled
    action = Action(kind=ActionKind.OPEN, target="warm-up")
    until = NS_PER_MS
    signer.sign(
        Command(plan_id="", epoch=0, action=action, issued_ns=0, expires_ns=until, issuer="")
    )


def _become_real_time() -> bool:
    """Ask for the round-robin class; return whether the system granted it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_REAL_TIME_PRIORITY))
    except (OSError, AttributeError):
        return False
    return True


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gridloom event path", description=__doc__)
    parser.add_argument("--ready", type=Path, required=True, help="ready file of the bus")
    parser.add_argument("--table", type=Path, required=True, help="table of prepared plans")
    parser.add_argument("--ring", type=Path, required=True, help="ring of records")
    parser.add_argument("--ring-capacity", type=int, default=RING_CAPACITY)
    parser.add_argument("--key", type=Path, required=True, help="private key that signs commands")
    parser.add_argument("--realtime", action="store_true", help="ask for a real-time class")
    parser.add_argument("--parent", type=int, default=0, help="end when this process is gone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
