"""The lanes and their promises, in one place.

telemetry  last value wins; gaps are counted          LatestValues, GapDetector
event      never lost, never delivered twice          EventSender, EventReceiver
command    signed, expiring, carried out at most once CommandSender, CommandReceiver
"""

from gridloom.ioe.commands import CommandDesk, CommandOutbox, CommandReceiver, CommandSender
from gridloom.ioe.events import EventInbox, EventOutbox, EventReceiver, EventSender
from gridloom.ioe.retry import RetryPolicy
from gridloom.ioe.telemetry import Gap, GapDetector, LatestValues, Readings, RowCounts

__all__ = [
    "CommandDesk",
    "CommandOutbox",
    "CommandReceiver",
    "CommandSender",
    "EventInbox",
    "EventOutbox",
    "EventReceiver",
    "EventSender",
    "Gap",
    "GapDetector",
    "LatestValues",
    "Readings",
    "RetryPolicy",
    "RowCounts",
]
