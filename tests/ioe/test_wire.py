"""The small client talks to the real server, and comes back when the server does."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from gridloom.core.errors import BadInput, Refused, Unavailable
from gridloom.ioe.bus import Credentials, Message, NatsBus
from gridloom.ioe.server import NatsServer, ServerAddress
from gridloom.ioe.wire import WireClient

from .conftest import until

type Connect = Callable[[ServerAddress], WireClient]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a way to connect whose clients are closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda address: stack.enter_context(
            WireClient.connect(address.url, address.credentials)
        )


def collect(client: WireClient, seen: list[object], count: int, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while len(seen) < count and time.monotonic() < deadline:
        client.poll(0.05)
    assert len(seen) >= count


def test_what_is_published_arrives_whatever_its_size(
    connect: Connect, address: ServerAddress
) -> None:
    client = connect(address)
    seen: list[tuple[str, bytes]] = []
    client.subscribe("event.>", lambda subject, data: seen.append((subject, bytes(data))))
    sizes = [0, 1, 100, 4096, 100_000, 1_500_000]
    for size in sizes:
        client.publish("event.a", os.urandom(1) * size)
    client.publish("event.b", memoryview(b"view"), message_id="m-1")
    collect(client, seen, len(sizes) + 1)
    assert [len(data) for _, data in seen[:-1]] == sizes
    assert seen[-1] == ("event.b", b"view")


async def test_it_understands_the_other_client_and_its_headers(
    connect: Connect, address: ServerAddress, bus: NatsBus
) -> None:
    client = connect(address)
    seen: list[tuple[str, bytes]] = []
    client.subscribe("telemetry.>", lambda subject, data: seen.append((subject, bytes(data))))
    client.flush(20)
    await bus.publish("telemetry.a", b"with header", headers={"Nats-Msg-Id": "7"})
    await bus.flush(20)
    await asyncio.to_thread(collect, client, seen, 1)
    back: list[Message] = []
    await bus.subscribe("ack.x", back.append)
    await bus.flush(20)
    client.publish("ack.x", b"answer", message_id="id-1")
    await until(lambda: bool(back))
    assert (back[0].data, back[0].headers["Nats-Msg-Id"]) == (b"answer", "id-1")


def test_a_large_message_costs_no_memory_of_its_own(
    connect: Connect, address: ServerAddress
) -> None:
    client, sizes = connect(address), []
    client.subscribe("event.large", lambda _, data: sizes.append(len(data)))
    payload = memoryview(bytes(1_300_000))
    client.publish("event.large", payload)
    collect(client, sizes, 1)
    tracemalloc.start()
    try:
        client.publish("event.large", payload)
        collect(client, sizes, 2)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sizes == [len(payload)] * 2
    assert peak_bytes < 50_000


def test_wrong_credentials_are_refused_by_name(address: ServerAddress) -> None:
    with pytest.raises(Refused, match="refused us"):
        WireClient.connect(address.url, Credentials("gridloom", "wrong"))


def test_no_server_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no bus"):
        WireClient.connect("nats://127.0.0.1:1", timeout_s=0.05)


@pytest.mark.parametrize("url", ["http://a:1", "nats://", "127.0.0.1:4222"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        WireClient.connect(url)


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPING", "a\tb", "\u00e4"])
def test_a_subject_cannot_smuggle_a_line(
    connect: Connect, address: ServerAddress, subject: str
) -> None:
    client = connect(address)
    with pytest.raises(BadInput):
        client.publish(subject, b"")
    with pytest.raises(BadInput):
        client.publish("a", b"", message_id="x\r\ny")


def test_it_comes_back_with_its_subscriptions_when_the_server_is_killed(
    connect: Connect,
    mortal: NatsServer,
) -> None:
    address = mortal.address
    client = connect(address)
    seen: list[bytes] = []
    client.subscribe("event.>", lambda _, data: seen.append(bytes(data)))
    client.flush(20)
    os.kill(address.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while not client.reconnects and time.monotonic() < deadline:
        client.poll(0.05)
    client.publish("event.a", b"after")
    collect(client, seen, 1)
    assert seen == [b"after"]


def test_publishing_on_a_broken_link_says_so(connect: Connect, mortal: NatsServer) -> None:
    client = connect(mortal.address)
    client.flush(20)
    mortal.stop()

    def publish_until_noticed() -> None:
        for _ in range(100):
            client.publish("event.a", b"x" * 1000)
            time.sleep(0.01)

    with pytest.raises(Unavailable):
        publish_until_noticed()
    assert not client.is_connected
    assert client.poll(0.01) == 0


def test_a_handler_that_refuses_content_does_not_stop_the_rest(
    connect: Connect, address: ServerAddress
) -> None:
    client = connect(address)
    seen: list[bytes] = []

    def picky(_: str, data: memoryview) -> None:
        if data == b"bad":
            raise BadInput("not this one")
        seen.append(bytes(data))

    client.subscribe("event.picky", picky)
    client.publish("event.picky", b"bad")
    client.publish("event.picky", b"good")
    collect(client, seen, 1)
    assert (seen, client.handler_errors) == ([b"good"], 1)


@pytest.mark.parametrize("hostile", [b"\xff\xfe\r\n", b"MSG a 1 zzz\r\n", b"X" * 70_000, b""])
def test_a_server_that_talks_rubbish_is_left_with_a_clear_error(
    connect: Connect, hostile: bytes
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        link, _ = listener.accept()
        with link:
            link.sendall(b"INFO {}\r\n")
            link.recv(4096)
            link.sendall(b"PONG\r\n" + hostile)
            listener.close()  # nobody answers a second time

    thread = threading.Thread(target=serve)
    thread.start()
    client = connect(ServerAddress(url=f"nats://127.0.0.1:{port}", user="", password=""))
    deadline = time.monotonic() + 10
    while client.is_connected and time.monotonic() < deadline:
        client.poll(0.05)
    thread.join()
    assert not client.is_connected
    assert client.last_error
