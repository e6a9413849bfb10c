"""The command lane: signed orders that are carried out at most once, and answers that say what became of them.

The sender repeats an order until the device answers or the order expires. The device remembers an order before it
moves, so that repeating is safe, and answers a repeated one with what became of the first. `CommandOutbox` and
`CommandDesk` are pure; `CommandSender` and `CommandReceiver` put them on a bus.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Literal, cast

import msgspec
import structlog

from gridloom.core.errors import Malformed, Unavailable
from gridloom.core.plans import Acknowledgement, Command
from gridloom.core.units import NS_PER_S
from gridloom.edge.guard import CommandGuard, Decision
from gridloom.ioe import subjects
from gridloom.ioe.decoding import DECODE_ERRORS
from gridloom.ioe.message import MESSAGE_ID, Bus, Message, Subscription
from gridloom.ioe.pacing import Pacer, pace_ns
from gridloom.ioe.retry import RetryPolicy, RetryQueue

if TYPE_CHECKING:
    from collections.abc import Buffer

    from gridloom.core.clock import Clock
    from gridloom.ioe.signing import Signer

log = structlog.get_logger(__name__)

type Execute = Callable[[Command], Awaitable[bool]]
"""Carries an order out; returns whether the device stands as ordered."""

_ASK_AGAIN_NS: Final = 2 * NS_PER_S
"""After `accepted` the device is moving: ask again this much later, in case its last answer was lost."""
_ACK_ENCODER: Final = msgspec.msgpack.Encoder()
_ACK_DECODER: Final = msgspec.msgpack.Decoder(Acknowledgement)
_ANSWERS_KEPT: Final = 4096


def encode_ack(answer: Acknowledgement) -> bytes:
    """Return the bytes of an answer."""
    return _ACK_ENCODER.encode(answer)


def decode_ack(data: Buffer) -> Acknowledgement:
    """Return the answer in `data`.

    Raises:
        Malformed: The bytes are no answer.
    """
    try:
        return _ACK_DECODER.decode(data)
    except DECODE_ERRORS as error:
        raise Malformed(f"not an acknowledgement: {error}") from None


class CommandOutbox:
    """Orders that wait for their last answer. Pure."""

    def __init__(self, policy: RetryPolicy | None = None) -> None:
        """Make an empty outbox."""
        self.queue: RetryQueue[str, tuple[str, bytes]] = RetryQueue(policy)

    def post(self, key: str, subject: str, envelope: bytes, now_ns: int, until_ns: int) -> None:
        """Hold an order; the caller sends it now. `until_ns` is its expiry on the outbox's time.

        Raises:
            Unavailable: Too many orders are unanswered.
        """
        self.queue.add(key, (subject, envelope), now_ns, until_ns=until_ns)

    def answer(self, answer: Acknowledgement, now_ns: int) -> Acknowledgement | None:
        """Take a device's answer; return it if it is the last one on an order held here."""
        if answer.key not in self.queue:
            return None
        final = settled(answer)
        if final is None:
            self.queue.postpone(answer.key, now_ns + _ASK_AGAIN_NS)
            return None
        self.queue.answer(answer.key)
        return final


def settled(answer: Acknowledgement) -> Acknowledgement | None:
    """Return the answer that ends an order, or None if another one follows.

    A repeated order is answered with `duplicate`, whose note says what became of the first (`done`, `failed`).
    """
    if answer.outcome == "accepted":
        return None
    if answer.outcome != "duplicate":
        return answer
    if answer.note in {"done", "failed"}:
        outcome = cast(Literal["done", "failed"], answer.note)
        return msgspec.structs.replace(answer, outcome=outcome, note="said again")
    return None


