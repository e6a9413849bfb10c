"""Child processes of a run: started, watched, started again after a crash, and never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_FIRST_WAIT_S: Final = 0.2
_MOST_WAIT_S: Final = 10.0
_STEADY_S: Final = 30.0
_STOP_WITHIN_S: Final = 15.0


def follow_parent() -> None:
    """End with SIGTERM when the process that started this one dies, in whatever way it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        return
    parent = os.getppid()
    threading.Thread(target=_poll_parent, args=(parent,), name="parent", daemon=True).start()


def _poll_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(eq=False, kw_only=True)
class Child:
    """One process of ours, kept alive until it is told to stop."""

    name: str
    arguments: list[str]
    log_path: Path
    restarts: int = field(default=0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _born_s: float = field(default=0.0, init=False)
    _wait_s: float = field(default=_FIRST_WAIT_S, init=False)
    _again_s: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Start it; what it logs goes to `log_path`."""
        with self.log_path.open("ab") as log_file:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "gridloom", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
            )
        self._born_s = time.monotonic()

    @property
    def pid(self) -> int:
        """Process id of the present life; 0 between two lives."""
        return (
            self._process.pid if self._process is not None and self._process.poll() is None else 0
        )

    @property
    def exit_code(self) -> int | None:
        """Exit code of the present life, None while it runs."""
        return None if self._process is None else self._process.poll()

    def watch(self) -> None:
        """Start it again if it has died, waiting longer after each quick death."""
        now = time.monotonic()
        if self.pid:
            if now - self._born_s > _STEADY_S:
                self._wait_s = _FIRST_WAIT_S
            return
        if not self._again_s:
            log.warning(
                "process_died", process=self.name, exit_code=self.exit_code, again_in_s=self._wait_s
            )
            self._again_s = now + self._wait_s
            self._wait_s = min(2 * self._wait_s, _MOST_WAIT_S)
        elif now >= self._again_s:
            self._again_s, self.restarts = 0.0, self.restarts + 1
            self.start()

    def stop(self) -> int | None:
        """Ask it to end, wait, then insist; return its exit code."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                log.warning("process_killed", process=self.name, waited_s=_STOP_WITHIN_S)
                self._process.kill()
                self._process.wait()
        return self._process.returncode

    def last_words(self, lines: int = 8) -> str:
        """Return the end of its log."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
