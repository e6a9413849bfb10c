"""A world on a bus."""

import asyncio

import msgspec
import pytest

from gridloom.core.clock import SteppedClock
from gridloom.core.plans import Action, ActionKind, Command
from gridloom.field import (
    FIELD_SPEED,
    ControlRequest,
    FieldOptions,
    PlannedFault,
    ServeOptions,
    Shell,
    SpeedChange,
    decode_reply,
    encode_request,
    serve,
)
from gridloom.grid import table_from_bytes
from gridloom.grid.instruments import Instruments
from gridloom.ioe import birth as births
from gridloom.ioe.bus import InProcessBus
from gridloom.ioe.commands import CommandSender
from gridloom.ioe.events import EventReceiver
from gridloom.ioe.frames import FrameKind
from gridloom.ioe.signing import Signer, Verifier

from .conftest import START_NS

SECOND = 10**9
FAULT = (PlannedFault(line="A2", at_s=2.5),)


async def run_stepped(shell: Shell, clock: SteppedClock, seconds: float, *also) -> None:
    end_ns = clock.now_ns() + round(seconds * SECOND)
    while clock.now_ns() < end_ns:
        clock.advance_to(min(clock.now_ns() + 20_000_000, end_ns))
        await shell.step(clock.now_ns())
        for tick in also:
            await tick()


async def asked(bus: InProcessBus, **wish):
    data = await bus.request("field.control", encode_request(ControlRequest(**wish)), 1.0)
    return decode_reply(data)


async def test_a_birth_says_what_rows_mean_and_who_sends_them(build) -> None:
    bus, clock = InProcessBus(), SteppedClock(START_NS)
    shell = Shell(build(epoch=7), bus, clock)
    await shell.attach()
    birth = births.decode(await bus.request("field.birth", b"", 1.0))
    assert (birth.epoch, birth.clock, birth.start_ns) == (7, "stepped", START_NS)
    assert birth.grid_hash == shell.world.grid.hash
    instruments = table_from_bytes(Instruments, birth.instruments)
    assert instruments.id.tolist() == shell.world.instruments.id.tolist()
    for name in ("gw-feeder-A", "gw-feeder-A.fpi"):
        assert birth.gateways[name] == "root.feeder-A"
    assert list(birth.positions) == shell.world.grid.switches.closed.tolist()


async def test_events_reach_a_receiver_once_and_are_not_repeated(build) -> None:
    bus, clock = InProcessBus(), SteppedClock(START_NS)
    shell = Shell(build(faults=FAULT), bus, clock)
    seen = []
    receiver = EventReceiver(bus, lambda frame, subject: seen.append((frame, subject)))
    await receiver.start()
    await shell.attach()
    await run_stepped(shell, clock, 5)
    assert shell.world.events.waiting == 0
    assert receiver.inbox.repeated == 0
    relay = [frame for frame, _ in seen if frame.kind is FrameKind.RELAY]
    assert [float(frame.values[0, 0]) for frame in relay] == [1.0, 2.0, 3.0]


async def test_nothing_is_published_before_the_network_hands_it_over(build) -> None:
    bus, clock = InProcessBus(), SteppedClock(START_NS)
    shell = Shell(build(faults=FAULT), bus, clock)
    arrived = []
    await bus.subscribe("event.>", lambda _: arrived.append(clock.now_ns()))
    await shell.attach()
    await run_stepped(shell, clock, 2.5)
    assert arrived == []
    await run_stepped(shell, clock, 1.0)
    assert min(arrived) >= START_NS + 2.5 * SECOND + 13_000_000


