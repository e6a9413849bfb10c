"""The bus without a wire: for tests, libraries and stepped runs.

Messages are delivered in the order in which they were published (with a latency model: in the order in which they
fall due), and to subscribers in the order in which they subscribed, so that a run can be repeated byte by byte.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gridloom.core.errors import BadInput, Unavailable
from gridloom.ioe.message import MESSAGE_ID, Handler, Message
from gridloom.ioe.subjects import RECORDED, matches, split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gridloom.core.clock import SteppedClock

RECORD_LIMIT: Final = 200_000
_INBOX: Final = "_INBOX."


@dataclass(eq=False, slots=True)
class _Subscribed:
    bus: InProcessBus
    pattern: str
    handler: Handler

    async def unsubscribe(self) -> None:
        self.bus.drop(self)


@dataclass(slots=True)
class _Record:
    """What JetStream is on the wire: the last messages of the recorded lanes, each id once."""

    messages: deque[tuple[int, Message]] = field(default_factory=deque)
    seen: set[str] = field(default_factory=set)
    total: int = 0

    def keep(self, message: Message) -> bool:
        """Keep `message` unless its id is already there; return whether it was new."""
        if split(message.subject)[0] not in RECORDED:
            return False
        name = message.headers.get(MESSAGE_ID)
        if name is not None and name in self.seen:
            return False
        if name is not None:
            self.seen.add(name)
        self.messages.append((self.total, message))
        self.total += 1
        if len(self.messages) > RECORD_LIMIT:
            oldest = self.messages.popleft()[1].headers.get(MESSAGE_ID)
            self.seen.discard(oldest or "")
        return True


class InProcessBus:
    """A `Bus` inside one event loop.

    Without a latency model every message is delivered before `publish` returns, unless it was published by a handler:
    then it is delivered right after that handler's message. With one, messages wait for `run_until`.
    """

    def __init__(
        self,
        clock: SteppedClock | None = None,
        latency_ns: Callable[[Message], int] | None = None,
    ) -> None:
        """Make a bus.

        Args:
            clock: Stepped clock that `run_until` moves; needed with a latency model.
            latency_ns: Returns how long a message travels [ns]; a negative number loses it.
        """
        if latency_ns is not None and clock is None:
            raise BadInput("a latency model needs a stepped clock")
        self._clock, self._latency_ns = clock, latency_ns
        self._subscribed: list[_Subscribed] = []
        self._durable: dict[str, int] = {}
        self._record = _Record()
        self._ready: deque[Message] = deque()
        self._travelling: list[tuple[int, int, Message]] = []
        self._inboxes: dict[str, asyncio.Future[bytes]] = {}
        self._sent = 0
        self._is_draining = self._is_closed = False
        self.lost = 0

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send at most once."""
        await self._send(Message(subject, bytes(data), dict(headers or {})))

    async def subscribe(self, pattern: str, handler: Handler) -> _Subscribed:
        """Call `handler` for every message that `pattern` matches."""
        subscribed = _Subscribed(self, pattern, handler)
        self._subscribed.append(subscribed)
        return subscribed

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        """Send and return the first answer; a request does not wait in the queue and takes no time."""
        name = f"{_INBOX}{self._sent}"
        self._sent += 1
        listeners = [one for one in self._subscribed if matches(one.pattern, subject)]
        if not listeners:
            raise Unavailable(f"nobody answers on {subject}")
        answer = self._inboxes[name] = asyncio.get_running_loop().create_future()
        try:
            for one in listeners:
                await _call(one.handler, Message(subject, bytes(data), {}, name))
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise Unavailable(f"no answer on {subject} within {timeout_s} s") from None
        finally:
            del self._inboxes[name]

    async def publish_durable(self, subject: str, data: bytes, *, message_id: str) -> None:
        """Send and keep; the same `message_id` is kept once."""
        await self._send(Message(subject, bytes(data), {MESSAGE_ID: message_id}))

    async def subscribe_durable(self, pattern: str, durable: str, handler: Handler) -> _Subscribed:
        """Call `handler` for every recorded message that `durable` has not seen, then for new ones."""

        async def advance(_: Message) -> None:
            done = self._durable.get(durable, 0)
            for number, message in list(self._record.messages):
                if number >= done:
                    self._durable[durable] = number + 1
                    if matches(pattern, message.subject):
                        await _call(handler, message)

        await advance(Message(pattern, b""))
        return await self.subscribe(pattern, advance)

    async def close(self) -> None:
        """Drop all subscriptions and everything on the way."""
        self._is_closed = True
        self._subscribed.clear()
        self._travelling.clear()
        self._ready.clear()

    @property
    def next_due_ns(self) -> int | None:
        """Grid time at which the next travelling message arrives [ns], or None."""
        return self._travelling[0][0] if self._travelling else None

    async def run_until(self, time_ns: int) -> None:
        """Deliver all that falls due up to `time_ns`, in order, moving the clock along and to `time_ns`."""
        if self._clock is None:
            raise BadInput("run_until needs a bus with a stepped clock")
        while self._travelling and self._travelling[0][0] <= time_ns:
            due_ns, _, message = heapq.heappop(self._travelling)
            self._clock.advance_to(max(due_ns, self._clock.now_ns()))
            self._ready.append(message)
            await self._drain()
        self._clock.advance_to(time_ns)

    def drop(self, subscribed: _Subscribed) -> None:
        """Forget a subscription."""
        if subscribed in self._subscribed:
            self._subscribed.remove(subscribed)

    async def _send(self, message: Message) -> None:
        if self._is_closed:
            raise Unavailable("the bus is closed")
        if message.subject.startswith(_INBOX):
            answer = self._inboxes.get(message.subject)
            if answer is not None and not answer.done():
                answer.set_result(message.data)
            return
        if self._latency_ns is None or self._clock is None:
            self._ready.append(message)
            await self._drain()
            return
        travel_ns = self._latency_ns(message)
        if travel_ns < 0:
            self.lost += 1
            return
        self._sent += 1
        heapq.heappush(self._travelling, (self._clock.now_ns() + travel_ns, self._sent, message))

    async def _drain(self) -> None:
        if self._is_draining:
            return
        self._is_draining = True
        try:
            while self._ready:
                message = self._ready.popleft()
                self._record.keep(message)
                for one in tuple(self._subscribed):
                    if matches(one.pattern, message.subject):
                        await _call(one.handler, message)
        finally:
            self._is_draining = False


async def _call(handler: Handler, message: Message) -> None:
    outcome = handler(message)
    if inspect.isawaitable(outcome):
        await outcome
