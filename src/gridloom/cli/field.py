"""`gridloom field`: the simulated world alone, speaking only over the bus."""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import structlog
from cyclopts import Parameter

from gridloom.cli.bus_address import credentials_of, resolve_bus
from gridloom.cli.options import Json, Verbose
from gridloom.cli.output import emit, set_up_logs
from gridloom.cli.process import follow_parent
from gridloom.cli.settings import DEFAULT_GRID
from gridloom.cli.summary import FieldSummary, write_field_summary
from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S

if TYPE_CHECKING:
    from gridloom.field import FieldOptions, ServeOptions, World

log = structlog.get_logger(__name__)


def field(  # noqa: PLR0913 - one parameter a flag
    *,
    grid: str = DEFAULT_GRID,
    bus: str,
    seed: int = 1,
    start: str = "2016-07-01T10:00:00+00:00",
    clock: Literal["real", "accelerated"] = "real",
    speed: float = 60.0,
    duration: float = 0.0,
    data: Path | None = None,
    public_key: Path | None = None,
    mv_share: float = 0.05,
    meter_period_s: float = 60.0,
    readings_per_second: float = 0.0,
    switch_failure: float = 0.0,
    with_parent: Annotated[bool, Parameter(negative="", show=False)] = False,
    verbose: Verbose = False,
    json: Json = False,
) -> int:
    """Run the simulated world alone: truth, meters, relays, switches, faults and links.

    Parameters
    ----------
    grid
        Grid URI or file, as the utility documents it; the truth is drawn around it.
    bus
        `nats://user:password@host:port`, or the ready file of a running server.
    seed
        Seed of everything random; equal seeds give equal worlds.
    start
        Grid time at the start, ISO 8601.
    clock
        Real time, or accelerated by `--speed`; faults are always played at 1x.
    duration
        Grid seconds to run; 0 runs until it is stopped.
    data
        Folder of the truth log and of the devices' memory.
    public_key
        Key that commands must be signed with; without one every command is refused as forged.
    readings_per_second
        Load test: send the real meters' readings at this rate.
    switch_failure
        Chance that an ordered switch does not move.
    """
    from gridloom.field import FieldOptions, ServeOptions, TelemetrySettings

    set_up_logs(verbose=verbose)
    if with_parent:
        follow_parent()
    options = FieldOptions(
        seed=seed,
        start_ns=time_ns_of(start),
        grid_uri=grid,
        mv_share=mv_share,
        switch_failure=switch_failure,
        telemetry=TelemetrySettings(
            meter_period_s=meter_period_s, readings_per_second=readings_per_second
        ),
        truth_dir=None if data is None else data / "truth",
    )
    settings = ServeOptions(
        clock=clock,
        speed=speed,
        duration_s=duration,
        public_key=public_key,
        state_dir=None if data is None else data / "state",
    )
    world = asyncio.run(_serve(grid, bus, options, settings))
    summary = FieldSummary.of(world)
    if data is not None:
        write_field_summary(data, summary)
    emit(summary, as_json=json)
    return 0


async def _serve(grid: str, bus: str, options: FieldOptions, settings: ServeOptions) -> World:
    from gridloom.field import serve
    from gridloom.grid import load
    from gridloom.ioe.bus import NatsBus

    address = resolve_bus(bus)
    model = load(grid)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connection = await NatsBus.connect(address.url, credentials_of(address))
    try:
        return await serve(connection, model, options, settings, stop=stop)
    finally:
        await connection.close()


def time_ns_of(text: str) -> int:
    """Return an ISO 8601 time with its zone as nanoseconds since 1970 UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"start is {text!r}; give an ISO 8601 time such as 2016-07-01T10:00:00+00:00"
        raise BadInput(message) from None
    if moment.tzinfo is None:
        message = f"start is {text!r} without a zone; add +00:00 for UTC"
        raise BadInput(message)
    return round(moment.timestamp()) * NS_PER_S
