"""The field as a process: a world, a bus, a clock."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from gridloom.core.clock import AcceleratedClock, Clock, RealClock
from gridloom.core.errors import BadInput, Malformed
from gridloom.core.units import NS_PER_S, ns_from_s
from gridloom.field import memory as memories
from gridloom.field.options import FieldOptions
from gridloom.field.shell import FIELD_SPEED, Shell, SpeedChange
from gridloom.field.truth_log import write_whole
from gridloom.field.world import World
from gridloom.grid.model import Grid
from gridloom.ioe.bus import Bus
from gridloom.ioe.signing import Verifier

log = structlog.get_logger(__name__)

_PLANT = "plant.json"
_LONGEST_SLEEP_S = 0.05
_WARNING_WALL_S = 0.01
"""An accelerated clock slows down this much wall time before a planned fault [s]."""
_LONGEST_STRIDE_S = 0.2
"""So much wall time may pass between two steps of the world before its clock waits for it [s]."""
_FAR_NS = 2**62
_MOST_SOLVES_PER_S = 20.0
_QUIET_S = 10.0
"""An accelerated clock stays at 1x this long after the last event [s of grid time]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How a world is run as a process."""

    clock: Literal["real", "accelerated"] = "real"
    speed: float = 60.0
    """Grid seconds per wall second of an accelerated clock."""
    duration_s: float = 0.0
    """Grid time to run [s]; 0 until told to stop."""
    public_key: Path | None = None
    """Key that commands must be signed with; without one every command is refused as forged."""
    state_dir: Path | None = None
    """Keeps the epoch and the devices' memory over a restart; None keeps neither."""


async def serve(
    bus: Bus,
    grid: Grid,
    options: FieldOptions,
    settings: ServeOptions | None = None,
    *,
    stop: asyncio.Event | None = None,
    ready: Callable[[World], None] | None = None,
) -> World:
    """Run a world on a bus until its duration is over or `stop` is set.

    Args:
        bus: Where it speaks.
        grid: The grid as documented.
        options: What the world is.
        settings: How it is run.
        stop: Ends the run.
        ready: Called once, when the world answers requests.

    Returns:
        The world at its end, its truth log written.

    Raises:
        BadInput: The state directory holds something else than state.
    """
    settings = settings or ServeOptions()
    state = _State(settings.state_dir)
    options = replace(options, epoch=state.next_epoch(options.epoch))
    verify = Verifier.from_file(settings.public_key).verify if settings.public_key else None
    memory = state.memory(settings.clock)
    world = World(grid, options, verify=verify, keep=state.keep, memory=memory)
    state.restore(world)
    clock = _clock(settings, world.began_ns)
    world.set_pace(_pace_s(clock.speed))
    # Half a million objects of tables never die: without this, each full collection is a pause in the world.
    gc.collect()
    gc.freeze()
    shell = Shell(world, bus, clock)
    await shell.attach()
    log.info("field_ready", grid=grid.name, seed=options.seed, epoch=options.epoch)
    if ready is not None:
        ready(world)
    end_ns = options.start_ns + ns_from_s(settings.duration_s) if settings.duration_s else None
    try:
        await _run(shell, clock, _Pace(clock, bus, world), state, stop or asyncio.Event(), end_ns)
    finally:
        gc.unfreeze()
        state.keep_plant(world, is_last=True)
        await shell.detach()
    return world


async def _run(
    shell: Shell,
    clock: Clock,
    pace: _Pace,
    state: _State,
    stop: asyncio.Event,
    end_ns: int | None,
) -> None:
    wake = asyncio.Event()

    def when_asked() -> None:
        pace.slow_down()
        wake.set()

    shell.when_asked = when_asked
    while not stop.is_set():
        now_ns = clock.now_ns()
        if end_ns is not None and now_ns >= end_ns:
            await shell.step(end_ns)
            return
        now_ns = await pace.follow(now_ns)
        await shell.step(now_ns)
        state.keep_plant(shell.world)
        next_ns = min(pace.next_slow_ns, shell.next_ns or pace.next_slow_ns)
        wait_s = (next_ns - clock.now_ns()) / NS_PER_S / clock.speed
        # A message may bring something about that is due earlier than all that was planned.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(wait_s, 0.0), _LONGEST_SLEEP_S)):
                await wake.wait()
        wake.clear()


class FieldClock(AcceleratedClock):
    """An accelerated clock that waits for the world, so that a busy machine cannot run past an event.

    Setting it back is seen by nobody: messages carry the world's time, which has not been there yet.
    """

    def hold_at(self, time_ns: int) -> None:
        """Go on from `time_ns` [ns since 1970 UTC]."""
        self._anchor_ns, self._wall0_ns = time_ns, time.monotonic_ns()