class CommandDesk:
    """The device's side: decides, remembers, answers. Pure."""

    def __init__(self, guard: CommandGuard[Command]) -> None:
        """Make a desk in front of `guard`."""
        self.guard = guard
        self._ended: OrderedDict[str, str] = OrderedDict()

    def take(self, envelope: bytes, now_ns: int) -> tuple[Acknowledgement, Command | None]:
        """Return the answer to an envelope, and the order if it shall be carried out now."""
        decision: Decision[Command] = self.guard.check(envelope, now_ns)
        note = decision.note
        if decision.outcome == "duplicate":
            note = self._ended.get(decision.key, "still under way")
        answer = Acknowledgement(
            key=decision.key, outcome=decision.outcome, at_ns=now_ns, note=note
        )
        return answer, decision.order if decision.is_accepted else None

    def end(self, key: str, *, succeeded: bool, now_ns: int, note: str = "") -> Acknowledgement:
        """Return the last answer to an order, and remember it."""
        outcome: Literal["done", "failed"] = "done" if succeeded else "failed"
        self._ended[key] = outcome
        if len(self._ended) > _ANSWERS_KEPT:
            self._ended.popitem(last=False)
        return Acknowledgement(key=key, outcome=outcome, at_ns=now_ns, note=note)

    def save(self) -> bytes:
        """Return all that must outlive a restart."""
        return msgspec.msgpack.encode((self.guard.save(), list(self._ended.items())))

    def restore(self, state: bytes) -> None:
        """Take over what `save` returned.

        Raises:
            Malformed: The bytes are damaged; call the guard's `forget_before` then.
        """
        try:
            guard, ended = msgspec.msgpack.decode(state, type=tuple[bytes, list[tuple[str, str]]])
        except DECODE_ERRORS as error:
            raise Malformed(f"saved desk is damaged: {error}") from None
        self.guard.restore(guard)
        self._ended = OrderedDict(ended)


class CommandSender:
    """Signs orders, sends them until they are answered, and returns the last answer."""

    def __init__(
        self, bus: Bus, clock: Clock, signer: Signer, policy: RetryPolicy | None = None
    ) -> None:
        """Make a sender; `start` makes it listen for answers."""
        self._bus, self._clock, self._signer = bus, clock, signer
        self.outbox = CommandOutbox(policy)
        self._pacer = Pacer(clock, lambda: self.outbox.queue.next_due_ns, self.tick)
        self._waiting: dict[str, asyncio.Future[Acknowledgement]] = {}
        self._expires_ns: dict[str, int] = {}
        self._answers: Subscription | None = None
        self.malformed = 0

    async def start(self) -> None:
        """Listen for answers, and on a running clock send again by itself."""
        pattern = subjects.everything(subjects.Lane.ACK)
        self._answers = await self._bus.subscribe(pattern, self._received)
        self._pacer.start()

    async def post(self, cell_path: str, command: Command) -> asyncio.Future[Acknowledgement]:
        """Send `command` to the devices of a cell; the future gets the last answer.

        Without an answer until the order expires, the answer is `expired` and its note says that what became of
        the order is not known.

        Raises:
            Unavailable: Too many orders are unanswered.
        """
        waiting = self._waiting.get(command.key)
        if waiting is not None:
            return waiting
        subject, envelope = subjects.command(cell_path), self._signer.sign(command)
        self._hold(command.key, subject, envelope, command.expires_ns)
        self._expires_ns[command.key] = command.expires_ns
        answer = self._waiting[command.key] = asyncio.get_running_loop().create_future()
        self._pacer.nudge()
        await self._publish(command.key, subject, envelope)
        return answer

    async def send(self, cell_path: str, command: Command) -> Acknowledgement:
        """Send `command` and return its last answer; see `post`."""
        return await (await self.post(cell_path, command))

    async def tick(self) -> None:
        """Send again what has waited long enough; call it at each step of a stepped clock."""
        again, over = self.outbox.queue.due(pace_ns(self._clock))
        for key, (subject, envelope) in again:
            await self._publish(key, subject, envelope)
        for key, (subject, envelope) in over:
            if self._clock.now_ns() < self._expires_ns[key]:
                # The clock was slowed down since: the order lives longer than it seemed.
                self._hold(key, subject, envelope, self._expires_ns[key])
                await self._publish(key, subject, envelope)
                continue
            note = "no answer before its expiry: not known whether it was carried out"
            at_ns = self._clock.now_ns()
            self._settle(Acknowledgement(key=key, outcome="expired", at_ns=at_ns, note=note))

    async def stop(self) -> None:
        """Stop sending again; whoever waits for an answer gets `Unavailable`."""
        await self._pacer.stop()
        if self._answers is not None:
            await self._answers.unsubscribe()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Unavailable("the sender of commands has stopped"))
                answer.exception()
        self._waiting.clear()

    def _hold(self, key: str, subject: str, envelope: bytes, expires_ns: int) -> None:
        now_ns = pace_ns(self._clock)
        left_ns = round((expires_ns - self._clock.now_ns()) / self._clock.speed)
        self.outbox.post(key, subject, envelope, now_ns, now_ns + max(left_ns, 0))

    async def _publish(self, key: str, subject: str, envelope: bytes) -> None:
        # Without a reply subject: else the record would answer too.
        headers = {MESSAGE_ID: subjects.token(key)}
        await self._bus.publish(subject, envelope, headers=headers)

    def _received(self, message: Message) -> None:
        try:
            answer = decode_ack(message.data)
        except Malformed as error:
            self.malformed += 1
            log.warning("ack_malformed", subject=message.subject, error=str(error))
            return
        final = self.outbox.answer(answer, pace_ns(self._clock))
        if final is not None:
            self._settle(final)

    def _settle(self, final: Acknowledgement) -> None:
        self._expires_ns.pop(final.key, None)
        answer = self._waiting.pop(final.key, None)
        if answer is not None and not answer.done():
            answer.set_result(final)


