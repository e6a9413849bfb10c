"""What must not be forgotten: the journal, the event path's ring, the ledger and the history of readings.

Nothing here decides anything. What a kill and what a power cut may lose stands in docs/explanation/durability.md.
"""

from gridloom.store.chain import Entry, Head, VerifyResult
from gridloom.store.drain import Drained, drain_ring
from gridloom.store.history import History, HistoryReader, Retention, Rows
from gridloom.store.journal import Draft, Journal
from gridloom.store.journal_reader import JournalReader
from gridloom.store.ledger import Account, Ledger, Posting, StatementLine, Transaction, Unit
from gridloom.store.replay import Replayed, replay
from gridloom.store.ring import Ring, RingReader, RingRecord

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
