"""Events on their way out: sent at once, repeated until the platform has said that it has them."""

from __future__ import annotations

from gridloom.field.agenda import Agenda
from gridloom.field.outbox import Outbox
from gridloom.field.telemetry import Gateway
from gridloom.ioe import subjects
from gridloom.ioe.frames import Frame


class Events:
    """The sending side of the event lane, for all gateways."""

    def __init__(self, agenda: Agenda, outbox: Outbox) -> None:
        """Take the queue for repeats and the outbox for messages."""
        self._agenda, self._outbox = agenda, outbox

    def send(self, frame: Frame, gateway: Gateway, now_ns: int) -> None:
        """Send one event frame."""
        self._outbox.post_frame(subjects.event(gateway.path), frame, gateway.link)

    def on_receipt(self, data: bytes, now_ns: int) -> None:
        """Take the platform's receipt of an event; a repeat that waits for it is dropped."""
        del data, now_ns
