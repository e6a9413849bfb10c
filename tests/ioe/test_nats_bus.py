"""The bus over a real server: the same promises as in process, and the record never in the way."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gridloom.core.errors import Unavailable
from gridloom.ioe import nats_bus
from gridloom.ioe.bus import Credentials, Message, NatsBus, respond
from gridloom.ioe.server import NatsServer, ServerAddress

from .conftest import until


async def test_a_message_arrives_with_its_headers(bus: NatsBus) -> None:
    seen: list[Message] = []
    await bus.subscribe("telemetry.headers", seen.append)
    await bus.flush(20)
    await bus.publish("telemetry.headers", b"x", headers={"Kind": "y"})
    await until(lambda: bool(seen))
    assert (seen[0].subject, seen[0].data, seen[0].headers["Kind"]) == (
        "telemetry.headers",
        b"x",
        "y",
    )


async def test_a_request_is_answered_or_unavailable(bus: NatsBus) -> None:
    async def serve(message: Message) -> None:
        await respond(bus, message, b"answer")

    subscription = await bus.subscribe("platform.ask", serve)
    assert await bus.request("platform.ask", b"", 5.0) == b"answer"
    await subscription.unsubscribe()
    await bus.flush(20)
    with pytest.raises(Unavailable, match="nobody answers"):
        await bus.request("platform.ask", b"", 5.0)
    await bus.subscribe("platform.silent", lambda _: None)
    with pytest.raises(Unavailable, match="within"):
        await bus.request("platform.silent", b"", 0.05)


async def test_the_record_keeps_a_repeated_message_once_and_a_reader_resumes(bus: NatsBus) -> None:
    assert await bus.wait_recorded(10)
    seen: list[bytes] = []
    first = await bus.subscribe_durable(
        "event.record.>", "record-test", lambda m: seen.append(m.data)
    )
    await bus.publish_durable("event.record.a", b"1", message_id="r-1")
    await bus.publish_durable("event.record.a", b"1", message_id="r-1")
    await bus.publish("event.record.a", b"2", headers={"Nats-Msg-Id": "r-2"})
    await bus.publish("event.record.a", b"2", headers={"Nats-Msg-Id": "r-2"})
    await until(lambda: len(seen) == 2)
    await first.unsubscribe()
    await bus.publish_durable("event.record.a", b"3", message_id="r-3")
    await bus.subscribe_durable("event.record.>", "record-test", lambda m: seen.append(m.data))
    await until(lambda: len(seen) == 3)
    assert seen == [b"1", b"2", b"3"]


async def test_a_handler_that_raises_is_counted_and_the_record_delivers_again(bus: NatsBus) -> None:
    tries: list[bytes] = []

    def fails_once(message: Message) -> None:
        tries.append(message.data)
        if len(tries) == 1:
            raise ValueError("disk full")

    def fails(_: Message) -> None:
        raise ValueError("always")

    assert await bus.wait_recorded(10)
    await bus.subscribe_durable("event.raises.>", "raises", fails_once)
    await bus.publish_durable("event.raises.a", b"x", message_id="raises-1")
    await until(lambda: len(tries) == 2)
    assert bus.handler_errors == 1
    await bus.subscribe("telemetry.raises", fails)
    await bus.flush(20)
    await bus.publish("telemetry.raises", b"x")
    await until(lambda: bus.handler_errors == 2)


async def test_a_lane_without_record_cannot_be_read_from_it(bus: NatsBus) -> None:
    with pytest.raises(Unavailable, match="not recorded"):
        await bus.subscribe_durable("telemetry.>", "x", lambda _: None)


async def test_streams_have_limits_and_drop_their_oldest() -> None:
    for stream in nats_bus.STREAMS:
        assert stream.max_bytes
        assert stream.max_age
        assert stream.discard == nats_bus.DiscardPolicy.OLD


async def test_a_full_record_drops_its_oldest_and_never_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [stream.evolve(max_bytes=65_536) for stream in nats_bus.STREAMS]
    monkeypatch.setattr(nats_bus, "STREAMS", small)
    with NatsServer(store=tmp_path, has_mqtt=False) as address:
        bus = await NatsBus.connect(address.url, address.credentials)
        for number in range(100):
            body = number.to_bytes(1024, "big")
            await bus.publish_durable("event.a", body, message_id=str(number))
        seen: list[int] = []
        await bus.subscribe_durable(
            "event.>", "reader", lambda message: seen.append(int.from_bytes(message.data, "big"))
        )
        await until(lambda: bool(seen) and seen[-1] == 99)
        assert seen == list(range(seen[0], 100))
        assert seen[0] > 0
        await bus.close()


async def test_without_jetstream_core_messages_flow_and_the_record_is_unavailable(
    tmp_path: Path,
) -> None:
    with NatsServer(store=tmp_path, has_mqtt=False, has_record=False) as address:
        bus = await NatsBus.connect(address.url, address.credentials)
        seen: list[bytes] = []
        await bus.subscribe("event.>", lambda message: seen.append(message.data))
        await bus.publish("event.a", b"fault")
        await until(lambda: bool(seen))
        with pytest.raises(Unavailable, match="not recorded within"):
            await bus.publish_durable("event.a", b"x", message_id="1", timeout_s=0.3)
        assert not await bus.wait_recorded(0.05)
        await bus.close()


async def test_it_comes_back_with_its_subscriptions_when_the_server_is_killed(
    mortal: NatsServer,
) -> None:
    address = mortal.address
    bus = await NatsBus.connect(address.url, address.credentials)
    assert await bus.wait_recorded(10)
    seen: list[bytes] = []
    recorded: list[bytes] = []
    await bus.subscribe("event.>", lambda message: seen.append(message.data))
    await bus.subscribe_durable("event.>", "reader", lambda message: recorded.append(message.data))
    await bus.publish_durable("event.a", b"before", message_id="1")
    os.kill(address.pid, signal.SIGKILL)
    await until(lambda: bus.reconnects == 1)
    await bus.publish_durable("event.a", b"after", message_id="2")
    await until(lambda: b"after" in seen and b"after" in recorded)
    assert recorded == [b"before", b"after"]
    await bus.close()


async def test_wrong_credentials_and_no_server_are_unavailable(address: ServerAddress) -> None:
    wrong = Credentials("gridloom", "wrong")
    with pytest.raises(Unavailable, match=r"[Aa]uthorization"):
        await NatsBus.connect(address.url, wrong, timeout_s=1.0)
    with pytest.raises(Unavailable, match="no bus"):
        await NatsBus.connect("nats://127.0.0.1:1", timeout_s=0.3)


async def test_a_closed_bus_refuses(address: ServerAddress) -> None:
    bus = await NatsBus.connect(address.url, address.credentials)
    await bus.close()
    with pytest.raises(Unavailable):
        await bus.publish("event.a", b"")


async def test_publishing_while_the_server_is_away_is_bounded_and_never_raises(
    mortal: NatsServer,
) -> None:
    bus = await NatsBus.connect(mortal.address.url, mortal.address.credentials)
    mortal.stop()
    await until(lambda: not bus.is_connected)
    for _ in range(20):
        await bus.publish("telemetry.a", b"x" * 1024 * 1024)
    assert bus.dropped > 0
    await asyncio.wait_for(bus.close(), 10)
