"""`gridloom run`: bus, field, platform and control room together, until it is stopped or its time is over."""

from __future__ import annotations

import asyncio
import signal
import webbrowser
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from gridloom.cli.faults import parse_fault, planned_faults
from gridloom.cli.options import Json, Verbose
from gridloom.cli.output import DONE, console, emit, set_up_logs
from gridloom.cli.run_folder import new_run_folder
from gridloom.cli.settings import Settings, load_settings
from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    from gridloom.cli.summary import RunSummary


def run(  # noqa: PLR0913 - one parameter a flag
    *,
    grid: str | None = None,
    clock: Literal["real", "stepped", "accelerated"] | None = None,
    speed: float | None = None,
    start: str | None = None,
    duration: float | None = None,
    seed: int | None = None,
    mode: Literal["observe", "advise", "act"] | None = None,
    fault: Annotated[
        list[str] | None,
        Parameter(negative="", help="LINE@T: break a line T seconds after the start."),
    ] = None,
    faults: Annotated[int, Parameter(help="Break N random medium-voltage lines.")] = 0,
    readings_per_second: float = 0.0,
    bus: str | None = None,
    port: int | None = None,
    data: str | None = None,
    config: Annotated[str | None, Parameter(help="TOML file with settings.")] = None,
    realtime: bool | None = None,
    headless: Annotated[bool, Parameter(negative="", help="Without the control room.")] = False,
    open_browser: Annotated[
        bool, Parameter(name="--open", negative="", help="Open the control room in a browser.")
    ] = False,
    verbose: Verbose = False,
    json: Json = False,
) -> int:
    """Run a whole grid: bus, simulated field, platform and control room.

    Parameters
    ----------
    grid
        Grid URI or file.
    clock
        `real` is wall time; `accelerated` runs `--speed` times faster and slows down around faults; `stepped` runs
        as fast as it can and gives the same bytes for the same seed.
    duration
        Grid seconds to run; 0 runs until it is stopped.
    mode
        How far agents may go: observe, advise or act.
    readings_per_second
        Load test: have the field send the real meters' readings at this rate.
    bus
        `nats://user:password@host:port` of a running server; by default one of our own is started.
    port
        Port of the control room; 0 takes a free one.
    data
        Folder of the journal, history and logs.
    realtime
        Ask for a real-time scheduling class for the event path.
    """
    set_up_logs(verbose=verbose)
    flags = {
        "grid": grid,
        "clock": clock,
        "speed": speed,
        "start": start,
        "duration": duration,
        "seed": seed,
        "mode": mode,
        "bus": bus,
        "port": port,
        "data": data,
        "realtime": realtime,
    }
    settings = load_settings(config, flags)
    planned = [parse_fault(text) for text in fault or []]
    if settings.clock == "stepped" and not settings.duration:
        message = "a stepped run needs an end: give --duration SECONDS"
        raise BadInput(message)
    summary = _run(
        settings,
        planned,
        random_faults=faults,
        readings_per_second=readings_per_second,
        headless=headless,
        open_browser=open_browser,
        quiet=json,
    )
    if summary is None:
        return DONE
    emit(summary, as_json=json)
    return DONE


def _run(
    settings: Settings,
    planned: list[tuple[str, float]],
    *,
    random_faults: int,
    readings_per_second: float,
    headless: bool,
    open_browser: bool,
    quiet: bool,
) -> RunSummary | None:
    folder = new_run_folder(settings.data)
    if settings.clock == "stepped":
        from gridloom.cli.stepped import run_stepped

        return run_stepped(settings, planned, random_faults=random_faults, folder=folder)
    from gridloom.cli.launch import Launch

    launch = Launch(
        settings=settings,
        folder=folder,
        faults=planned_faults(settings, planned, random_faults),
        readings_per_second=readings_per_second,
        headless=headless,
    )

    if not quiet:
        words = f"Starting bus, field and platform on {settings.grid}; a first start compiles for up to a minute."
        console.print(words, markup=False, soft_wrap=True)

    def ready(url: str) -> None:
        if quiet:
            return
        if url:
            console.print(
                f"Gridloom is running on [bold]{settings.grid}[/bold]\n\n    {url}\n",
                soft_wrap=True,
            )
            console.print(
                "Click a cable and break it. Ctrl-C ends everything. Journal and logs: "
                + str(folder),
                markup=False,
                soft_wrap=True,
            )
        if open_browser and url:
            webbrowser.open(url)

    return asyncio.run(_until_signal(launch, ready))


async def _until_signal(launch: object, ready: object) -> RunSummary | None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await launch.run(stop, ready)  # type: ignore[attr-defined, no-any-return]  # typed in launch
