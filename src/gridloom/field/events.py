"""Events on their way out: sent at once, repeated until the platform has said that it has them."""

from __future__ import annotations

import structlog

from gridloom.core.errors import Malformed, Unavailable
from gridloom.core.units import NS_PER_MS
from gridloom.field.agenda import Agenda
from gridloom.field.links import LinkProfile
from gridloom.field.outbox import Outbox
from gridloom.field.telemetry import Gateway
from gridloom.ioe import subjects
from gridloom.ioe.events import EventKey, EventOutbox, decode_receipt, message_id
from gridloom.ioe.frames import Frame, encode
from gridloom.ioe.retry import RetryPolicy

log = structlog.get_logger(__name__)

_ROUND_TRIPS = 3.0
"""A repeat waits for this many slow one-way trips: sooner would send twice what is merely on its way."""
_LEAST_WAIT_MS = 100.0


class Events:
    """The sending side of the event lane, for all gateways; repeats are paced by grid time."""

    def __init__(self, agenda: Agenda, outbox: Outbox) -> None:
        """Take the queue for repeats and the outbox for messages."""
        self._agenda, self._outbox = agenda, outbox
        self._held: dict[str, EventOutbox] = {}
        self._armed_ns: dict[str, int] = {}
        self._gateway: dict[str, Gateway] = {}
        self.sent = 0
        """Events sent, each counted once."""
        self.dropped = 0
        """Events given up: nobody answered for too long."""

    @property
    def waiting(self) -> int:
        """Events without a receipt so far."""
        return sum(len(held.queue) for held in self._held.values())

    def send(self, frame: Frame, gateway: Gateway, now_ns: int) -> None:
        """Send one event frame and hold it until its receipt comes."""
        self._gateway[gateway.name] = gateway
        held = self._held.setdefault(gateway.link.name, EventOutbox(_policy(gateway.link)))
        subject, payload = subjects.event(gateway.path), encode(frame)
        self.sent += 1
        try:
            held.post(frame.key, subject, payload, now_ns)
        except Unavailable:
            self.dropped += 1
            log.warning("event_not_held", source=gateway.name)
        self._post(frame.key, subject, payload, now_ns)
        self._arm(gateway.link.name)

    def on_receipt(self, data: bytes, now_ns: int) -> None:
        """Take the platform's receipt of an event; it travels back over the gateway's link."""
        try:
            key = decode_receipt(data)
        except Malformed as error:
            log.warning("receipt_malformed", error=str(error))
            return
        gateway = self._gateway.get(key[0])
        if gateway is None:
            return
        delay_ns = self._outbox.inbound_ns(gateway.name, gateway.link)
        if delay_ns is not None:
            held = self._held[gateway.link.name]
            self._agenda.add(now_ns + delay_ns, lambda _: self._let_go(held, key))

    @staticmethod
    def _let_go(held: EventOutbox, key: EventKey) -> None:
        held.receipt(key)

    def _post(self, key: EventKey, subject: str, payload: bytes, now_ns: int) -> None:
        gateway = self._gateway[key[0]]
        self._outbox.post(
            subject, payload, gateway.name, gateway.link, now_ns, message_id=message_id(key)
        )

    def _arm(self, link: str) -> None:
        """Make sure that the next repeat is on the agenda."""
        queue = self._held[link].queue
        if not len(queue):
            return
        due_ns = queue.next_due_ns
        if due_ns < self._armed_ns.get(link, due_ns + 1):
            self._armed_ns[link] = due_ns
            self._agenda.add(due_ns, lambda at: self._repeat(link, at))

    def _repeat(self, link: str, now_ns: int) -> None:
        if self._armed_ns.get(link) != now_ns:
            return
        del self._armed_ns[link]
        again, over = self._held[link].queue.due(now_ns)
        for key, posted in again:
            self._post(key, posted.subject, posted.payload, now_ns)
        self.dropped += len(over)
        self._arm(link)


def _policy(link: LinkProfile) -> RetryPolicy:
    first_ms = max(_ROUND_TRIPS * link.p99_ms, _LEAST_WAIT_MS)
    first_ns = round(first_ms * NS_PER_MS)
    return RetryPolicy(first_ns=first_ns, most_ns=max(8 * first_ns, RetryPolicy().most_ns))