class CommandReceiver:
    """A device, or the gateway of a cell, that takes orders from a bus."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        desk: CommandDesk,
        execute: Execute,
        *,
        keep: Callable[[bytes], None] | None = None,
    ) -> None:
        """Make a receiver; `start` makes it listen.

        Args:
            bus: Where orders come from and answers go.
            clock: The device's clock.
            desk: Decides and remembers.
            execute: Carries one order out.
            keep: Stores the desk's state, durably, before each order is carried out and after it has ended.
        """
        self._bus, self._clock, self._desk = bus, clock, desk
        self._execute, self._keep = execute, keep
        self._orders: Subscription | None = None
        self._moving: set[asyncio.Task[None]] = set()

    async def start(self, cell_path: str) -> None:
        """Take orders for the cell at `cell_path`."""
        self._orders = await self._bus.subscribe(subjects.command(cell_path), self._received)

    async def stop(self) -> None:
        """Stop listening and wait for movements under way."""
        if self._orders is not None:
            await self._orders.unsubscribe()
        await asyncio.gather(*self._moving)

    async def _received(self, message: Message) -> None:
        answer, order = self._desk.take(message.data, self._clock.now_ns())
        if order is not None and self._keep is not None:
            self._keep(self._desk.save())
        path = subjects.split(message.subject)[1]
        await self._answer(path, answer)
        if order is not None:
            task = asyncio.create_task(self._carry_out(order, path))
            self._moving.add(task)
            task.add_done_callback(self._moving.discard)

    async def _carry_out(self, order: Command, path: str) -> None:
        note = ""
        try:
            succeeded = await self._execute(order)
        except (
            Exception
        ):  # the top of a task: the sender must hear of it, and the next order is taken
            log.exception("order_failed", key=order.key)
            succeeded, note = (
                False,
                "the device could not carry it out; its position is to be looked at",
            )
        now_ns = self._clock.now_ns()
        answer = self._desk.end(order.key, succeeded=succeeded, now_ns=now_ns, note=note)
        if self._keep is not None:
            self._keep(self._desk.save())
        await self._answer(path, answer)

    async def _answer(self, path: str, answer: Acknowledgement) -> None:
        await self._bus.publish(subjects.ack(path), encode_ack(answer))
