"""The event lane: no event lost, none delivered twice, and JetStream never in the way.

The sender numbers each event (source, epoch, sequence), sends it on core NATS and again with growing waits until a
receipt names it. The receiver delivers each number once and sends a receipt every time. The same messages, under the
same id, are what the record keeps. `EventOutbox` and `EventInbox` are pure; the two shells put them on a bus.
"""

from __future__ import annotations

import inspect
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from gridloom.core.errors import Malformed
from gridloom.ioe import subjects
from gridloom.ioe.decoding import DECODE_ERRORS
from gridloom.ioe.frames import MAX_SOURCE_BYTES, Frame, decode, encode
from gridloom.ioe.message import MESSAGE_ID, Bus, Message, Subscription
from gridloom.ioe.pacing import Pacer, pace_ns
from gridloom.ioe.retry import RetryPolicy, RetryQueue

if TYPE_CHECKING:
    from collections.abc import Buffer

    from gridloom.core.clock import Clock

log = structlog.get_logger(__name__)

type EventKey = tuple[str, int, int]
"""Source, epoch, sequence."""
type EventHandler = Callable[[Frame, str], Awaitable[None] | None]
"""Called once an event, with the frame and the subject that it came on."""

_RECEIPT: Final = struct.Struct("<2sIQ")
_RECEIPT_MAGIC: Final = b"GR"
_EPOCHS_KEPT: Final = 4
_MOST_AHEAD: Final = 65_536


def message_id(key: EventKey) -> str:
    """Return the id under which the record keeps an event."""
    return f"{subjects.token(key[0])}/{key[1]}/{key[2]}"


def encode_receipt(key: EventKey) -> bytes:
    """Return the bytes that tell the sender: event `key` has arrived."""
    return _RECEIPT.pack(_RECEIPT_MAGIC, key[1], key[2]) + key[0].encode("ascii")


def decode_receipt(data: Buffer) -> EventKey:
    """Return the key in a receipt.

    Raises:
        Malformed: The bytes are no receipt.
    """
    raw = bytes(data)
    name = raw[_RECEIPT.size :]
    if not 0 < len(name) <= MAX_SOURCE_BYTES or not name.isascii():
        raise Malformed(f"{len(raw)} bytes that are no receipt")
    magic, epoch, sequence = _RECEIPT.unpack_from(raw)
    if magic != _RECEIPT_MAGIC:
        raise Malformed(f"a receipt starts with {_RECEIPT_MAGIC!r}, not {magic!r}")
    return name.decode("ascii"), epoch, sequence


class Posted(msgspec.Struct, frozen=True):
    """An event on its way."""

    subject: str
    payload: bytes


class EventOutbox:
    """Events of one or more sources that wait for their receipts. Pure."""

    def __init__(self, policy: RetryPolicy | None = None) -> None:
        """Make an empty outbox."""
        self.queue: RetryQueue[EventKey, Posted] = RetryQueue(policy)

    def post(self, key: EventKey, subject: str, payload: bytes, now_ns: int) -> None:
        """Hold the event until its receipt comes; the caller sends it now.

        Raises:
            Unavailable: Too many events are unanswered.
        """
        self.queue.add(key, Posted(subject, payload), now_ns)

    def receipt(self, key: EventKey) -> bool:
        """Let go of an event; return whether it was held."""
        return self.queue.answer(key) is not None

    def save(self) -> bytes:
        """Return all that must outlive a restart of the sender."""
        return msgspec.msgpack.encode(self.queue.items())

    def restore(self, state: bytes, now_ns: int) -> None:
        """Hold again what `save` held, to be sent at the next tick.

        Raises:
            Malformed: The bytes are damaged.
        """
        try:
            held = msgspec.msgpack.decode(state, type=tuple[tuple[EventKey, Posted], ...])
        except DECODE_ERRORS as error:
            raise Malformed(f"saved events are damaged: {error}") from None
        for key, posted in held:
            self.queue.add(key, posted, now_ns)
            self.queue.postpone(key, now_ns)


@dataclass(slots=True)
class _Seen:
    """Which numbers of one source and epoch have been delivered."""

    below: int = 0
    """All numbers below this one."""
    ahead: set[int] = field(default_factory=set)

    def __contains__(self, sequence: int) -> bool:
        return sequence < self.below or sequence in self.ahead

    def add(self, sequence: int) -> None:
        self.ahead.add(sequence)
        if len(self.ahead) > _MOST_AHEAD:
            # A number that its sender gave up would otherwise hold all later ones here for ever.
            self.below = min(self.ahead)
        while self.below in self.ahead:
            self.ahead.discard(self.below)
            self.below += 1


_NOTHING: Final = _Seen()


