"""The ledger: double entry in whole numbers, in SQLite, safe for several processes.

Money is micro-euro, market energy is Wh; every transaction sums to zero in each unit, so that nothing is made or
lost. A transaction has a key: posting it again does nothing. Each post is one synced SQLite transaction.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from gridloom.core.errors import BadInput, UnknownId
from gridloom.core.hashing import canonical_bytes, digest
from gridloom.store.errors import KeyReused, Overdrawn, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS account (
    id TEXT PRIMARY KEY, unit TEXT NOT NULL, may_go_negative INTEGER NOT NULL,
    balance INTEGER NOT NULL, CHECK (may_go_negative OR balance >= 0)) STRICT;
CREATE TABLE IF NOT EXISTS posted (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, at_ns INTEGER NOT NULL,
    text TEXT NOT NULL, content TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS posting (
    number INTEGER NOT NULL REFERENCES posted, line INTEGER NOT NULL,
    account TEXT NOT NULL REFERENCES account, amount INTEGER NOT NULL, balance INTEGER NOT NULL,
    PRIMARY KEY (number, line)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS posting_account ON posting (account, number);
"""
LARGEST: Final = 2**62
"""Amounts and balances stay below this, so that no sum can leave 64 bits."""


class Unit(StrEnum):
    """What an account counts."""

    MICRO_EUR = "micro_eur"
    WH = "wh"


class Posting(msgspec.Struct, frozen=True):
    """One line of a transaction."""

    account: str
    amount: int
    """What the account gets, negative for what it gives [the account's unit]."""


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """Postings that happen together or not at all."""

    key: str
    """Says which transaction it is; the same key is posted once."""
    at_ns: int
    """Grid time [ns since 1970 UTC]."""
    postings: tuple[Posting, ...]
    text: str = ""


class Account(msgspec.Struct, frozen=True):
    """An account and what it holds."""

    id: str
    unit: Unit
    may_go_negative: bool
    balance: int


class StatementLine(msgspec.Struct, frozen=True):
    """One posting as its account's owner sees it."""

    number: int
    """The ledger's own count of transactions."""
    key: str
    at_ns: int
    text: str
    amount: int
    balance: int
    """After this line."""


