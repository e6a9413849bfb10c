"""What a world knows again after its process was killed."""

import asyncio

import msgspec
import pytest

from gridloom.core.errors import BadInput, Malformed
from gridloom.field import ControlRequest, FieldOptions, PlannedFault, ServeOptions, World, serve
from gridloom.field import memory as memories
from gridloom.ioe.bus import InProcessBus

from .conftest import START_NS, frames, history, run_for

FAULT = (PlannedFault(line="A2", at_s=1.0),)


def reborn(world: World) -> World:
    memory = memories.decode(memories.encode(world.memory(0)))
    return World(world.grid, world.options, memory=memory)


def test_positions_time_and_faults_are_known_again(build) -> None:
    world = build(faults=FAULT)
    run_for(world, 5)
    again = reborn(world)
    assert again.now_ns == again.birth().start_ns == world.now_ns
    assert (again.plant.switchgear.closed == world.plant.switchgear.closed).all()
    assert list(again.plant.scheme.active) == list(world.plant.scheme.active)
    assert again.faults == 1


def test_a_planned_fault_is_not_brought_twice(build) -> None:
    world = build(faults=FAULT)
    run_for(world, 5)
    again = reborn(world)
    run_for(again, 5)
    assert history(again, "fault", "relay") == []
    assert again.plant.supply.interrupted == 0
    again.control(ControlRequest(do="operate", target="A1@bb", close=True), again.now_ns)
    run_for(again, 1)
    assert [what for _, _, what in history(again, "relay")] == [
        "picked_up",
        "tripped",
        "locked_out",
    ]


def test_a_fault_that_was_fed_at_the_kill_is_cleared_afterwards(build) -> None:
    world = build(faults=FAULT)
    world.advance(START_NS + 1_005_000_000)
    again = reborn(world)
    run_for(again, 2)
    assert not again.plant.switchgear.closed[again.grid.switches.row("A1@bb")]


def test_blown_fuses_stay_blown_until_the_repair(build) -> None:
    world = build(faults=(PlannedFault(line="L2", at_s=1.0),))
    run_for(world, 3)
    again = reborn(world)
    street = again.grid.buses.rows(("l1", "l2"))
    assert not again.plant.electrics.topology.is_energised[street].any()
    again.control(ControlRequest(do="repair", target="L2"), again.now_ns)
    assert again.plant.electrics.topology.is_energised.all()


def test_the_memory_of_another_grid_is_refused(build) -> None:
    world = build()
    memory = msgspec.structs.replace(world.memory(0), grid_hash="0" * 64)
    with pytest.raises(BadInput, match="memory is of grid 000000"):
        World(world.grid, world.options, memory=memory)
    with pytest.raises(Malformed):
        memories.decode(b"{}")


async def test_a_served_world_goes_on_after_a_restart(district, tmp_path) -> None:
    options = FieldOptions(start_ns=START_NS, faults=(PlannedFault(line="A2", at_s=0.1),))
    settings = ServeOptions(duration_s=0.5, state_dir=tmp_path)
    first = await serve(InProcessBus(), district, options, settings)
    await asyncio.sleep(0.1)
    settings = ServeOptions(duration_s=5.0, state_dir=tmp_path)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stop.set)
    second = await serve(InProcessBus(), district, options, settings, stop=stop)
    assert second.began_ns >= first.now_ns - 300_000_000
    assert second.options.epoch == first.options.epoch + 1
    assert second.faults == 1
    assert not second.plant.switchgear.closed[district.switches.row("A1@bb")]


def test_after_a_restart_positions_are_told_by_the_scan(build) -> None:
    world = build(faults=FAULT)
    run_for(world, 5)
    sent = frames(run_for(reborn(world), 12), "telemetry")
    row = world.grid.switches.row("A1@bb")
    told = [
        float(frame.values[0, at])
        for frame in sent
        if frame.kind.name == "SWITCH"
        for at, instrument in enumerate(frame.index.tolist())
        if world.instruments.element[instrument] == row
    ]
    assert told
    assert set(told) == {0.0}
