"""`gridloom platform`: Gridloom without a simulated world, as at a real utility."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import structlog
from cyclopts import Parameter

from gridloom.cli.bus_address import credentials_of, resolve_bus
from gridloom.cli.options import Json, Verbose
from gridloom.cli.output import emit, set_up_logs
from gridloom.cli.process import follow_parent
from gridloom.cli.ready import PlatformReady, write_ready
from gridloom.cli.run_folder import new_run_folder, table_path
from gridloom.cli.summary import PlatformSummary, summary_of, write_platform_summary
from gridloom.core.errors import Unavailable

if TYPE_CHECKING:
    from gridloom.core.clock import FollowedClock
    from gridloom.ioe.birth import Birth
    from gridloom.ioe.bus import NatsBus
    from gridloom.ioe.mqtt import MqttDoor
    from gridloom.orchestrator.runtime import Runtime

log = structlog.get_logger(__name__)

_BIRTH_WITHIN_S = 120.0


class PlatformOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform process is told."""

    grid: str
    bus: str
    mode: str
    folder: Path
    key: Path
    seed: int
    estimate_period_s: float
    host: str
    port: int
    headless: bool
    realtime: bool
    is_simulated: bool
    owner_pid: int


class _Status(msgspec.Struct, frozen=True):
    at_ns: int


def platform(  # noqa: PLR0913 - one parameter a flag
    *,
    grid: str = "",
    bus: str,
    mode: Literal["observe", "advise", "act"] = "advise",
    data: str = "",
    key: Path | None = None,
    seed: int = 0,
    estimate_period_s: float = 1.0,
    host: str = "127.0.0.1",
    port: int = 8620,
    headless: Annotated[bool, Parameter(negative="", help="Without the control room.")] = False,
    realtime: Annotated[
        bool, Parameter(negative="", help="Ask for a real-time class for the event path.")
    ] = False,
    simulated: Annotated[
        bool,
        Parameter(negative="", help="The field is `gridloom field`: let the page break cables."),
    ] = False,
    with_parent: Annotated[bool, Parameter(negative="", show=False)] = False,
    verbose: Verbose = False,
    json: Json = False,
) -> int:
    """Run Gridloom on a bus that carries a field: sense, estimate, propose, verify, act, account.

    Parameters
    ----------
    grid
        Grid URI or file; what the field's birth names by default.
    bus
        The ready file of a running server, or `nats://user:password@host:port`.
    mode
        How far agents may go: observe, advise (a person decides) or act.
    data
        Folder of the journal, the history and the event path's ring.
    key
        Private key that signs commands; made at the first run.
    """
    set_up_logs(verbose=verbose)
    owner_pid = os.getppid() if with_parent else os.getpid()
    if with_parent:
        follow_parent()
    folder = new_run_folder(data)
    options = PlatformOptions(
        grid=grid,
        bus=bus,
        mode=mode,
        folder=folder,
        key=key or folder / "keys" / "platform.key",
        seed=seed,
        estimate_period_s=estimate_period_s,
        host=host,
        port=port,
        headless=headless,
        realtime=realtime,
        is_simulated=simulated,
        owner_pid=owner_pid,
    )
    summary = _run_loop(options)
    emit(summary, as_json=json)
    return 0


def _run_loop(options: PlatformOptions) -> PlatformSummary:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_run(options))
    return uvloop.run(_run(options))


