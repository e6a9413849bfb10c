"""What every bus offers: messages, subscriptions and the `Bus` protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

MESSAGE_ID: Final = "Nats-Msg-Id"
"""Header by which the record keeps a message that was sent twice only once."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it arrived."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    reply: str = ""
    """Where an answer goes; empty if none is wanted."""


type Handler = Callable[[Message], Awaitable[None] | None]
"""Called once a message, in order of arrival; messages of one subscription never overlap."""


class Subscription(Protocol):
    """What `subscribe` returns."""

    async def unsubscribe(self) -> None:
        """Stop: the handler is not called again."""
        ...


class Bus(Protocol):
    """The road between field, platform and devices.

    Plain `publish` is at most once and fast: nothing behind it can delay it. The durable pair waits for the record.
    """

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send at most once; returns when handed to the wire, not when received."""
        ...

    async def subscribe(self, pattern: str, handler: Handler) -> Subscription:
        """Call `handler` for every message on a subject that `pattern` matches, from now on."""
        ...

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        """Send and return the first answer.

        Raises:
            Unavailable: Nobody listens, or no answer came within `timeout_s` seconds.
        """
        ...

    async def publish_durable(self, subject: str, data: bytes, *, message_id: str) -> None:
        """Send and return once the record holds it; the same `message_id` is kept once.

        Raises:
            Unavailable: The record did not confirm in time; it may or may not hold the message.
        """
        ...

    async def subscribe_durable(self, pattern: str, durable: str, handler: Handler) -> Subscription:
        """Call `handler` for every recorded message, at least once, resuming where `durable` stopped."""
        ...

    async def close(self) -> None:
        """Let go of everything; the bus cannot be used afterwards."""
        ...


async def respond(bus: Bus, message: Message, data: bytes) -> None:
    """Answer a request; does nothing for a message that wants no answer."""
    if message.reply:
        await bus.publish(message.reply, data)
