"""A whole `gridloom run` as a process of its own: asked over its bus and its page, judged by its journal and truth."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gridloom.core.errors import GridloomError
from gridloom.field import ControlReply, ControlRequest, decode_reply, encode_request, scoring
from gridloom.field.truth_log import TruthCommand
from gridloom.ioe import subjects
from gridloom.ioe.bus import NatsBus
from gridloom.ioe.server import ServerAddress
from gridloom.store import JournalReader, replay
from gridloom.store.records import Record, Started, record_of

LONG_S = 100.0
"""Patience of every wait: a machine may be busy; no test measures time."""


class Live:
    """One run in a folder."""

    def __init__(self, folder: Path, *flags: str, headless: bool = False) -> None:
        """Start it; `until_ready` waits for it."""
        self.folder, self.log_path = folder, folder / "run.log"
        page = ["--headless"] if headless else ["--port", "0"]
        command = [sys.executable, "-m", "gridloom", "run", "--data", str(folder), "--json"]
        with self.log_path.open("wb") as log_file:
            self.process = subprocess.Popen(
                [*command, *page, *flags], stdout=subprocess.PIPE, stderr=log_file
            )
        self.seen: set[int] = set()

    # --- life ---------------------------------------------------------------------------------

    def until_ready(self) -> "Live":
        """Wait until the first plans lie ready."""
        self.until(self.ready_path.exists)
        self.watch_processes()
        return self

    @property
    def ready_path(self) -> Path:
        """Written by the platform when it is ready to act."""
        return self.folder / "platform-ready.json"

    def until[T](self, condition: Callable[[], T]) -> T:
        """Wait until `condition` holds and return what it returned; fail if it never does."""
        deadline = time.monotonic() + LONG_S
        while True:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, f"the run ended: {self.log()}"
            assert time.monotonic() < deadline, f"it never came true: {self.log()}"
            time.sleep(0.05)

    def finish(self) -> dict[str, Any]:
        """End the run as a person would and return its summary."""
        self.watch_processes()
        self.process.send_signal(signal.SIGINT)
        return self.summary()

    def summary(self) -> dict[str, Any]:
        """Wait for the end and return the one object on standard output."""
        out, _ = self.process.communicate(timeout=LONG_S)
        assert self.process.returncode == 0, self.log()
        assert out.count(b"\n") == 1, out
        summary = json.loads(out)
        assert isinstance(summary, dict)
        return summary

    def kill(self) -> None:
        """Make sure that nothing is left, whatever went wrong."""
        self.watch_processes()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()
        for pid in self.leftovers():
            os.kill(pid, signal.SIGKILL)

    def log(self) -> str:
        """The last words of every process."""
        logs = (self.log_path, *(self.folder / f"{name}.log" for name in ("platform", "field")))
        return "\n".join(path.read_text()[-2000:] for path in logs if path.exists())

    # --- processes ----------------------------------------------------------------------------

    def watch_processes(self) -> None:
        """Remember every process that names this run's folder."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(self.folder).encode() in path.read_bytes():
                    self.seen.add(int(path.parent.name))
            except OSError:
                continue

    def leftovers(self) -> list[int]:
        """Processes of this run that still live."""
        return [pid for pid in self.seen if pid != self.process.pid and self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return str(self.folder).encode() in command

    def pid_of(self, part: str) -> int:
        """Process id of `nats`, `platform` or `event path`; 0 while it is not there."""
        try:
            match part:
                case "nats":
                    return self.address.pid
                case "event path":
                    return int((self.folder / "event-path.pid").read_text())
        except (OSError, ValueError, RuntimeError):
            return 0
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if part.encode() in words and str(self.folder).encode() in words:
                return int(path.parent.name)
        return 0

    # --- the field and the page ---------------------------------------------------------------

    @property
    def address(self) -> ServerAddress:
        """Where the bus is now."""
        return ServerAddress.read(self.folder / "bus" / "ready.json")

    def field(self, do: str, target: str = "", **more: Any) -> ControlReply:
        """Ask the simulated world for something; it has to be able to."""
        request = ControlRequest(do=do, target=target, **more)  # type: ignore[arg-type]

        async def ask() -> ControlReply:
            bus = await self._connect()
            try:
                answer = await bus.request(subjects.FIELD_CONTROL, encode_request(request), 10.0)
            finally:
                await bus.close()
            return decode_reply(answer)

        reply = asyncio.run(ask())
        assert reply.ok, reply.note
        return reply

    def restored(self) -> int:
        """Return the customers who have got supply back so far; -1 while nobody answers."""
        try:
            return self.field("status").customers_restored
        except (GridloomError, OSError, TimeoutError):
            return -1

    def publish(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Put messages on the bus as anybody with the password can."""

        async def put() -> None:
            bus = await self._connect()
            try:
                for subject, data in messages:
                    await bus.publish(subject, data)
                await bus.flush()
            finally:
                await bus.close()

        asyncio.run(put())

    def request(self, subject: str, data: bytes = b"") -> bytes:
        """Ask one question over the bus."""

        async def ask() -> bytes:
            bus = await self._connect()
            try:
                return await bus.request(subject, data, 10.0)
            finally:
                await bus.close()

        return asyncio.run(ask())

    async def _connect(self) -> NatsBus:
        address = self.address
        return await NatsBus.connect(address.url, address.credentials, name="test")

    def page(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Ask the control room; return status and answer."""
        url = json.loads(self.ready_path.read_bytes())["url"]
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{url}/api/{urllib.parse.quote(path)}",
            data=data,
            headers={"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    # --- what was written ---------------------------------------------------------------------

    def records[T: Record](self, kind: type[T], after: int = 0) -> list[T]:
        """Return the records of one kind after an entry of the journal, in order."""
        entries = JournalReader(self.folder / "journal.sqlite").entries(after=after)
        found = (record_of(entry) for entry in entries)
        return [record for record in found if isinstance(record, kind)]

    def head(self) -> int:
        """Number of the journal's last entry."""
        return JournalReader(self.folder / "journal.sqlite").head.sequence

    def commands(self) -> list[TruthCommand]:
        """Return what the devices themselves say that they received and did."""
        return scoring.read_commands(self.folder / "field" / "truth")

    def moved(self) -> list[TruthCommand]:
        """Return the commands that moved something."""
        return [command for command in self.commands() if command.moved]

    def shared_memory(self) -> list[Path]:
        """Return the files that this run keeps in shared memory."""
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        return list(Path("/dev/shm").glob(f"gridloom-{name}*"))

    # --- what the district needs --------------------------------------------------------------

    def heal(self, line: str = "") -> None:
        """Repair a line if one is broken, reset all switches, and wait for fresh plans for the normal grid."""
        self.until(self._is_idle)
        if line:
            assert self.page("faults/repair", {"line": line})[0] == 202
        self.field("reset")
        self.until(self._is_normal)

    def _is_idle(self) -> bool:
        state = replay(JournalReader(self.folder / "journal.sqlite").entries())
        return not state.open_commands and not state.decided

    def _is_normal(self) -> bool:
        entries = list(JournalReader(self.folder / "journal.sqlite").entries())
        state = replay(entries)
        last = {entry.kind: entry.sequence for entry in entries}
        is_home = all(closed == state.positions.get(id_) for id_, closed in self._normal().items())
        return is_home and last.get("prepared", 0) > last.get("position", 0)

    def _normal(self) -> dict[str, bool]:
        return self.records(Started)[0].positions