async def test_a_signed_command_goes_all_the_way(build) -> None:
    bus, clock, signer = InProcessBus(), SteppedClock(START_NS), Signer.generate()
    world = build(verify=Verifier.of([signer.public_key]).verify)
    shell, sender = Shell(world, bus, clock), CommandSender(bus, clock, signer)
    await shell.attach()
    await sender.start()
    action = Action(kind=ActionKind.OPEN, target="A2@a2")
    command = Command(
        plan_id="p",
        epoch=1,
        action=action,
        issued_ns=START_NS,
        expires_ns=START_NS + 60 * SECOND,
        issuer="t",
    )
    answer = await sender.post("root.feeder-A", command)
    await run_stepped(shell, clock, 9, sender.tick)
    assert answer.done()
    assert answer.result().outcome == "done"
    assert not world.plant.switchgear.closed[world.grid.switches.row("A2@a2")]


async def test_the_button_breaks_a_cable_and_says_so(build) -> None:
    bus, clock = InProcessBus(), SteppedClock(START_NS)
    shell = Shell(build(), bus, clock)
    await shell.attach()
    reply = await asked(bus, do="inject", target="A2")
    assert (reply.ok, reply.fault) == (True, "fault-1")
    await run_stepped(shell, clock, 1)
    reply = await asked(bus, do="status")
    assert (reply.faults, reply.customers_interrupted) == (1, 33)
    bad = decode_reply(await bus.request("field.control", b'{"do":"explode"}', 1.0))
    assert not bad.ok


async def test_a_real_clock_runs_for_its_duration_and_leaves_a_log(district, tmp_path) -> None:
    bus, count = InProcessBus(), []
    await bus.subscribe("telemetry.>", lambda message: count.append(message.subject))
    options = FieldOptions(start_ns=START_NS, truth_dir=tmp_path / "truth")
    settings = ServeOptions(duration_s=1.3, state_dir=tmp_path / "state")
    world = await serve(bus, district, options, settings)
    assert world.now_ns == START_NS + 1_300_000_000
    assert world.options.epoch == 1
    assert count
    assert list((tmp_path / "truth").glob("voltages-*.parquet"))
    settings = ServeOptions(duration_s=0.1, state_dir=tmp_path / "state")
    assert (await serve(bus, district, options, settings)).options.epoch == 2


async def test_an_accelerated_clock_is_slow_before_a_planned_fault_begins(district) -> None:
    bus, told, seen = InProcessBus(), [], asyncio.Event()

    def note(message) -> None:
        told.append(msgspec.json.decode(message.data, type=SpeedChange))

    await bus.subscribe(FIELD_SPEED, note)
    await bus.subscribe("event.>", lambda _: seen.set())
    fault = PlannedFault(line="A2", at_s=60.0)
    stop, options = asyncio.Event(), FieldOptions(start_ns=START_NS, faults=(fault,))
    settings = ServeOptions(clock="accelerated", speed=200.0)
    task = asyncio.create_task(serve(bus, district, options, settings, stop=stop))
    async with asyncio.timeout(20):
        await seen.wait()
    stop.set()
    world = await task
    assert world.faults == 1
    assert [change.speed for change in told] == [1.0]
    assert told[0].at_ns <= START_NS + 60 * SECOND


async def test_an_accelerated_clock_slows_down_for_the_button(district) -> None:
    bus, stop, slow = InProcessBus(), asyncio.Event(), asyncio.Event()
    await bus.subscribe(FIELD_SPEED, lambda _: slow.set())
    settings = ServeOptions(clock="accelerated", speed=50.0)
    options = FieldOptions(start_ns=START_NS)
    task = asyncio.create_task(serve(bus, district, options, settings, stop=stop))
    await asyncio.sleep(0.2)
    assert (await asked(bus, do="inject", target="A2")).ok
    async with asyncio.timeout(20):
        await slow.wait()
    stop.set()
    await task


async def test_a_state_that_is_none_is_refused(district, tmp_path) -> None:
    (tmp_path / "epoch").write_text("many")
    with pytest.raises(ValueError, match="does not hold an epoch"):
        await serve(
            InProcessBus(),
            district,
            FieldOptions(start_ns=START_NS),
            ServeOptions(duration_s=0.1, state_dir=tmp_path),
        )
