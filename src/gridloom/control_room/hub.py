"""One pump that packs each change once, and any number of browsers that take the packed bytes.

A browser that is slow never makes the others wait and never piles up memory: it has no queue. When it has taken
what it was sent, it is given the newest frame and the newest text of each topic that changed meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import structlog

from gridloom.control_room.alarms import alarm_board
from gridloom.control_room.feed import FeedEncoder
from gridloom.control_room.view import PlatformView, Topic

PLANS_SHOWN = 50
FAULTS_SHOWN = 20

log = structlog.get_logger()


class Listener:
    """One browser: the last frame it took and the topics that it has not taken yet."""

    def __init__(self) -> None:
        """Start with everything to be taken."""
        self.sequence = -1
        self.stale = set(Topic) - {Topic.STATE}
        self.wake = asyncio.Event()
        self.wake.set()


class Hub:
    """Watches the platform and offers its newest state and texts to every listener."""

    def __init__(self, view: PlatformView, *, rate_hz: float = 2.0) -> None:
        """Prepare a hub for `view` that sends at most `rate_hz` states a second."""
        self._view = view
        self._period_s = 1.0 / rate_hz
        self._encoder = FeedEncoder()
        self._time_ns = -1
        self._texts: dict[Topic, str] = {}
        self._changed = set(Topic)
        self._wake = asyncio.Event()
        self._listeners: set[Listener] = set()

    @property
    def listeners(self) -> int:
        """Number of browsers connected."""
        return len(self._listeners)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Pump as long as the context lasts."""
        loop = asyncio.get_running_loop()

        def changed(topic: Topic) -> None:
            loop.call_soon_threadsafe(self._mark, topic)

        unwatch = self._view.watch(changed)
        task = asyncio.create_task(self._pump(), name="control room pump")
        try:
            yield
        finally:
            unwatch()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @contextlib.contextmanager
    def listening(self) -> Iterator[Listener]:
        """Register a listener as long as the context lasts."""
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def take(self, listener: Listener) -> tuple[list[str], bytes]:
        """Wait for news for `listener`; return the texts and the frame (empty if it has the newest)."""
        await listener.wake.wait()
        listener.wake.clear()
        texts = [
            self._texts[topic]
            for topic in Topic
            if topic in listener.stale and topic in self._texts
        ]
        listener.stale.clear()
        frame = self._encoder.frame_after(listener.sequence) if self._encoder.sequence else b""
        listener.sequence = self._encoder.sequence if frame else listener.sequence
        return texts, frame

    def refresh(self) -> None:
        """Pack what changed since the last call, and wake the listeners."""
        changed = self._changed | {Topic.STATE, Topic.STATUS}
        live = self._view.live()
        if live is not None and live.time_ns != self._time_ns:
            self._time_ns = live.time_ns
            self._encoder.push(live)
        for topic in changed - {Topic.STATE}:
            self._texts[topic] = topic_text(self._view, topic)
        # Only now: what could not be packed stays on the list for the next time.
        self._changed -= changed
        for listener in self._listeners:
            listener.stale |= changed
            listener.wake.set()

    def _mark(self, topic: Topic) -> None:
        self._changed.add(topic)
        if topic is not Topic.STATE:
            self._wake.set()

    async def _pump(self) -> None:
        while True:
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001 - the top of a task: the page says that data are stale
                log.warning("control_room_refresh_failed", reason=repr(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._period_s):
                    await self._wake.wait()
                    # A burst of changes becomes one message, not a hundred.
                    await asyncio.sleep(min(0.05, self._period_s / 4))
            self._wake.clear()


def topic_text(view: PlatformView, topic: Topic) -> str:
    """Return the JSON message of one `topic`: its name and its whole newest content."""
    bodies: dict[Topic, Callable[[], object]] = {
        Topic.STATUS: view.status,
        Topic.ALARMS: lambda: alarm_board(view.alarms()),
        Topic.PLANS: lambda: view.plans(PLANS_SHOWN),
        Topic.FAULTS: lambda: view.faults(FAULTS_SHOWN),
        Topic.LOCKS: view.locks,
        Topic.AUTONOMY: view.autonomy,
    }
    return msgspec.json.encode({"topic": topic, "body": bodies[topic]()}).decode()
