"""Between a world and a bus: hands messages in, lets messages out at their moment.

The same shell serves all clocks: `step` is called by `serve` when wall time has come, or by a stepped run at each
barrier.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

import msgspec
import structlog

from gridloom.core.clock import Clock
from gridloom.core.errors import Malformed
from gridloom.field.control import ControlReply, decode_request, encode_reply
from gridloom.field.outbox import Emission
from gridloom.field.world import World
from gridloom.ioe import birth as births
from gridloom.ioe import subjects
from gridloom.ioe.bus import MESSAGE_ID, Bus, Message, Subscription, respond
from gridloom.ioe.frames import decode
from gridloom.ioe.subjects import Lane

log = structlog.get_logger(__name__)

FIELD_SPEED = "field.speed"
"""Where a field says that its accelerated clock has changed its speed (`SpeedChange` as JSON)."""


class SpeedChange(msgspec.Struct, frozen=True, kw_only=True):
    """The field's clock goes at another speed from now on."""

    at_ns: int
    """Grid time of the change [ns since 1970 UTC]."""
    speed: float
    """Grid seconds per wall second."""


class Shell:
    """One world on one bus."""

    def __init__(self, world: World, bus: Bus, clock: Clock) -> None:
        """Join the three; `attach` makes the world reachable."""
        self.world, self._bus, self._clock = world, bus, clock
        self._queue: list[tuple[int, int, Emission]] = []
        self._subscriptions: list[Subscription] = []
        self.when_asked: Callable[[], None] = lambda: None
        """Called after every message that the world has taken."""
        self.sent = 0
        """Messages handed to the bus."""

    async def attach(self) -> None:
        """Listen for commands, receipts and requests."""
        for pattern, handler in (
            (subjects.everything(Lane.COMMAND), self._on_message),
            (subjects.everything(Lane.RECEIPT), self._on_message),
            (subjects.FIELD_BIRTH, self._on_birth),
            (subjects.FIELD_CONTROL, self._on_control),
        ):
            self._subscriptions.append(await self._bus.subscribe(pattern, handler))

    async def detach(self) -> None:
        """Stop listening and write the rest of the truth."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions.clear()
        self.world.log.flush()

    @property
    def next_ns(self) -> int | None:
        """When `step` is needed next [ns]."""
        times = [time for time in (self.world.next_ns,) if time is not None]
        if self._queue:
            times.append(self._queue[0][0])
        return min(times, default=None)

    async def step(self, now_ns: int) -> None:
        """Let the world go on until `now_ns` and publish everything that is due by then, in order."""
        if now_ns > self.world.now_ns:
            self._take(self.world.advance(now_ns))
        while self._queue and self._queue[0][0] <= now_ns:
            _, _, emission = heapq.heappop(self._queue)
            self.sent += 1
            headers = {MESSAGE_ID: emission.message_id} if emission.message_id else None
            await self._bus.publish(emission.subject, emission.payload, headers=headers)
            if emission.subject.startswith("event."):
                # With the arrival of commands this gives the platform's true latency, on one clock.
                kind = decode(emission.payload).kind
                self.world.log.event(
                    self._clock.now_ns(), "event_out", emission.subject, kind.name.lower()
                )

    def _take(self, emissions: Iterable[Emission]) -> None:
        for one in emissions:
            heapq.heappush(self._queue, (one.due_ns, one.number, one))

    def _on_message(self, message: Message) -> None:
        if message.subject.startswith("command."):
            self.world.log.event(self._clock.now_ns(), "command_in", message.subject)
        self._take(self.world.receive(message.subject, message.data, self._clock.now_ns()))
        self.when_asked()

    async def _on_birth(self, message: Message) -> None:
        mode = "stepped" if self._clock.is_deterministic else "real"
        if hasattr(self._clock, "slow_down"):
            mode = "accelerated"
        birth = self.world.birth(clock=mode, speed=self._clock.speed)
        await respond(self._bus, message, births.encode(birth))

    async def _on_control(self, message: Message) -> None:
        try:
            request = decode_request(message.data)
        except Malformed as error:
            reply = ControlReply(ok=False, note=str(error))
        else:
            reply, emissions = self.world.control(request, self._clock.now_ns())
            self._take(emissions)
            self.when_asked()
            log.info("field_control", do=request.do, target=request.target, ok=reply.ok)
        await respond(self._bus, message, encode_reply(reply))
