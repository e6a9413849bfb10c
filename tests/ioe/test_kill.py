"""The server is killed in the middle: every event arrives once, every order is carried out once."""

import asyncio
import os
import signal

import numpy as np

from gridloom.core.clock import RealClock
from gridloom.core.plans import Action, ActionKind, Command
from gridloom.core.units import NS_PER_MS, NS_PER_S
from gridloom.edge import CommandGuard, GuardLimits
from gridloom.ioe.bus import NatsBus
from gridloom.ioe.commands import CommandDesk, CommandReceiver, CommandSender
from gridloom.ioe.events import EventReceiver, EventSender
from gridloom.ioe.frames import Frame, FrameKind
from gridloom.ioe.retry import RetryPolicy
from gridloom.ioe.server import NatsServer
from gridloom.ioe.signing import Signer, Verifier

from .conftest import until

POLICY = RetryPolicy(first_ns=50 * NS_PER_MS, most_ns=300 * NS_PER_MS)
N_EVENTS, N_ORDERS, N_KILLS = 300, 60, 3


async def kill_now_and_then(server: NatsServer, buses: list[NatsBus]) -> None:
    for kill in range(1, N_KILLS + 1):
        await asyncio.sleep(0.15)
        os.kill(server.address.pid, signal.SIGKILL)
        await until(lambda kill=kill: all(bus.reconnects >= kill for bus in buses))


async def test_events_arrive_exactly_once_and_are_on_record(mortal: NatsServer) -> None:
    address, clock = mortal.address, RealClock()
    near = await NatsBus.connect(address.url, address.credentials, name="field")
    far = await NatsBus.connect(address.url, address.credentials, name="platform")
    assert await near.wait_recorded(10)
    delivered: list[int] = []
    recorded: set[bytes] = set()
    receiver = EventReceiver(far, lambda frame, _: delivered.append(frame.sequence))
    sender = EventSender(near, clock, POLICY)
    await receiver.start()
    await sender.start()
    await far.flush(20)

    async def send() -> None:
        for sequence in range(N_EVENTS):
            await sender.send(
                "event.a.b",
                Frame(
                    kind=FrameKind.RELAY,
                    source="feeder",
                    epoch=1,
                    sequence=sequence,
                    time_ns=sequence,
                    index=np.zeros(1, np.uint32),
                    values=np.full((1, 1), 2, np.float32),
                ),
            )
            await asyncio.sleep(0.003)

    await asyncio.gather(send(), kill_now_and_then(mortal, [near, far]))
    await until(lambda: len(sender.outbox.queue) == 0)
    assert sorted(delivered) == list(range(N_EVENTS))
    await far.subscribe_durable("event.>", "audit", lambda message: recorded.add(message.data))
    await until(lambda: len(recorded) >= N_EVENTS * 9 // 10)
    await sender.stop()
    await receiver.stop()
    for bus in (near, far):
        await bus.close()


async def test_orders_are_carried_out_exactly_once(mortal: NatsServer) -> None:
    address, clock, signer = mortal.address, RealClock(), Signer.generate()
    near = await NatsBus.connect(address.url, address.credentials, name="platform")
    far = await NatsBus.connect(address.url, address.credentials, name="device")
    executed: list[str] = []

    async def execute(command: Command) -> bool:
        executed.append(command.key)
        await asyncio.sleep(0.02)
        return True

    verify = Verifier.of([signer.public_key]).verify
    guard = CommandGuard(verify, {"switch"}, limits=GuardLimits(burst=1000))
    receiver = CommandReceiver(far, clock, CommandDesk(guard), execute)
    sender = CommandSender(near, clock, signer, POLICY)
    await receiver.start("a.b")
    await sender.start()
    await far.flush(20)

    async def order(number: int) -> str:
        await asyncio.sleep(number * 0.015)
        now_ns = clock.now_ns()
        action = Action(kind=ActionKind.OPEN, target="switch")
        command = Command(
            plan_id=f"plan-{number}",
            epoch=1,
            action=action,
            issued_ns=now_ns,
            expires_ns=now_ns + 60 * NS_PER_S,
            issuer="test",
        )
        return (await sender.send("a.b", command)).outcome

    orders = asyncio.gather(*(order(number) for number in range(N_ORDERS)))
    await kill_now_and_then(mortal, [near, far])
    assert await asyncio.wait_for(orders, 30) == ["done"] * N_ORDERS
    assert len(executed) == len(set(executed)) == N_ORDERS
    await sender.stop()
    await receiver.stop()
    for bus in (near, far):
        await bus.close()
