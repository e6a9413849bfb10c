"""The processes of a run: a bus, a field and a platform, started in order, watched, and ended in order.

    launcher (this) --+-- supervisor -- nats-server
                      +-- gridloom field
                      `-- gridloom platform -- event path

Whatever is killed is started again and goes on from its journal; when the launcher dies, everything ends.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from gridloom.cli.bus_address import credentials_of, resolve_bus
from gridloom.cli.process import Child
from gridloom.cli.ready import PlatformReady
from gridloom.cli.run_folder import table_path
from gridloom.cli.summary import RunSummary, platform_summary, summarise
from gridloom.core.errors import BadInput, Unavailable
from gridloom.core.units import NS_PER_S
from gridloom.field import ControlReply, ControlRequest, decode_reply, encode_request
from gridloom.ioe import subjects
from gridloom.ioe.bus import NatsBus
from gridloom.ioe.server import NatsServer
from gridloom.ioe.signing import Signer
from gridloom.ioe.supervisor import write_private
from gridloom.orchestrator.event_child import clear_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gridloom.cli.settings import Settings
    from gridloom.ioe.server import ServerAddress

log = structlog.get_logger(__name__)

_READY_WITHIN_S: Final = 180.0
_SETTLE_S: Final = 2.0
"""Wall time after the end of the run in which the last commands are answered."""


@dataclass(eq=False, kw_only=True)
class Launch:
    """One run on the real or the accelerated clock."""

    settings: Settings
    folder: Path
    faults: list[tuple[str, float]]
    readings_per_second: float = 0.0
    headless: bool = False
    _children: list[Child] = field(default_factory=list, init=False)
    _asked: set[str] = field(default_factory=set, init=False)
    """Lines that the field was told to break, without an answer."""

    async def run(self, stop: asyncio.Event, ready: Callable[[str], None]) -> RunSummary | None:
        """Start everything, play the faults, wait for the end, and return what happened.

        Args:
            stop: Ends the run early.
            ready: Called with the control room's address once the platform is ready to act.

        Raises:
            BadInput: A part ended because of what it was given; its last words are in the message.
            Unavailable: A part did not come up.
        """
        server = None if self.settings.bus else NatsServer(store=self.folder / "bus")
        address, ready_path = await asyncio.to_thread(self._open_bus, server)
        try:
            self._start_children(ready_path)
            platform = await self._wait_ready(stop)
            if platform is None:
                return None
            ready(platform.url)
            bus = await NatsBus.connect(address.url, credentials_of(address), name="launcher")
            try:
                await self._play(bus, stop)
            finally:
                await bus.close()
        finally:
            await asyncio.to_thread(self._stop_children)
            if server is not None:
                await asyncio.to_thread(server.stop)
        is_real = self.settings.clock == "real"
        counts = platform_summary(self.folder)
        return await asyncio.to_thread(summarise, self.folder, counts, is_wall_time=is_real)

    def _open_bus(self, server: NatsServer | None) -> tuple[ServerAddress, Path]:
        """Return where the bus is: the one that was given, or our own, started now."""
        if server is not None:
            return server.start(), server.ready_path
        address = resolve_bus(self.settings.bus)
        ready_path = self.folder / "bus-given.json"
        write_private(ready_path, msgspec.json.encode(address).decode())
        return address, ready_path

    def _start_children(self, bus: Path) -> None:
        settings, keys = self.settings, self.folder / "keys"
        keys.mkdir(exist_ok=True, mode=0o700)
        Signer.from_file(keys / "platform.key")
        common = [
            "--grid",
            settings.grid,
            "--bus",
            str(bus),
            "--seed",
            str(settings.seed),
            "--with-parent",
        ]
        field_flags = [
            "--start",
            settings.start,
            "--clock",
            settings.clock,
            "--speed",
            str(settings.speed),
            "--data",
            str(self.folder / "field"),
            "--public-key",
            str(keys / "platform.key.pub"),
            "--mv-share",
            str(settings.mv_share),
            "--meter-period-s",
            str(settings.meter_period_s),
            "--readings-per-second",
            str(self.readings_per_second),
            "--json",
        ]
        platform_flags = [
            "--mode",
            settings.mode,
            "--data",
            str(self.folder),
            "--key",
            str(keys / "platform.key"),
            "--estimate-period-s",
            str(settings.estimate_period_s),
            "--host",
            settings.host,
            "--port",
            str(settings.port),
            "--simulated",
            *(["--headless"] if self.headless else []),
            *(["--realtime"] if settings.realtime else []),
        ]
        self._children = [
            Child(
                name="field",
                arguments=["field", *common, *field_flags],
                log_path=self.folder / "field.log",
            ),
            Child(
                name="platform",
                arguments=["platform", *common, *platform_flags],
                log_path=self.folder / "platform.log",
            ),
        ]
        for child in self._children:
            child.start()

    @property
    def ready_path(self) -> Path:
        """The file by which the platform says that it is ready."""
        return self.folder / "platform-ready.json"

    async def _wait_ready(self, stop: asyncio.Event) -> PlatformReady | None:
        self.ready_path.unlink(missing_ok=True)
        deadline = time.monotonic() + _READY_WITHIN_S
        while not stop.is_set():
            if self.ready_path.exists():
                return msgspec.json.decode(self.ready_path.read_bytes(), type=PlatformReady)
            for child in self._children:
                if child.exit_code is not None:
                    message = f"the {child.name} ended before the start:\n{child.last_words()}"
                    raise BadInput(message)
            if time.monotonic() > deadline:
                message = f"the platform is not ready after {_READY_WITHIN_S:.0f} s; see {self.folder / 'platform.log'}"
                raise Unavailable(message)
            await asyncio.sleep(0.05)
        return None

    async def _play(self, bus: NatsBus, stop: asyncio.Event) -> None:
        """Break lines at their times and return when the run's time is over."""
        start_ns = await self._begin_ns(bus, stop)
        end_ns = (
            start_ns + round(self.settings.duration * NS_PER_S) if self.settings.duration else None
        )
        waiting = sorted(self.faults, key=lambda fault: fault[1], reverse=True)
        while not stop.is_set():
            for child in self._children:
                child.watch()
            now_ns = await self._now_ns(bus, start_ns)
            while waiting and now_ns >= start_ns + round(waiting[-1][1] * NS_PER_S):
                if not await self._break(bus, waiting[-1][0]):
                    break
                waiting.pop()
            if end_ns is not None and now_ns >= end_ns:
                await asyncio.sleep(_SETTLE_S)
                return
            try:
                await asyncio.wait_for(stop.wait(), 0.1)
            except TimeoutError:
                continue

    async def _begin_ns(self, bus: NatsBus, stop: asyncio.Event) -> int:
        """Return the field's time at the start, however long the bus takes to come back."""
        while not stop.is_set():
            try:
                return (await self._ask(bus, ControlRequest(do="status"))).at_ns
            except Unavailable:
                await asyncio.sleep(0.1)
        return 0

    async def _break(self, bus: NatsBus, line: str) -> bool:
        """Have the field break a line; return False while nobody answers."""
        try:
            reply = await self._ask(bus, ControlRequest(do="inject", target=line))
        except Unavailable:
            self._asked.add(line)
            return False
        if not reply.ok and line not in self._asked:
            raise BadInput(reply.note)
        # Refused after an answer that got lost: the line is broken already, as it should be.
        return True

    async def _now_ns(self, bus: NatsBus, otherwise: int) -> int:
        if not self.settings.duration and not self.faults:
            return otherwise
        try:
            return (await self._ask(bus, ControlRequest(do="status"))).at_ns
        except Unavailable:
            return otherwise

    async def _ask(self, bus: NatsBus, request: ControlRequest) -> ControlReply:
        return decode_reply(await bus.request(subjects.FIELD_CONTROL, encode_request(request), 5.0))

    def _stop_children(self) -> None:
        # The field first: an event that leaves it while the platform ends would look lost.
        for child in self._children:
            code = child.stop()
            log.debug("process_ended", process=child.name, exit_code=code, restarts=child.restarts)
        clear_up(self.folder, table_path(self.folder))