class _Pace:
    """Slows an accelerated clock down to 1x around events and says so on the bus."""

    def __init__(self, clock: Clock, bus: Bus, world: World) -> None:
        self._clock = clock if isinstance(clock, FieldClock) else None
        self._bus, self._world = bus, world
        self._quiet_since_ns = world.now_ns - ns_from_s(_QUIET_S)
        self._told_speed = clock.speed

    @property
    def next_slow_ns(self) -> int:
        """When the next planned fault asks for 1x: a little before it [ns]."""
        planned_ns = self._world.next_planned_ns
        if planned_ns is None or self._clock is None:
            return _FAR_NS
        return planned_ns - ns_from_s(_WARNING_WALL_S * self._clock.speed)

    def slow_down(self) -> None:
        """Go at 1x from this moment: somebody has done something to the world."""
        if self._clock is not None and self._world.is_eventful:
            self._quiet_since_ns = self._clock.now_ns()
            self._clock.slow_down()

    async def follow(self, now_ns: int) -> int:
        """Choose the speed, tell the bus when it has changed, and return how far the world may go [ns]."""
        clock = self._clock
        if clock is None:
            return now_ns
        now_ns = self._hold(clock, now_ns)
        if self._world.is_eventful or now_ns >= self.next_slow_ns:
            self._quiet_since_ns = now_ns
        if now_ns - self._quiet_since_ns < ns_from_s(_QUIET_S):
            clock.slow_down()
        else:
            clock.speed_up()
        if clock.speed != self._told_speed:
            self._told_speed = clock.speed
            self._world.set_pace(_pace_s(clock.speed))
            change = SpeedChange(at_ns=now_ns, speed=clock.speed)
            log.info("field_speed", speed=clock.speed)
            await self._bus.publish(FIELD_SPEED, msgspec.json.encode(change))
        return now_ns

    def _hold(self, clock: FieldClock, now_ns: int) -> int:
        """Stop a fast clock short of a planned fault, and from leaving the world far behind."""
        if clock.speed == 1.0:
            return now_ns
        furthest_ns = self._world.now_ns + ns_from_s(_LONGEST_STRIDE_S * clock.speed)
        planned_ns = self._world.next_planned_ns
        limit_ns = furthest_ns if planned_ns is None else min(furthest_ns, planned_ns)
        if now_ns <= limit_ns:
            return now_ns
        clock.hold_at(limit_ns)
        return limit_ns


def _pace_s(speed: float) -> float:
    """Return the time between power flows at a speed: one a grid second, but not more than twenty a wall second."""
    return max(1.0, float(round(speed / _MOST_SOLVES_PER_S)))


def _clock(settings: ServeOptions, start_ns: int) -> Clock:
    if settings.clock == "accelerated":
        return FieldClock(start_ns, settings.speed)
    return RealClock(start_ns)


class _State:
    """What a field keeps over its own restart."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._kept = -1
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)

    def next_epoch(self, first: int) -> int:
        """Return the epoch of this start and remember it."""
        if self._directory is None:
            # Without a memory only the wall clock tells one start from the next; events are known by their epoch.
            return int(time.time())
        path = self._directory / "epoch"
        try:
            epoch = int(path.read_text()) + 1 if path.is_file() else first
        except ValueError:
            raise BadInput(f"{path} does not hold an epoch; remove it to start anew") from None
        write_whole(path, str(epoch).encode())
        return epoch

    def keep(self, devices: bytes) -> None:
        """Store the devices' memory."""
        if self._directory is not None:
            write_whole(self._directory / "devices.json", devices)

    def keep_plant(self, world: World, *, is_last: bool = False) -> None:
        """Store where switches stand and what is broken, where that has changed, and the time at the end."""
        if self._directory is not None and (is_last or world.changes != self._kept):
            self._kept = world.changes
            write_whole(self._directory / _PLANT, memories.encode(world.memory(time.time_ns())))

    def memory(self, clock: str) -> memories.Memory | None:
        """Return what an earlier process left, its time moved on by what has passed since; None at a first start.

        Raises:
            Malformed: The file is damaged.
        """
        path = self._directory / _PLANT if self._directory is not None else None
        if path is None or not path.is_file():
            return None
        memory = memories.decode(path.read_bytes())
        passed_ns = max(0, time.time_ns() - memory.wall_ns) if clock == "real" else 0
        return msgspec.structs.replace(memory, now_ns=memory.now_ns + passed_ns)

    def restore(self, world: World) -> None:
        """Give devices their memory back; a damaged one makes them refuse everything issued so far."""
        path = self._directory / "devices.json" if self._directory is not None else None
        if path is None or not path.is_file():
            return
        try:
            world.devices.restore(path.read_bytes())
        except Malformed as error:
            log.warning("field_memory_damaged", error=str(error))
            world.devices.forget_before(world.now_ns)
