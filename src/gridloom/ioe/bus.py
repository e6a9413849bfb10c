"""The bus: one protocol, two roads. `InProcessBus` for tests and stepped runs, `NatsBus` for everything else."""

from gridloom.ioe.credentials import Credentials
from gridloom.ioe.in_process import InProcessBus
from gridloom.ioe.message import MESSAGE_ID, Bus, Handler, Message, Subscription, respond
from gridloom.ioe.nats_bus import NatsBus

__all__ = [
    "MESSAGE_ID",
    "Bus",
    "Credentials",
    "Handler",
    "InProcessBus",
    "Message",
    "NatsBus",
    "Subscription",
    "respond",
]
