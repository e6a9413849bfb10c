"""What must not be forgotten: the journal, the event path's ring, the ledger and the history of readings.

Nothing here decides anything. What a kill and what a power cut may lose stands in docs/explanation/durability.md.
The history's engines are heavy and load on first use, so that the event path's process, which needs the ring
alone, never loads them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from gridloom.store.chain import Entry, Head, VerifyResult
from gridloom.store.drain import Drained, drain_ring
from gridloom.store.journal import Draft, Journal
from gridloom.store.journal_reader import JournalReader
from gridloom.store.ledger import Account, Ledger, Posting, StatementLine, Transaction, Unit
from gridloom.store.replay import Replayed, replay
from gridloom.store.ring import Ring, RingReader, RingRecord

if TYPE_CHECKING:
    from gridloom.store.history import History, HistoryReader, Retention, Rows

__all__ = [
    "Account",
    "Draft",
    "Drained",
    "Entry",
    "Head",
    "History",
    "HistoryReader",
    "Journal",
    "JournalReader",
    "Ledger",
    "Posting",
    "Replayed",
    "Retention",
    "Ring",
    "RingReader",
    "RingRecord",
    "Rows",
    "StatementLine",
    "Transaction",
    "Unit",
    "VerifyResult",
    "drain_ring",
    "replay",
]

_HEAVY = ("History", "HistoryReader", "Retention", "Rows")


def __getattr__(name: str) -> object:
    if name in _HEAVY:
        return getattr(import_module("gridloom.store.history"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