class Ledger:
    """A double-entry ledger; any number of processes and threads may hold one on the same file."""

    def __init__(self, path: Path | str, *, wait_s: float = 30.0) -> None:
        """Open or create the ledger at `path`.

        Args:
            path: The SQLite file.
            wait_s: How long a post waits for another process's post [s].

        Raises:
            StoreFailed: If the file cannot be opened as a ledger.
        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        with self._failures_named(), ExitStack() as undo:
            self._database = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=wait_s
            )
            undo.callback(self._database.close)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA foreign_keys = ON")
            with closing(self._database.cursor()) as cursor:
                cursor.executescript(_SCHEMA)
            # All went well: nothing is to be undone.
            undo.pop_all()

    def open_account(self, id_: str, unit: Unit, *, may_go_negative: bool = False) -> None:
        """Open an account; doing so again with the same terms does nothing.

        Raises:
            BadInput: If it is open on other terms.
        """
        with self._transaction() as database:
            database.execute(
                "INSERT OR IGNORE INTO account VALUES (?, ?, ?, 0)", (id_, unit, may_go_negative)
            )
            account = self.account(id_)
        if (account.unit, account.may_go_negative) != (unit, may_go_negative):
            message = f"account {id_} is already open on other terms: {account}"
            raise BadInput(message)

    def post(self, transaction: Transaction) -> bool:
        """Post a transaction; it is on the disk when this returns.

        Returns:
            True if it was posted now, False if the same one had been posted before.

        Raises:
            BadInput: If it does not sum to zero in each unit, is empty, or an amount is out of range.
            UnknownId: If an account is not open.
            Overdrawn: If an account would go below zero that may not.
            KeyReused: If its key was posted with a different content.
            StoreFailed: If the disk refuses, or another process holds the ledger too long.
        """
        return self.post_all((transaction,)) == 1

    def post_all(self, transactions: Iterable[Transaction]) -> int:
        """Post several with one sync: all of them or, if one is refused, none; raises as `post` does.

        Returns:
            How many were posted now; the others had been posted before.
        """
        with self._transaction() as database:
            return sum(_post(database, transaction) for transaction in transactions)

    def account(self, id_: str) -> Account:
        """Return the account `id_`; raises `UnknownId` if it is not open."""
        return _accounts(self._database, (id_,))[id_]

    def accounts(self) -> tuple[Account, ...]:
        """Return all accounts by id."""
        with self._failures_named():
            rows = self._database.execute("SELECT * FROM account ORDER BY id").fetchall()
        return tuple(_account(row) for row in rows)

    def balance(self, id_: str) -> int:
        """Return what account `id_` holds [its unit]; raises `UnknownId` if it is not open."""
        return self.account(id_).balance

    def statement(self, id_: str, after: int = 0) -> tuple[StatementLine, ...]:
        """Return the lines of account `id_` with a number above `after`, in order."""
        self.account(id_)
        with self._failures_named():
            rows = self._database.execute(
                "SELECT number, key, at_ns, text, amount, balance FROM posting JOIN posted USING (number)"
                " WHERE account = ? AND number > ? ORDER BY number, line",
                (id_, after),
            ).fetchall()
        return tuple(StatementLine(*row) for row in rows)

    def audit(self) -> tuple[str, ...]:
        """Recount everything from the postings; return what does not add up, in words: nothing, if all does."""
        findings = []
        with self._transaction() as database:
            recount = Counter[str]()
            uneven = Counter[tuple[int, str]]()
            lines = database.execute(
                "SELECT number, account, unit, amount, posting.balance"
                " FROM posting JOIN account ON account.id = account ORDER BY number, line"
            )
            for number, account, unit, amount, balance in lines.fetchall():
                recount[account] += amount
                uneven[number, unit] += amount
                if recount[account] != balance:
                    findings.append(
                        f"transaction {number}: {account} holds {recount[account]}, not {balance}"
                    )
            findings += [
                f"transaction {number}: {total} {unit} come from nowhere"
                for (number, unit), total in uneven.items()
                if total
            ]
            findings += [
                f"account {account.id} says {account.balance}, its postings {recount[account.id]}"
                for account in self.accounts()
                if account.balance != recount[account.id]
            ]
        return tuple(findings)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreFailed(self.path, str(error)) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._database
        with self._lock, self._failures_named():
            # IMMEDIATE takes the write lock before balances are read, so two processes cannot both spend one.
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")


def _post(database: sqlite3.Connection, transaction: Transaction) -> bool:
    content = digest((canonical_bytes(transaction),))
    before = database.execute(
        "SELECT content FROM posted WHERE key = ?", (transaction.key,)
    ).fetchone()
    if before is not None:
        if before[0] != content:
            raise KeyReused(transaction.key)
        return False
    accounts = _accounts(database, [posting.account for posting in transaction.postings])
    _check(transaction, accounts)
    number = database.execute(
        "INSERT INTO posted (key, at_ns, text, content) VALUES (?, ?, ?, ?)",
        (transaction.key, transaction.at_ns, transaction.text, content),
    ).lastrowid
    balances = {id_: account.balance for id_, account in accounts.items()}
    for line, posting in enumerate(transaction.postings):
        balances[posting.account] += posting.amount
        database.execute(
            "INSERT INTO posting VALUES (?, ?, ?, ?, ?)",
            (number, line, posting.account, posting.amount, balances[posting.account]),
        )
    database.executemany(
        "UPDATE account SET balance = ? WHERE id = ?",
        ((balance, id_) for id_, balance in balances.items()),
    )
    return True


def _check(transaction: Transaction, accounts: dict[str, Account]) -> None:
    if not transaction.postings:
        message = f"transaction {transaction.key!r} has no postings"
        raise BadInput(message)
    sums, changes = Counter[Unit](), Counter[str]()
    for posting in transaction.postings:
        if abs(posting.amount) >= LARGEST:
            message = f"transaction {transaction.key!r}: {posting.amount} is out of range"
            raise BadInput(message)
        sums[accounts[posting.account].unit] += posting.amount
        changes[posting.account] += posting.amount
    for unit, total in sums.items():
        if total:
            message = f"transaction {transaction.key!r} is off by {total} {unit}; it must sum to 0"
            raise BadInput(message)
    for id_, change in changes.items():
        account = accounts[id_]
        after = account.balance + change
        if after < 0 and change < 0 and not account.may_go_negative:
            raise Overdrawn(id_, account.balance, change)
        if abs(after) >= LARGEST:
            message = f"transaction {transaction.key!r}: the balance of {id_} leaves its range"
            raise BadInput(message)


def _accounts(database: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Account]:
    found = {}
    for id_ in ids:
        row = database.execute("SELECT * FROM account WHERE id = ?", (id_,)).fetchone()
        if row is None:
            known = database.execute("SELECT id FROM account").fetchall()
            raise UnknownId("account", id_, (name for (name,) in known))
        found[id_] = _account(row)
    return found


def _account(row: tuple[str, str, int, int]) -> Account:
    id_, unit, may_go_negative, balance = row
    return Account(id_, Unit(unit), bool(may_go_negative), balance)
