"""The server is private, alone on its store, comes back when killed and never outlives its launcher."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridloom.core.errors import BadInput, Unavailable
from gridloom.ioe.server import NatsServer, ServerAddress, find_binary
from gridloom.ioe.wire import WireClient

LAUNCHER = """
import sys, time
from pathlib import Path
from gridloom.ioe.server import NatsServer
server = NatsServer(store=Path(sys.argv[1]))
server.start()
print("ready", flush=True)
time.sleep(600)
"""
CLIENT = """
import sys, time
from gridloom.ioe.credentials import Credentials
from gridloom.ioe.wire import WireClient
client = WireClient.connect(sys.argv[1], Credentials(sys.argv[2], sys.argv[3]))
print("connected", flush=True)
time.sleep(600)
"""


def is_running(pid: int) -> bool:
    """Whether the process lives; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def restarted(server: NatsServer, pid: int) -> ServerAddress:
    """Return the address once another server process than `pid` is announced."""

    def is_new() -> bool:
        try:
            return server.address.pid != pid
        except Unavailable:
            return False

    wait_for(is_new)
    return server.address


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], ServerAddress]]:
    """Return a launcher process with its server, as the command line would start it."""
    store = tmp_path / "store"
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(store)], stdout=subprocess.PIPE, text=True
    )
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "ready\n"
    yield launcher, ServerAddress.read(store / "ready.json")
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()


def test_secrets_are_readable_by_their_owner_alone(mortal: NatsServer) -> None:
    for name in ("ready.json", "credentials.json", "nats.conf", "lock"):
        assert (mortal.store / name).stat().st_mode & 0o077 == 0, name
    assert mortal.address.password not in repr(mortal.address.credentials)


def test_nothing_listens_beyond_the_loopback(mortal: NatsServer) -> None:
    pid = mortal.address.pid
    inodes = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in inodes:
                listening.add(local.split(":")[0])
    assert listening == {"0100007F"}


def test_a_second_instance_on_the_store_is_told_who_holds_it(mortal: NatsServer) -> None:
    with pytest.raises(Unavailable, match=r"in use by another instance \(process \d+\)"):
        NatsServer(store=mortal.store, patience_s=0.1).start()
    assert mortal.address.pid
    WireClient.connect(mortal.address.url, mortal.address.credentials).close()


def test_a_killed_server_comes_back_on_the_same_port(mortal: NatsServer) -> None:
    before = mortal.address
    os.kill(before.pid, signal.SIGKILL)
    after = restarted(mortal, before.pid)
    assert (after.url, after.mqtt_url, after.restarts) == (before.url, before.mqtt_url, 1)
    WireClient.connect(after.url, after.credentials).close()


def test_a_killed_supervisor_leaves_no_orphan_and_is_replaced(mortal: NatsServer) -> None:
    before = mortal.address
    os.kill(before.supervisor_pid, signal.SIGKILL)
    wait_for(lambda: not is_running(before.pid))
    after = restarted(mortal, before.pid)
    assert after.url == before.url
    WireClient.connect(after.url, after.credentials).close()


def test_it_stands_in_a_process_group_of_its_own(mortal: NatsServer) -> None:
    assert os.getpgid(mortal.address.pid) != os.getpgid(0)
    assert os.getsid(mortal.address.pid) != os.getsid(0)


def test_it_ends_when_its_launcher_is_killed(
    launched: tuple[subprocess.Popen[str], ServerAddress],
) -> None:
    launcher, address = launched
    assert is_running(address.pid)
    launcher.kill()
    wait_for(lambda: not is_running(address.pid) and not is_running(address.supervisor_pid))


def test_the_store_is_free_again_right_after_its_launcher_was_killed(
    launched: tuple[subprocess.Popen[str], ServerAddress], tmp_path: Path
) -> None:
    launcher, before = launched
    launcher.kill()
    with NatsServer(store=tmp_path / "store") as after:
        assert after.pid != before.pid
        assert after.credentials == before.credentials
    assert not is_running(before.pid)


def test_starting_twice_is_starting_once(mortal: NatsServer) -> None:
    assert mortal.start() == mortal.address


def test_a_client_that_is_killed_does_not_touch_it(mortal: NatsServer) -> None:
    address = mortal.address
    platform = subprocess.Popen(
        [
            sys.executable,
            "-c",
            CLIENT,
            address.url,
            address.user,
            address.password,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with platform:
        assert platform.stdout is not None
        assert platform.stdout.readline() == "connected\n"
        platform.kill()
    time.sleep(0.3)
    assert mortal.address == address
    assert is_running(address.pid)


def test_stopping_leaves_no_process_and_no_ready_file(tmp_path: Path) -> None:
    server = NatsServer(store=tmp_path)
    address = server.start()
    server.stop()
    assert not is_running(address.pid)
    assert not is_running(address.supervisor_pid)
    with pytest.raises(Unavailable, match="no server is ready"):
        _ = server.address
    server.stop()


def test_a_store_keeps_its_credentials(tmp_path: Path) -> None:
    with NatsServer(store=tmp_path) as first:
        pass
    with NatsServer(store=tmp_path) as second:
        assert second.credentials == first.credentials


def test_credentials_that_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps({"user": "u", "password": "p"}))
    path.chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        NatsServer(store=tmp_path).start()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match="the bus cannot start"):
            NatsServer(store=tmp_path, port=port).start()


def test_a_program_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not a program"):
        find_binary(tmp_path / "nothing")


def test_a_program_that_ends_at_once_is_reported_with_its_words(tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho cannot do that\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(Unavailable, match="ended with code 3: cannot do that"):
        NatsServer(store=tmp_path / "store", binary=program).start()
