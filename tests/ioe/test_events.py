"""No event is lost and none is delivered twice: under loss, doubling, reordering and restarts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.core.clock import RealClock, SteppedClock
from gridloom.core.errors import BadInput, Malformed, Unavailable
from gridloom.core.units import NS_PER_MS, NS_PER_S
from gridloom.ioe import subjects
from gridloom.ioe.bus import InProcessBus, Message
from gridloom.ioe.events import (
    EventInbox,
    EventKey,
    EventOutbox,
    EventReceiver,
    EventSender,
    decode_receipt,
    encode_receipt,
)
from gridloom.ioe.frames import Frame, FrameKind, encode
from gridloom.ioe.retry import NEVER, RetryPolicy, RetryQueue

from .conftest import until
from .network import Network

POLICY = RetryPolicy(first_ns=10 * NS_PER_MS, most_ns=80 * NS_PER_MS)
TICK_NS = 5 * NS_PER_MS


def event(sequence: int, *, epoch: int = 1, source: str = "feeder-1") -> Frame:
    return Frame(
        kind=FrameKind.INDICATOR,
        source=source,
        epoch=epoch,
        sequence=sequence,
        time_ns=sequence,
        index=np.array([sequence % 7], np.uint32),
        values=np.ones((1, 1), np.float32),
    )


@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.6),
    doubling=st.floats(0, 0.5),
    restarts=st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_every_event_arrives_exactly_once(  # noqa: C901 - one loop over ticks reads best whole
    seed: int, loss: float, doubling: float, restarts: list[tuple[int, bool]]
) -> None:
    network = Network(seed, loss=loss, doubling=doubling, jitter_ns=60 * NS_PER_MS)
    outbox, inbox, delivered = EventOutbox(POLICY), EventInbox(), []
    sent: list[EventKey] = []
    for tick in range(4000):
        now_ns = tick * TICK_NS
        for when, is_sender in restarts:
            if when == tick and is_sender:
                state, outbox = outbox.save(), EventOutbox(POLICY)
                outbox.restore(state, now_ns)
            elif when == tick:
                state, inbox = inbox.save(), EventInbox()
                inbox.restore(state)
        if tick < 200 and tick % 5 == 0:
            key = ("feeder-1", 1 + tick // 100, tick // 5)
            sent.append(key)
            outbox.post(key, "event.a", encode_receipt(key), now_ns)
            network.put(now_ns, "event", encode_receipt(key))
        for key, posted in outbox.queue.due(now_ns)[0]:
            assert key in sent
            network.put(now_ns, "event", posted.payload)
        for kind, data in network.get(now_ns):
            key = decode_receipt(data)
            if kind == "receipt":
                outbox.receipt(key)
            else:
                if inbox.is_new(key):
                    delivered.append(key)
                    inbox.mark(key)
                network.put(now_ns, "receipt", data)
        if tick > 200 and not len(outbox.queue):
            break
    assert sorted(delivered) == sent
    assert len(outbox.queue) == 0
    assert outbox.queue.given_up == 0


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=40))
def test_attempts_are_bounded_and_waits_grow(steps: list[int]) -> None:
    queue: RetryQueue[str, str] = RetryQueue(POLICY)
    queue.add("k", "item", 0)
    now_ns, last_ns = 0, 0
    for step in steps:
        now_ns += step
        again, over = queue.due(now_ns)
        if again:
            assert now_ns - last_ns >= POLICY.first_ns
            last_ns = now_ns
        if over:
            assert now_ns >= POLICY.give_up_ns
            assert queue.next_due_ns == NEVER
    assert queue.attempts <= 2 + now_ns // POLICY.first_ns


def test_an_item_without_answer_is_given_up_by_name() -> None:
    queue: RetryQueue[str, str] = RetryQueue(POLICY)
    queue.add("k", "item", 0, until_ns=15 * NS_PER_MS)
    assert queue.due(10 * NS_PER_MS) == ([("k", "item")], [])
    assert queue.next_due_ns == 15 * NS_PER_MS
    assert queue.due(15 * NS_PER_MS) == ([], [("k", "item")])
    assert (queue.given_up, len(queue)) == (1, 0)


def test_a_full_queue_says_so() -> None:
    queue: RetryQueue[int, str] = RetryQueue(RetryPolicy(capacity=2))
    queue.add(1, "", 0)
    queue.add(2, "", 0)
    queue.add(2, "", 0)
    with pytest.raises(Unavailable, match="unanswered"):
        queue.add(3, "", 0)


def test_a_policy_without_sense_is_refused() -> None:
    with pytest.raises(BadInput):
        RetryPolicy(first_ns=0)
    with pytest.raises(BadInput):
        RetryPolicy(first_ns=2, most_ns=1)


def test_an_event_that_no_receipt_reaches_blocks_only_its_own_place() -> None:
    inbox = EventInbox()
    for sequence in (0, 2, 3):
        inbox.mark(("s", 1, sequence))
    assert inbox.is_new(("s", 1, 1))
    assert not inbox.is_new(("s", 1, 2))
    assert inbox.is_new(("s", 2, 2))
    assert inbox.is_new(("t", 1, 2))


def test_a_very_old_epoch_is_a_repetition() -> None:
    inbox = EventInbox()
    for epoch in range(2, 8):
        inbox.mark(("s", epoch, 0))
    assert not inbox.is_new(("s", 1, 5))


@given(st.binary(max_size=40))
def test_hostile_receipts_and_states_are_refused(data: bytes) -> None:
    if not data.startswith(b"GR"):
        with pytest.raises(Malformed):
            decode_receipt(data)
    for box in (EventInbox(), EventOutbox()):
        try:
            box.restore(data, 0) if isinstance(box, EventOutbox) else box.restore(data)
        except Malformed:
            continue


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_a_receipt_comes_back_as_it_went(epoch: int, sequence: int) -> None:
    key = ("gateway 1", epoch, sequence)
    assert decode_receipt(encode_receipt(key)) == key


async def test_on_a_stepped_bus_with_loss_every_event_is_delivered_once() -> None:
    clock = SteppedClock(0)
    network = Network(7, loss=0.0, doubling=0.0, jitter_ns=1)

    def travel(_: Message) -> int:
        return -1 if network.random.random() < 0.4 else network.random.randrange(40 * NS_PER_MS)

    bus, seen = InProcessBus(clock, travel), []
    sender = EventSender(bus, clock, POLICY)
    receiver = EventReceiver(bus, lambda frame, subject: seen.append((frame.sequence, subject)))
    await sender.start()
    await receiver.start()
    for sequence in range(50):
        await sender.send(subjects.event("a.b"), event(sequence))
    for tick in range(1, 1000):
        await bus.run_until(tick * TICK_NS)
        await sender.tick()
    assert sorted(seen) == [(sequence, "event.a.b") for sequence in range(50)]
    assert len(sender.outbox.queue) == 0
    assert bus.lost > 0


async def test_hostile_events_are_counted_and_the_lane_goes_on() -> None:
    bus, seen = InProcessBus(), []
    receiver = EventReceiver(bus, lambda frame, _: seen.append(frame.sequence))
    sender = EventSender(bus, SteppedClock(0))
    await receiver.start()
    await sender.start()
    await bus.publish("event.a", b"rubbish")
    await bus.publish("receipt.a", b"rubbish")
    await bus.publish("event.a", encode(event(3)))
    assert (seen, receiver.malformed, sender.malformed) == ([3], 1, 1)


async def test_an_event_whose_handler_failed_is_delivered_again() -> None:
    bus, tries = InProcessBus(), []

    def fails_once(frame: Frame, _: str) -> None:
        tries.append(frame.sequence)
        if len(tries) == 1:
            raise RuntimeError("disk full")

    receiver = EventReceiver(bus, fails_once)
    await receiver.start()
    with pytest.raises(RuntimeError):
        await bus.publish("event.a", encode(event(1)))
    await bus.publish("event.a", encode(event(1)))
    await bus.publish("event.a", encode(event(1)))
    assert tries == [1, 1]


async def test_on_a_running_clock_the_sender_repeats_by_itself() -> None:
    bus, seen = InProcessBus(), []
    sender = EventSender(bus, RealClock(), RetryPolicy(first_ns=NS_PER_MS, most_ns=NS_PER_S))
    await sender.start()
    await sender.send("event.a", event(1))
    receiver = EventReceiver(bus, lambda frame, _: seen.append(frame.sequence))
    await receiver.start()
    await until(lambda: len(sender.outbox.queue) == 0)
    assert seen == [1]
    await sender.stop()
    await receiver.stop()
