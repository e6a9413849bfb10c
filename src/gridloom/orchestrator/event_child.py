"""Keeps one event path process running: adopts the one that a killed platform left, or starts a new one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from gridloom.core.errors import GridloomError
from gridloom.orchestrator.prepared import PreparedTable, Static

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger(__name__)

_STOP_WITHIN_S: Final = 5.0
_FIRST_WAIT_S: Final = 0.1
_MOST_WAIT_S: Final = 5.0
_STEADY_S: Final = 10.0


def clear_up(folder: Path, table: Path) -> None:
    """End an event path that a dead platform left in `folder` and remove its table: for who ends the whole run."""
    child = EventChild(
        folder=folder, table=table, bus_ready=folder, key=folder, owner_pid=os.getpid()
    )
    old = child.left_over()
    if old:
        os.kill(old, signal.SIGTERM)
        _wait_gone(old)
    table.unlink(missing_ok=True)


def open_table(path: Path, static: Static) -> tuple[PreparedTable, bool]:
    """Return the table of prepared plans and whether it is the one that an earlier platform left."""
    try:
        table = PreparedTable(path)
        if table.static == static:
            return table, True
        table.close()
    except GridloomError:
        pass
    return PreparedTable.create(path, static), False


@dataclass(eq=False, kw_only=True)
class EventChild:
    """The event path process of one run folder."""

    folder: Path
    table: Path
    bus_ready: Path
    key: Path
    owner_pid: int
    """The event path ends when this process is gone for good: the launcher, or a platform that stands alone."""
    realtime: bool = False
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _pid: int = field(default=0, init=False)
    _born_s: float = field(default=0.0, init=False)
    _wait_s: float = field(default=_FIRST_WAIT_S, init=False)
    _again_s: float = field(default=0.0, init=False)
    _is_heard: bool = field(default=False, init=False)

    @property
    def ring_path(self) -> Path:
        """The ring that it writes."""
        return self.folder / "event-path.ring"

    def start(self, *, adopt: bool) -> None:
        """Go on with a running event path if `adopt` is true and there is one; else start one."""
        old = self.left_over()
        if old and adopt:
            self._pid = old
            log.info("event_path_adopted", pid=old)
            return
        if old:
            os.kill(old, signal.SIGKILL)
            _wait_gone(old)
        self._launch()

    def watch(self) -> None:
        """Start it again if it has died; call this often."""
        now = time.monotonic()
        if self._is_alive():
            if now - self._born_s > _STEADY_S:
                self._wait_s = _FIRST_WAIT_S
            return
        if not self._again_s:
            log.warning("event_path_died", again_in_s=self._wait_s)
            self._again_s, self._wait_s = now + self._wait_s, min(2 * self._wait_s, _MOST_WAIT_S)
        elif now >= self._again_s:
            self._again_s, self.restarts = 0.0, self.restarts + 1
            self._launch()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        elif self._is_alive():
            os.kill(self._pid, signal.SIGTERM)
            _wait_gone(self._pid)
        self._pid_path.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """Its process id; 0 while there is none."""
        return self._pid if self._is_alive() else 0

    @property
    def is_up(self) -> bool:
        """Whether its present life has said that it listens."""
        return self._is_heard and self._is_alive()

    def heard(self) -> None:
        """Take note that it has said so."""
        self._is_heard = True

    @property
    def _pid_path(self) -> Path:
        return self.folder / "event-path.pid"

    def _launch(self) -> None:
        self._is_heard = False
        arguments = [
            sys.executable,
            "-m",
            "gridloom.orchestrator.event_process",
            "--ready",
            str(self.bus_ready),
            "--table",
            str(self.table),
            "--ring",
            str(self.ring_path),
            "--key",
            str(self.key),
            "--parent",
            str(self.owner_pid),
            *(["--realtime"] if self.realtime else []),
        ]
        with (self.folder / "event-path.log").open("ab") as log_file:
            # A session of its own: what is sent to the platform's group does not hit the event path.
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                start_new_session=True,
            )
        self._pid, self._born_s = self._process.pid, time.monotonic()
        self._pid_path.write_text(str(self._pid))

    def _is_alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return bool(self._pid) and _is_event_path(self._pid)

    def left_over(self) -> int:
        """Return the process id of a running event path of this folder, 0 without one."""
        try:
            pid = int(self._pid_path.read_text())
        except (OSError, ValueError):
            return 0
        return pid if _is_event_path(pid) else 0


def _is_event_path(pid: int) -> bool:
    """Whether the process exists and is an event path: process ids are used again."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    listing = subprocess.run(  # noqa: S603 - a fixed command
        ["ps", "-o", "stat=,args=", "-p", str(pid)],  # noqa: S607 - wherever the system keeps it
        capture_output=True,
        text=True,
        check=False,
    )
    return "event_process" in listing.stdout and not listing.stdout.strip().startswith("Z")


def _wait_gone(pid: int) -> None:
    deadline = time.monotonic() + _STOP_WITHIN_S
    while _is_event_path(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