async def _run(options: PlatformOptions) -> PlatformSummary:
    """Run until told to stop; when the field starts anew, ask for its birth again and go on."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while True:
        summary = await _live(options, stop)
        write_platform_summary(options.folder, summary)
        if stop.is_set():
            return summary
        log.warning("field_started_anew", folder=str(options.folder))


async def _live(options: PlatformOptions, stop: asyncio.Event) -> PlatformSummary:
    """Run on one birth of the field."""
    from gridloom.ioe.bus import NatsBus
    from gridloom.orchestrator import loops

    address = resolve_bus(options.bus)
    async with AsyncExitStack() as stack:
        bus = await NatsBus.connect(address.url, credentials_of(address), name="platform")
        stack.push_async_callback(bus.close)
        birth, clock = await _birth_of(bus, stop)
        runtime = await asyncio.to_thread(build, options, birth, clock, bus)
        platform_ = runtime.platform
        stack.callback(platform_.journal.close)
        if platform_.history is not None:
            stack.callback(platform_.history.close)
        door = _mqtt_door(runtime, bus)
        await door.start()
        stack.push_async_callback(door.stop)
        url = await _open_control_room(options, runtime, bus, stack)
        ready = asyncio.create_task(_tell_ready(options, runtime, url))
        await loops.run(runtime, stop, estimate_period_s=options.estimate_period_s)
        ready.cancel()
        platform_.end("told to stop" if stop.is_set() else "the field has started anew")
        return summary_of(runtime)


async def _birth_of(bus: NatsBus, stop: asyncio.Event) -> tuple[Birth, FollowedClock]:
    """Ask the field what it is made of, until it answers."""
    from gridloom.core.clock import FollowedClock
    from gridloom.ioe import birth as births
    from gridloom.ioe import subjects

    deadline = time.monotonic() + _BIRTH_WITHIN_S
    while not stop.is_set():
        try:
            birth = births.decode(await bus.request(subjects.FIELD_BIRTH, b"", 5.0))
            asked_s = time.monotonic()
            status = msgspec.json.decode(
                await bus.request(subjects.FIELD_CONTROL, b'{"do":"status"}', 5.0), type=_Status
            )
        except Unavailable:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"no field answered on {subjects.FIELD_BIRTH} within {_BIRTH_WITHIN_S:.0f} s; "
                    "start `gridloom field`"
                ) from None
            await asyncio.sleep(0.1)
            continue
        travel_ns = round((time.monotonic() - asked_s) / 2 * 1e9 * birth.speed)
        return birth, FollowedClock(status.at_ns + travel_ns, birth.speed)
    message = "stopped before the field answered"
    raise Unavailable(message)


def build(options: PlatformOptions, birth: Birth, clock: FollowedClock, bus: NatsBus) -> Runtime:
    """Build the platform and everything beside it; blocking."""
    from gridloom.core.plans import Autonomy
    from gridloom.grid import load
    from gridloom.ioe.signing import Signer
    from gridloom.orchestrator.event_child import EventChild, open_table
    from gridloom.orchestrator.loops import Threads
    from gridloom.orchestrator.platform import Platform
    from gridloom.orchestrator.preparation import static_of
    from gridloom.orchestrator.runtime import Runtime
    from gridloom.store import Journal, replay
    from gridloom.store.history import History

    options.key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    signer = Signer.from_file(options.key)
    journal = Journal(options.folder / "journal.sqlite", seal=None)
    before = replay(journal.entries())
    platform_ = Platform(
        grid=load(options.grid or birth.grid_uri),
        birth=birth,
        clock=clock,
        journal=journal,
        history=History(options.folder / "history", clock=clock),
        mode=Autonomy(options.mode),
        epoch=before.epoch + 1,
        seed=options.seed,
    )
    platform_.begin(before if before.sequence else None)
    path = table_path(options.folder)
    static = static_of(platform_.grid, platform_.instruments, birth.gateways)
    table, is_old = open_table(path, static)
    child = EventChild(
        folder=options.folder,
        table=path,
        bus_ready=_bus_file(options),
        key=options.key,
        owner_pid=options.owner_pid,
        realtime=options.realtime,
    )
    table.set_clock(clock.now_ns(), time.monotonic_ns(), clock.speed)
    child.start(adopt=is_old)
    return Runtime(
        platform=platform_, bus=bus, table=table, event_path=child, signer=signer, heavy=Threads()
    )


def _bus_file(options: PlatformOptions) -> Path:
    """Return the file in which the event path finds the bus: a password has no place among arguments."""
    if "://" not in options.bus:
        return Path(options.bus)
    path = options.folder / "bus-address.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(resolve_bus(options.bus)))
    return path


def _mqtt_door(runtime: Runtime, bus: NatsBus) -> MqttDoor:
    """Return the door by which devices of anybody's make report over MQTT."""
    from gridloom.ioe.mqtt import DeviceReadings, MqttDoor, devices_of

    platform_ = runtime.platform
    devices = devices_of(platform_.instruments, platform_.grid.cell_path)
    return MqttDoor(bus, platform_.clock, DeviceReadings(devices, epoch=platform_.birth.epoch))


async def _open_control_room(
    options: PlatformOptions, runtime: Runtime, bus: NatsBus, stack: AsyncExitStack
) -> str:
    if options.headless:
        return ""
    from gridloom.control_room.adapter import RuntimeView
    from gridloom.control_room.app import create_app
    from gridloom.control_room.server import serving

    view = RuntimeView(runtime, bus, is_simulated=options.is_simulated)
    app = await asyncio.to_thread(create_app, view)
    return await stack.enter_async_context(serving(app, host=options.host, port=options.port))


async def _tell_ready(options: PlatformOptions, runtime: Runtime, url: str) -> None:
    await runtime.is_ready.wait()
    ready = PlatformReady(url=url, pid=os.getpid(), grid=runtime.platform.grid.name)
    write_ready(options.folder / "platform-ready.json", ready)
    log.info("platform_ready", url=url, grid=ready.grid)
