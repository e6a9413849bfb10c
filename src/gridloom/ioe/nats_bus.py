"""The bus over NATS: core for what must be fast, JetStream for what must be kept.

The record (streams EVENTS and COMMANDS) is filled by the server from the very subjects that core messages travel on,
so keeping costs the sender nothing. Streams are made in the background: while JetStream is away or electing a leader,
core messages flow as if it did not exist.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, DiscardPolicy, StorageType, StreamConfig

from gridloom.core.errors import GridloomError, Unavailable
from gridloom.ioe.credentials import Credentials
from gridloom.ioe.message import MESSAGE_ID, Handler, Message
from gridloom.ioe.subjects import Lane, everything, split

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as NatsSubscription
    from nats.js import JetStreamContext

log = structlog.get_logger(__name__)

_DAY_S: Final = 86_400.0
_MEBIBYTE: Final = 1024 * 1024
_RECORD_BYTES: Final = 64 * _MEBIBYTE
"""Some 200,000 events a stream. A restarted server reads its record before it listens: more would keep all waiting."""
STREAMS: Final = (
    StreamConfig(
        name="EVENTS",
        subjects=[everything(Lane.EVENT)],
        storage=StorageType.FILE,
        max_bytes=_RECORD_BYTES,
        max_age=30 * _DAY_S,
        # A full record drops its oldest entries. It may never refuse, because the sender has already acted.
        discard=DiscardPolicy.OLD,
        duplicate_window=120.0,
    ),
    StreamConfig(
        name="COMMANDS",
        subjects=[everything(Lane.COMMAND), everything(Lane.ACK)],
        storage=StorageType.FILE,
        max_bytes=_RECORD_BYTES,
        max_age=30 * _DAY_S,
        discard=DiscardPolicy.OLD,
        duplicate_window=120.0,
    ),
)
_STREAM_OF: Final = {Lane.EVENT: "EVENTS", Lane.COMMAND: "COMMANDS", Lane.ACK: "COMMANDS"}
_RECORD_TIMEOUT_S: Final = 2.0
_FETCH_S: Final = 1.0
_MOST_BACK_OFF_S: Final = 5.0
_PENDING_BYTES: Final = 8 * _MEBIBYTE
_OF_THE_WIRE: Final = (nats.errors.Error, TimeoutError, OSError)
_REDELIVER_S: Final = 1.0


@dataclass(slots=True)
class _Subscribed:
    inner: NatsSubscription

    async def unsubscribe(self) -> None:
        with contextlib.suppress(nats.errors.Error):
            await self.inner.unsubscribe()


@dataclass(slots=True)
class _Reading:
    task: asyncio.Task[None]

    async def unsubscribe(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


class NatsBus:
    """A `Bus` over one NATS connection that comes back by itself when the server does."""

    def __init__(self, client: Client) -> None:
        """Wrap a connected client; use `connect`."""
        self._client = client
        self._record: JetStreamContext = client.jetstream(timeout=_RECORD_TIMEOUT_S)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_recorded = asyncio.Event()
        self.dropped = 0
        """Core messages given up because the server was away and the send buffer full."""
        self.overrun = 0
        """Times that a subscription dropped messages because its handler was too slow."""
        self.handler_errors = 0
        """Messages whose handler raised."""
        self.reconnects = 0
        self.is_connected = True
        self.is_closing = False

    @classmethod
    async def connect(
        cls,
        url: str,
        credentials: Credentials | None = None,
        *,
        name: str = "gridloom",
        timeout_s: float = 10.0,
    ) -> Self:
        """Connect to the server at `url` (`nats://host:port`).

        Raises:
            Unavailable: No server answered within `timeout_s` seconds, or it refused the credentials.
        """
        client = Client()
        bus_box: list[Self] = []
        last_error: list[Exception] = []

        async def on_error(error: Exception) -> None:
            last_error[:] = [_telling(last_error, error)]
            for bus in bus_box:
                bus.count(error)
            if isinstance(error, _OF_THE_WIRE) and not isinstance(error, GridloomError):
                log.debug("bus_error", name=name, error=repr(error))
            else:
                log.error("message_handler_failed", name=name, exc_info=error)

        async def on_disconnect() -> None:
            for bus in bus_box:
                bus.is_connected = False
                if not bus.is_closing:
                    log.warning("bus_disconnected", name=name, url=url)

        async def on_reconnect() -> None:
            for bus in bus_box:
                bus.is_connected = True
                bus.reconnects += 1
                log.info("bus_reconnected", name=name, url=url, times=bus.reconnects)

        try:
            async with asyncio.timeout(timeout_s):
                await client.connect(
                    url,
                    name=name,
                    user=credentials.user if credentials else None,
                    password=credentials.password if credentials else None,
                    error_cb=on_error,
                    disconnected_cb=on_disconnect,
                    reconnected_cb=on_reconnect,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.1,  # type: ignore[arg-type]  # seconds, annotated too narrowly
                    connect_timeout=2,
                    ping_interval=10,
                    pending_size=_PENDING_BYTES,
                )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            why = repr(last_error[0] if last_error else error)
            with contextlib.suppress(Exception):
                await client.close()
            raise Unavailable(f"no bus at {url} within {timeout_s} s: {why}") from None
        bus = cls(client)
        bus_box.append(bus)
        bus._start(bus._make_streams())
        return bus

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send at most once; while the server is away, a bounded buffer holds messages for it."""
        await self._publish(subject, data, dict(headers) if headers else None)

    async def subscribe(self, pattern: str, handler: Handler) -> _Subscribed:
        """Call `handler` for every message that `pattern` matches; survives reconnects."""

        async def received(raw: Msg) -> None:
            outcome = handler(_message(raw))
            if inspect.isawaitable(outcome):
                await outcome

        return _Subscribed(await self._client.subscribe(pattern, cb=received))

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        """Send and return the first answer."""
        try:
            answer = await self._client.request(subject, bytes(data), timeout=timeout_s)
        except nats.errors.NoRespondersError:
            raise Unavailable(f"nobody answers on {subject}") from None
        except (nats.errors.Error, TimeoutError):
            raise Unavailable(f"no answer on {subject} within {timeout_s} s") from None
        return bytes(answer.data)

    async def publish_durable(
        self, subject: str, data: bytes, *, message_id: str, timeout_s: float = 30.0
    ) -> None:
        """Send and return once the record holds it, trying again for `timeout_s` seconds."""
        wait_s, last = 0.05, "not tried"
        headers = {MESSAGE_ID: message_id}
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        await self._record.publish(subject, bytes(data), headers=headers)
                    except _OF_THE_WIRE as error:
                        last = repr(error)
                    else:
                        return
                    await asyncio.sleep(wait_s)
                    wait_s = min(2 * wait_s, _MOST_BACK_OFF_S)
        except TimeoutError:
            raise Unavailable(f"{subject} was not recorded within {timeout_s} s: {last}") from None

    async def subscribe_durable(self, pattern: str, durable: str, handler: Handler) -> _Reading:
        """Call `handler` for every recorded message of `pattern`; it is acknowledged when `handler` returns."""
        lane = split(pattern)[0]
        if lane not in _STREAM_OF:
            raise Unavailable(f"lane {lane!r} is not recorded; these are: {', '.join(_STREAM_OF)}")
        stream = _STREAM_OF[Lane(lane)]
        return _Reading(self._start(self._read_record(stream, pattern, durable, handler)))

    async def wait_recorded(self, timeout_s: float) -> bool:
        """Wait until the streams stand; return whether they do within `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_recorded.wait(), timeout_s)
        return self._is_recorded.is_set()

    async def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until the server has taken all that was published.

        Raises:
            Unavailable: The server did not answer within `timeout_s` seconds.
        """
        try:
            await self._client.flush(timeout=timeout_s)  # type: ignore[arg-type]  # same
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable(f"the bus does not answer: {error!r}") from None

    async def close(self) -> None:
        """Stop reading, send what is still buffered, disconnect."""
        self.is_closing = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            if self._client.is_connected:
                await self._client.flush(timeout=1)
        if not self._client.is_connected:
            # The client would write what is left to a transport that is gone, and fail half-way through closing.
            self._client._pending.clear()  # noqa: SLF001 - it offers no other way
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            await self._client.close()

    async def _publish(self, subject: str, data: bytes, headers: dict[str, str] | None) -> None:
        payload = data if isinstance(data, bytes) else bytes(data)
        try:
            await self._client.publish(subject, payload, headers=headers)
        except nats.errors.OutboundBufferLimitError:
            self.dropped += 1
        except (nats.errors.ConnectionClosedError, nats.errors.ConnectionDrainingError):
            raise Unavailable("the bus is closed") from None

    def count(self, error: Exception) -> None:
        """Count an error that the client reports."""
        if isinstance(error, nats.errors.SlowConsumerError):
            self.overrun += 1
        elif isinstance(error, GridloomError) or not isinstance(error, _OF_THE_WIRE):
            self.handler_errors += 1

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _make_streams(self) -> None:
        wait_s = 0.1
        for config in STREAMS:
            while not await self._made(config):
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _MOST_BACK_OFF_S)
        self._is_recorded.set()

    async def _made(self, config: StreamConfig) -> bool:
        try:
            await self._record.add_stream(config)
        except nats.js.errors.BadRequestError as error:
            # Another version made it with other limits: the record stands, which is what matters.
            log.warning("record_kept_with_other_limits", stream=config.name, error=str(error))
            return True
        except _OF_THE_WIRE as error:
            log.debug("record_away", stream=config.name, error=repr(error))
            return False
        return True

    async def _read_record(self, stream: str, pattern: str, durable: str, handler: Handler) -> None:
        wait_s = 0.1
        while True:
            try:
                reader = await self._record.pull_subscribe(
                    pattern,
                    durable=durable,
                    stream=stream,
                    config=ConsumerConfig(ack_wait=30.0, max_ack_pending=1024),
                )
                wait_s = 0.1
                try:
                    while True:
                        await self._read_batch(reader, handler)
                finally:
                    # Else the server would hand the next message to a request that nobody waits for any more.
                    with contextlib.suppress(nats.errors.Error):
                        await reader.unsubscribe()
            except _OF_THE_WIRE as error:
                log.debug("record_away", stream=stream, error=repr(error))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _MOST_BACK_OFF_S)

    async def _read_batch(
        self, reader: JetStreamContext.PullSubscription, handler: Handler
    ) -> None:
        try:
            batch = await reader.fetch(64, timeout=_FETCH_S)
        except (nats.errors.TimeoutError, TimeoutError):
            if not self._client.is_connected:
                raise
            return
        for raw in batch:
            try:
                outcome = handler(_message(raw))
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception:  # the top of a task; the message comes again
                self.handler_errors += 1
                log.exception("message_handler_failed", subject=raw.subject)
                await raw.nak(delay=_REDELIVER_S)
            else:
                await raw.ack()


def _telling(known: list[Exception], error: Exception) -> Exception:
    """Return the error that says why: a refusal is followed by the reset of its connection, which says nothing."""
    refused = (one for one in known if "authorization" in repr(one).lower())
    return next(refused, error)


def _message(raw: Msg) -> Message:
    return Message(raw.subject, raw.data, raw.headers or {}, raw.reply)
