"""Keeps one NATS server running; started by `server.NatsServer` as a script of its own, in its own session.

Only the standard library, so that it starts in tens of milliseconds and stays small. It holds the store's lock, starts
the server again when it dies, and ends it when the other end of its standard input closes: that is how it learns
that its launcher is gone, however the launcher went. On Linux the server in turn asks the kernel for a signal when
this process dies, so that not even `kill -9` of the supervisor leaves a server without an owner.

Standard input: one JSON object (see `server._order`), then silence. Standard output: one JSON line, `{"ok": ...}`.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_FIRST_WAIT_S: Final = 0.05
_MOST_WAIT_S: Final = 5.0
_STEADY_S: Final = 10.0
_READY_WITHIN_S: Final = 20.0
_STOP_WITHIN_S: Final = 5.0
_MOST_LOG_BYTES: Final = 10_000_000


class StartError(Exception):
    """The server cannot be started; the text says why."""


def lock(path: Path, patience_s: float) -> int:
    """Take the store's lock and return its descriptor, waiting up to `patience_s` seconds.

    The server inherits the descriptor, so that the lock stands as long as either of the two lives.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                raise StartError(
                    f"store {path.parent} is in use by another instance (process {holder}); "
                    "stop it or give another store"
                ) from None
            time.sleep(0.05)
        else:
            break
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _follow_parent_into_death() -> None:
    """Run in the child between fork and exec; Linux only."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def start(binary: str, config: Path, log_path: Path, lock_handle: int) -> subprocess.Popen[bytes]:
    """Start the server with everything it says going to `log_path`, whose last part alone is kept."""
    if log_path.exists() and log_path.stat().st_size > _MOST_LOG_BYTES:
        log_path.replace(log_path.with_suffix(".old"))
    with log_path.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the binary was looked up by the launcher
            [binary, "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock_handle,),
            # This process has one thread, so code between fork and exec is safe here.
            preexec_fn=_follow_parent_into_death if sys.platform == "linux" else None,  # noqa: PLW1509
        )


def answers(port: int, timeout_s: float = 0.5) -> bool:
    """Whether a NATS server greets on the loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as link:
            return link.recv(5).startswith(b"INFO")
    except OSError:
        return False


def wait_ready(server: subprocess.Popen[bytes], ports: list[int], log_path: Path) -> None:
    """Return once the server greets on the first of `ports` and listens on the others."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while not (answers(ports[0]) and all(_listens(port) for port in ports[1:])):
        if server.poll() is not None:
            raise StartError(f"the server ended with code {server.returncode}: {_tail(log_path)}")
        if time.monotonic() > deadline:
            raise StartError(
                f"the server is not ready after {_READY_WITHIN_S} s: {_tail(log_path)}"
            )
        time.sleep(0.02)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return " | ".join(lines[-3:])


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` in one step, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server: politely, then not."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _announce(order: dict[str, Any], server: subprocess.Popen[bytes], restarts: int) -> None:
    ready = {
        **order["ready"],
        "pid": server.pid,
        "supervisor_pid": os.getpid(),
        "restarts": restarts,
    }
    write_private(Path(order["ready_path"]), json.dumps(ready))


def supervise(order: dict[str, Any], lock_handle: int) -> NoReturn:
    """Run the server until the launcher is gone or tells us to end."""
    store, ports = Path(order["store"]), order["ports"]
    config, log_path = store / "nats.conf", store / "nats.log"
    server = start(order["binary"], config, log_path, lock_handle)
    try:
        wait_ready(server, ports, log_path)
        _announce(order, server, 0)
        _say({"ok": True})
        restarts, wait_s, born = 0, _FIRST_WAIT_S, time.monotonic()
        while not _launcher_is_gone(0.1):
            if server.poll() is None:
                if time.monotonic() - born > _STEADY_S:
                    wait_s = _FIRST_WAIT_S
                continue
            if _launcher_is_gone(wait_s):
                break
            wait_s, restarts, born = min(2 * wait_s, _MOST_WAIT_S), restarts + 1, time.monotonic()
            server = start(order["binary"], config, log_path, lock_handle)
            _announce(order, server, restarts)
    finally:
        Path(order["ready_path"]).unlink(missing_ok=True)
        stop(server)
    sys.exit(0)


def _launcher_is_gone(wait_s: float) -> bool:
    """Wait up to `wait_s` seconds for the launcher's end of standard input to close."""
    readable, _, _ = select.select([0], [], [], wait_s)
    return bool(readable) and os.read(0, 4096) == b""


def _say(what: dict[str, Any]) -> None:
    # The launcher may have died while the server started; then the closed input ends us a moment later.
    try:
        os.write(1, json.dumps(what).encode() + b"\n")
    except OSError:
        return


def _ended(signal_number: int, _: object) -> NoReturn:
    sys.exit(128 + signal_number)


def main() -> NoReturn:
    """Read the order, take the lock, supervise."""
    signal.signal(signal.SIGTERM, _ended)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    order = json.loads(_read_line())
    try:
        handle = lock(Path(order["store"]) / "lock", order["patience_s"])
        # Written under the lock, so that a second instance never touches the first one's files.
        write_private(Path(order["store"]) / "nats.conf", order["config"])
        supervise(order, handle)
    except (StartError, OSError) as error:
        _say({"ok": False, "why": str(error)})
        sys.exit(1)


def _read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 65536)
        if not part:
            sys.exit(1)
        line += part
    return line


if __name__ == "__main__":
    main()
