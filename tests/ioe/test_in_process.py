"""The bus without a wire delivers in order, answers requests and keeps a record."""

import pytest

from gridloom.core.clock import SteppedClock
from gridloom.core.errors import BadInput, Unavailable
from gridloom.ioe.bus import InProcessBus, Message, respond


async def test_messages_arrive_in_the_order_of_publishing_and_subscribing() -> None:
    bus, seen = InProcessBus(), []

    async def first(message: Message) -> None:
        seen.append(("first", message.data))
        if message.data == b"1":
            await bus.publish("event.a", b"from inside")

    await bus.subscribe("event.>", first)
    await bus.subscribe("event.a", lambda message: seen.append(("second", message.data)))
    await bus.publish("event.a", b"1")
    assert seen == [
        ("first", b"1"),
        ("second", b"1"),
        ("first", b"from inside"),
        ("second", b"from inside"),
    ]


async def test_an_unsubscribed_handler_is_not_called() -> None:
    bus, seen = InProcessBus(), []
    subscription = await bus.subscribe("a.>", seen.append)
    await subscription.unsubscribe()
    await bus.publish("a.b", b"x")
    assert seen == []


async def test_a_request_gets_its_answer_even_from_inside_a_handler() -> None:
    bus, answers = InProcessBus(), []

    async def serve(message: Message) -> None:
        await respond(bus, message, b"answer to " + message.data)

    async def ask(message: Message) -> None:
        answers.append(await bus.request("field.birth", message.data, 1.0))

    await bus.subscribe("field.birth", serve)
    await bus.subscribe("event.>", ask)
    await bus.publish("event.a", b"who")
    assert answers == [b"answer to who"]


async def test_a_request_without_listener_or_answer_is_unavailable() -> None:
    bus = InProcessBus()
    with pytest.raises(Unavailable, match="nobody"):
        await bus.request("field.birth", b"", 0.01)
    await bus.subscribe("field.birth", lambda _: None)
    with pytest.raises(Unavailable, match="within"):
        await bus.request("field.birth", b"", 0.01)


async def test_latency_orders_messages_by_when_they_fall_due_and_moves_the_clock() -> None:
    clock = SteppedClock(0)
    bus = InProcessBus(clock, lambda message: int(message.data))
    seen: list[tuple[int, bytes]] = []
    await bus.subscribe(">", lambda message: seen.append((clock.now_ns(), message.data)))
    for travel in (b"30", b"10", b"-1", b"20"):
        await bus.publish("event.a", travel)
    assert bus.next_due_ns == 10
    await bus.run_until(25)
    assert seen == [(10, b"10"), (20, b"20")]
    assert (clock.now_ns(), bus.lost) == (25, 1)
    await bus.run_until(30)
    assert seen[-1] == (30, b"30")


async def test_a_latency_model_needs_a_stepped_clock() -> None:
    with pytest.raises(BadInput):
        InProcessBus(latency_ns=lambda _: 1)
    with pytest.raises(BadInput):
        await InProcessBus().run_until(1)


async def test_the_record_keeps_each_id_once_and_a_durable_reader_resumes() -> None:
    bus, seen = InProcessBus(), []
    for name in ("1", "2", "2"):
        await bus.publish_durable("event.a", name.encode(), message_id=name)
    reader = await bus.subscribe_durable("event.>", "reader", lambda m: seen.append(m.data))
    await bus.publish("event.a", b"3")
    await reader.unsubscribe()
    await bus.publish("event.a", b"4")
    await bus.publish("telemetry.a", b"not recorded")
    await bus.subscribe_durable("event.>", "reader", lambda m: seen.append(m.data))
    assert seen == [b"1", b"2", b"3", b"4"]


async def test_a_closed_bus_refuses() -> None:
    bus = InProcessBus()
    await bus.close()
    with pytest.raises(Unavailable):
        await bus.publish("event.a", b"")