class EventInbox:
    """Which events have been delivered. Pure; save it with the effect of an event to be exact over restarts."""

    def __init__(self) -> None:
        """Make an inbox that has seen nothing."""
        self._seen: dict[str, dict[int, _Seen]] = {}
        self.delivered = self.repeated = 0

    def is_new(self, key: EventKey) -> bool:
        """Whether the event has not been delivered yet; counts it as repeated if it has."""
        source, epoch, sequence = key
        epochs = self._seen.get(source, {})
        is_new = sequence not in epochs.get(epoch, _NOTHING)
        if len(epochs) == _EPOCHS_KEPT and epoch < min(epochs):
            is_new = False  # older than all that are kept: a very late repetition
        self.repeated += not is_new
        return is_new

    def mark(self, key: EventKey) -> None:
        """Remember that the event has been delivered."""
        source, epoch, sequence = key
        epochs = self._seen.setdefault(source, {})
        epochs.setdefault(epoch, _Seen()).add(sequence)
        if len(epochs) > _EPOCHS_KEPT:
            del epochs[min(epochs)]
        self.delivered += 1

    def save(self) -> bytes:
        """Return all that must outlive a restart of the receiver."""
        state = {
            source: {epoch: (seen.below, sorted(seen.ahead)) for epoch, seen in epochs.items()}
            for source, epochs in self._seen.items()
        }
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        """Take over what `save` returned.

        Raises:
            Malformed: The bytes are damaged.
        """
        shape = dict[str, dict[int, tuple[int, list[int]]]]
        try:
            read = msgspec.msgpack.decode(state, type=shape)
        except DECODE_ERRORS as error:
            raise Malformed(f"saved inbox is damaged: {error}") from None
        self._seen = {
            source: {epoch: _Seen(below, set(ahead)) for epoch, (below, ahead) in epochs.items()}
            for source, epochs in read.items()
        }


class EventSender:
    """Puts events on a bus until they are received."""

    def __init__(self, bus: Bus, clock: Clock, policy: RetryPolicy | None = None) -> None:
        """Make a sender; `start` makes it listen for receipts."""
        self._bus, self._clock = bus, clock
        self.outbox = EventOutbox(policy)
        self._pacer = Pacer(clock, lambda: self.outbox.queue.next_due_ns, self.tick)
        self._receipts: Subscription | None = None
        self.malformed = 0

    async def start(self) -> None:
        """Listen for receipts, and on a running clock send again by itself."""
        pattern = subjects.everything(subjects.Lane.RECEIPT)
        self._receipts = await self._bus.subscribe(pattern, self._received)
        self._pacer.start()

    async def send(self, subject: str, frame: Frame) -> None:
        """Send `frame`, which carries its number, on `subject`; returns at once.

        Raises:
            Unavailable: Too many events are unanswered.
        """
        await self.send_bytes(subject, frame.key, encode(frame))

    async def send_bytes(self, subject: str, key: EventKey, payload: bytes) -> None:
        """Send an event that is encoded already."""
        self.outbox.post(key, subject, payload, pace_ns(self._clock))
        self._pacer.nudge()
        await self._publish(key, Posted(subject, payload))

    async def tick(self) -> None:
        """Send again what has waited long enough; call it at each step of a stepped clock."""
        again, over = self.outbox.queue.due(pace_ns(self._clock))
        for key, posted in again:
            await self._publish(key, posted)
        for key, posted in over:
            log.error("event_given_up", key=message_id(key), subject=posted.subject)

    async def stop(self) -> None:
        """Stop sending again; what waits stays in `outbox`."""
        await self._pacer.stop()
        if self._receipts is not None:
            await self._receipts.unsubscribe()

    async def _publish(self, key: EventKey, posted: Posted) -> None:
        # Without a reply subject: else the record would answer too, and its answer could be taken for a receipt.
        headers = {MESSAGE_ID: message_id(key)}
        await self._bus.publish(posted.subject, posted.payload, headers=headers)

    def _received(self, message: Message) -> None:
        try:
            self.outbox.receipt(decode_receipt(message.data))
        except Malformed as error:
            self.malformed += 1
            log.warning("receipt_malformed", subject=message.subject, error=str(error))


class EventReceiver:
    """Delivers each event once to a handler, and says so to its sender."""

    def __init__(self, bus: Bus, handler: EventHandler) -> None:
        """Make a receiver; `start` makes it listen."""
        self._bus, self._handler = bus, handler
        self.inbox = EventInbox()
        self.malformed = 0
        self._events: Subscription | None = None

    async def start(self, pattern: str = "event.>") -> None:
        """Listen for events on `pattern`."""
        self._events = await self._bus.subscribe(pattern, self._received)

    async def stop(self) -> None:
        """Stop listening."""
        if self._events is not None:
            await self._events.unsubscribe()

    async def _received(self, message: Message) -> None:
        try:
            frame = decode(message.data)
        except Malformed as error:
            self.malformed += 1
            log.warning("event_malformed", subject=message.subject, error=str(error))
            return
        if self.inbox.is_new(frame.key):
            outcome = self._handler(frame, message.subject)
            if inspect.isawaitable(outcome):
                await outcome
            self.inbox.mark(frame.key)
        path = subjects.split(message.subject)[1]
        await self._bus.publish(subjects.receipt(path), encode_receipt(frame.key))
