"""No order is carried out twice, and its sender learns what became of it."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.core.clock import AcceleratedClock, RealClock, SteppedClock
from gridloom.core.errors import Malformed, Unavailable
from gridloom.core.plans import Acknowledgement, Action, ActionKind, Command
from gridloom.core.units import NS_PER_MS, NS_PER_S
from gridloom.edge import CommandGuard, GuardLimits
from gridloom.ioe.bus import InProcessBus
from gridloom.ioe.commands import (
    CommandDesk,
    CommandOutbox,
    CommandReceiver,
    CommandSender,
    decode_ack,
    encode_ack,
    settled,
)
from gridloom.ioe.retry import RetryPolicy
from gridloom.ioe.signing import Signer, Verifier

from .network import Network

SIGNER = Signer.generate()
VERIFY = Verifier.of([SIGNER.public_key]).verify
POLICY = RetryPolicy(first_ns=10 * NS_PER_MS, most_ns=100 * NS_PER_MS)
LIMITS = GuardLimits(burst=1000)


def order(number: int, *, issued_ns: int = 0, life_ns: int = 60 * NS_PER_S) -> Command:
    return Command(
        plan_id=f"plan-{number}",
        epoch=1,
        action=Action(kind=ActionKind.OPEN, target="switch 1"),
        issued_ns=issued_ns,
        expires_ns=issued_ns + life_ns,
        issuer="test",
    )


def desk() -> CommandDesk:
    return CommandDesk(CommandGuard(VERIFY, {"switch 1"}, limits=LIMITS))


@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.5),
    doubling=st.floats(0, 0.5),
    restarts=st.lists(st.integers(1, 100), max_size=4),
)
@settings(max_examples=30, deadline=None)
def test_each_order_is_carried_out_exactly_once_and_answered(
    seed: int, loss: float, doubling: float, restarts: list[int]
) -> None:
    network = Network(seed, loss=loss, doubling=doubling, jitter_ns=40 * NS_PER_MS)
    outbox, device, executed, final = CommandOutbox(POLICY), desk(), [], {}
    orders = {order(number).key: order(number) for number in range(10)}
    now_ns = 0
    for key, one in orders.items():
        envelope = SIGNER.sign(one)
        outbox.post(key, "command.a", envelope, 0, one.expires_ns)
        network.put(0, "command", envelope)
    for tick in range(1, 10_000):
        now_ns = tick * 5 * NS_PER_MS
        if tick in restarts:
            state, device = device.save(), desk()
            device.restore(state)
        again, over = outbox.queue.due(now_ns)
        assert not over
        for _, (_, envelope) in again:
            network.put(now_ns, "command", envelope)
        for kind, data in network.get(now_ns):
            if kind == "ack":
                answer = outbox.answer(decode_ack(data), now_ns)
                if answer is not None:
                    assert answer.key not in final
                    final[answer.key] = answer.outcome
                continue
            answer, accepted = device.take(data, now_ns)
            network.put(now_ns, "ack", encode_ack(answer))
            if accepted is not None:
                executed.append(accepted.key)
                ended = device.end(accepted.key, succeeded=True, now_ns=now_ns)
                network.put(now_ns, "ack", encode_ack(ended))
        if len(final) == len(orders):
            break
    assert sorted(executed) == sorted(orders)
    assert final == dict.fromkeys(orders, "done")


@pytest.mark.parametrize(
    ("outcome", "note", "expected"),
    [
        ("accepted", "", None),
        ("done", "", "done"),
        ("failed", "", "failed"),
        ("expired", "", "expired"),
        ("stale", "", "stale"),
        ("unknown", "", "unknown"),
        ("duplicate", "still under way", None),
        ("duplicate", "done", "done"),
        ("duplicate", "failed", "failed"),
    ],
)
def test_which_answers_end_an_order(outcome: str, note: str, expected: str | None) -> None:
    final = settled(Acknowledgement(key="k", outcome=outcome, at_ns=0, note=note))
    assert (final.outcome if final else None) == expected


@given(st.binary(max_size=60))
def test_hostile_answers_and_states_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_ack(data)
    with pytest.raises(Malformed):
        desk().restore(data)


def test_an_answer_to_somebody_elses_order_is_ignored() -> None:
    outbox = CommandOutbox()
    assert outbox.answer(Acknowledgement(key="x", outcome="done", at_ns=0), 0) is None


async def pair(
    execute: Callable[[Command], object], kept: list[bytes] | None = None
) -> tuple[CommandSender, CommandReceiver, InProcessBus]:
    bus, clock = InProcessBus(), RealClock(0)
    keep = None if kept is None else kept.append
    receiver = CommandReceiver(bus, clock, desk(), execute, keep=keep)
    sender = CommandSender(bus, clock, SIGNER, POLICY)
    await sender.start()
    await receiver.start("a.b")
    return sender, receiver, bus


async def test_an_order_is_carried_out_and_answered_with_what_became_of_it() -> None:
    done: list[str] = []
    kept: list[bytes] = []

    async def execute(command: Command) -> bool:
        assert kept, "the order must be remembered before the device moves"
        done.append(command.key)
        return command.plan_id != "plan-2"

    sender, receiver, _ = await pair(execute, kept)
    first = await sender.send("a.b", order(1))
    second = await sender.send("a.b", order(2))
    assert (first.outcome, second.outcome) == ("done", "failed")
    assert done == [order(1).key, order(2).key]
    await sender.stop()
    await receiver.stop()


async def test_a_repeated_order_is_answered_from_memory() -> None:
    executed: list[str] = []

    async def execute(command: Command) -> bool:
        executed.append(command.key)
        return True

    sender, receiver, _ = await pair(execute)
    assert (await sender.send("a.b", order(1))).note == ""
    assert (await sender.send("a.b", order(1))).note == "said again"
    assert executed == [order(1).key]
    await sender.stop()
    await receiver.stop()


async def test_a_device_that_breaks_while_moving_answers_failed() -> None:
    async def execute(_: Command) -> bool:
        raise OSError("motor contactor does not answer")

    sender, receiver, _ = await pair(execute)
    answer = await sender.send("a.b", order(1))
    assert (answer.outcome, "looked at" in answer.note) == ("failed", True)
    await sender.stop()
    await receiver.stop()


async def test_forged_and_hostile_messages_move_nothing() -> None:
    async def execute(_: Command) -> bool:
        raise AssertionError("a forged order was carried out")

    sender, receiver, bus = await pair(execute)
    await bus.publish("command.a.b", Signer.generate().sign(order(1)))
    await bus.publish("command.a.b", b"rubbish")
    await bus.publish("ack.a.b", b"rubbish")
    assert sender.malformed == 1
    await sender.stop()
    await receiver.stop()


async def test_without_a_device_the_answer_is_expired_and_says_that_nothing_is_known() -> None:
    clock, bus = SteppedClock(0), InProcessBus()
    sender = CommandSender(bus, clock, SIGNER, POLICY)
    await sender.start()
    waiting = await sender.post("a.b", order(1, life_ns=NS_PER_S))
    for tick in range(1, 40):
        clock.advance_to(tick * 50 * NS_PER_MS)
        await sender.tick()
    answer = await waiting
    assert answer.outcome == "expired"
    assert "not known" in answer.note


async def test_an_order_lives_on_when_the_clock_is_slowed_down() -> None:
    clock, bus = AcceleratedClock(0, 1000.0), InProcessBus()
    sender = CommandSender(bus, clock, SIGNER, POLICY)
    await sender.start()
    waiting = await sender.post("a.b", order(1, life_ns=60 * NS_PER_S))
    clock.slow_down()
    await asyncio.sleep(0.1)

    async def execute(_: Command) -> bool:
        return True

    receiver = CommandReceiver(bus, clock, desk(), execute)
    await receiver.start("a.b")
    assert (await asyncio.wait_for(waiting, 10)).outcome == "done"
    await sender.stop()
    await receiver.stop()


async def test_whoever_waits_learns_that_the_sender_stopped() -> None:
    sender = CommandSender(InProcessBus(), RealClock(0), SIGNER, POLICY)
    await sender.start()
    waiting = await sender.post("a.b", order(1))
    await sender.stop()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, 1)
