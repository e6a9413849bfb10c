"""The journal: an append-only, hash-chained record in SQLite, written in groups.

One process writes (`Journal`), any number read the live file (`JournalReader`). The store puts in no time of
its own: `at_ns` is the caller's, so that a stepped run gives the same hashes every time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import structlog

from gridloom.core.errors import BadInput
from gridloom.core.hashing import canonical_bytes
from gridloom.store.chain import EMPTY, Entry, Head, VerifyResult, link
from gridloom.store.errors import JournalDamaged, StoreFailed
from gridloom.store.head import HeadFile, read_head
from gridloom.store.journal_reader import JournalReader
from gridloom.store.locks import WriterLock, sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entry (
    sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, at_ns INTEGER NOT NULL,
    body BLOB NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS drained (
    source TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT;
"""
MOST_PENDING: Final = 200_000
"""Entries kept in memory while the disk refuses them; beyond it `append` refuses too."""
RETRY_S: Final = 1.0
"""Wait of the committer after a commit that failed [s]."""

log = structlog.get_logger(__name__)


class Draft(NamedTuple):
    """An entry before it has a place in the chain."""

    kind: str
    body: object
    """A msgspec Struct or builtins: anything that has canonical bytes."""
    at_ns: int


class Journal:
    """The one writer of a journal.

    `append` only chains the entry in memory (microseconds). It is on the disk after the next group commit: by
    the committer thread within `commit_every_s`, or by `commit()`, which returns when it is. Entries of one
    group become durable together or not at all. Safe to call from several threads.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        commit_every_s: float | None = 0.05,
        seal: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """Open or create the journal at `path` and take its lock.

        Args:
            path: The SQLite file; `<path>.lock` and `<path>.head` stand beside it.
            commit_every_s: Longest wait of an entry for its group [s]; None leaves it to `commit()`.
            seal: Signs the head, so that only the key's holder can shorten the journal unnoticed.

        Raises:
            StoreLocked: If another writer has it.
            JournalDamaged: If entries are missing at its end.
        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            self._lock_file = WriterLock(_beside(self.path, ".lock"))
            undo.callback(self._lock_file.release)
            self._database = _open_database(self.path)
            undo.callback(self._database.close)
            self._last = self._committed = _last_head(self._database)
            self._check_against_head()
            self._drained: dict[str, int] = dict(
                self._database.execute("SELECT source, sequence FROM drained").fetchall()
            )
            self._head_file = HeadFile(_beside(self.path, ".head"), seal)
            undo.callback(self._head_file.close)
            self._head_file.write(self._committed)
            sync_directory(self.path.parent)
            # All went well: nothing is to be undone.
            undo.pop_all()
        self._pending: deque[Entry] = deque()
        self._moved: dict[str, int] = {}
        self._state = threading.Condition()
        self._commit_lock = threading.Lock()
        self._closed = False
        self.failure = ""
        """Why the last group could not be written; empty when all is well."""
        self._committer: threading.Thread | None = None
        if commit_every_s is not None:
            self._committer = threading.Thread(
                target=self._commit_forever, args=(commit_every_s,), name="journal", daemon=True
            )
            self._committer.start()

    def append(self, kind: str, body: object, at_ns: int) -> int:
        """Chain one entry and return its sequence; it is durable after the next commit.

        Args:
            kind: What the entry is, e.g. `plan`; see `gridloom.store.records`.
            body: A msgspec Struct or builtins.
            at_ns: Grid time [ns since 1970 UTC].

        Raises:
            BadInput: If the body has no canonical form.
            StoreFailed: If the disk has been refusing entries for too long.
        """
        return self._chain((Draft(kind, body, at_ns),), None)[0]

    def append_drained(
        self, source: str, position: int, drafts: Sequence[Draft]
    ) -> tuple[int, ...]:
        """Chain what record `position` of `source` (a ring) stood for; a second call for it does nothing.

        The position becomes durable in the same transaction as the entries: exactly once, across crashes.

        Returns:
            The sequences given; empty if the record had been taken in before.
        """
        return self._chain(drafts, (source, position))

    def drained(self, source: str) -> int:
        """Return the last position of `source` that was taken in, durable or pending; 0 for none."""
        with self._state:
            return self._drained.get(source, 0)

    def commit(self) -> Head:
        """Write everything appended so far to the disk, and return when it is there.

        Raises:
            StoreFailed: If the disk refuses; the entries stay pending and the next commit tries again.
        """
        with self._commit_lock:
            with self._state:
                group, moved, self._moved = list(self._pending), self._moved, {}
            if group or moved:
                self._write(group, moved)
        return self._committed

    sync = commit

    @property
    def head(self) -> Head:
        """The last durable entry."""
        return self._committed

    @property
    def head_hash(self) -> str:
        """Hash of the last entry, durable or pending."""
        return self._last.hash

    @property
    def n_pending(self) -> int:
        """Entries that are not on the disk yet."""
        return len(self._pending)

    def reader(self) -> JournalReader:
        """Return a reader of what is durable."""
        return JournalReader(self.path)

    def entries(self, after: int = 0, kind: str | None = None) -> Iterator[Entry]:
        """Yield durable entries with a sequence above `after`, of one kind if given."""
        return self.reader().entries(after, kind)

    def verify(self) -> VerifyResult:
        """Check the chain of what is durable."""
        return self.reader().verify()

    def close(self) -> None:
        """Commit and let go; a second call does nothing.

        Raises:
            StoreFailed: If the disk refuses what is pending; the lock is let go all the same.
        """
        with self._state:
            if self._closed:
                return
            self._closed = True
            self._state.notify_all()
        if self._committer is not None:
            self._committer.join()
        try:
            self.commit()
        finally:
            self._database.close()
            self._head_file.close()
            self._lock_file.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _chain(self, drafts: Sequence[Draft], drained: tuple[str, int] | None) -> tuple[int, ...]:
        bodies = [_canonical(draft) for draft in drafts]
        with self._state:
            if self._closed:
                raise StoreFailed(self.path, "the journal is closed")
            if len(self._pending) >= MOST_PENDING:
                raise StoreFailed(self.path, self.failure or "entries come faster than the disk")
            if drained is not None:
                source, position = drained
                if position <= self._drained.get(source, 0):
                    return ()
                self._drained[source] = self._moved[source] = position
            sequences = tuple(
                self._chain_one(draft, body) for draft, body in zip(drafts, bodies, strict=True)
            )
            self._state.notify()
        return sequences

    def _chain_one(self, draft: Draft, body: bytes) -> int:
        sequence = self._last.sequence + 1
        hash_ = link(self._last.hash, sequence, draft.kind, draft.at_ns, body)
        self._pending.append(Entry(sequence, draft.kind, draft.at_ns, body, hash_))
        self._last = Head(sequence, hash_)
        return sequence

    def _write(self, group: list[Entry], moved: dict[str, int]) -> None:
        database = self._database
        try:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO entry VALUES (?, ?, ?, ?, ?)",
                ((e.sequence, e.kind, e.at_ns, e.body, e.hash) for e in group),
            )
            database.executemany("INSERT OR REPLACE INTO drained VALUES (?, ?)", moved.items())
            database.execute("COMMIT")
        except sqlite3.Error as error:
            self._keep_for_later(moved, str(error))
            raise StoreFailed(self.path, str(error)) from error
        with self._state:
            for _ in group:
                self._pending.popleft()
        if group:
            self._committed = Head(group[-1].sequence, group[-1].hash)
            self._write_head()
        self.failure = ""

    def _write_head(self) -> None:
        try:
            self._head_file.write(self._committed)
        except OSError as error:
            self.failure = str(error)
            raise StoreFailed(_beside(self.path, ".head"), str(error)) from error

    def _keep_for_later(self, moved: dict[str, int], why: str) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        with self._state:
            self._moved = moved | self._moved
        self.failure = why

    def _commit_forever(self, every_s: float) -> None:
        wait_s = every_s
        while True:
            with self._state:
                self._state.wait_for(lambda: self._closed or self._pending or self._moved)
                # Entries that come while we wait here join the group.
                self._state.wait_for(lambda: self._closed, timeout=wait_s)
                if self._closed:
                    return
            wait_s = every_s if self._commit_quietly() else max(every_s, RETRY_S)

    def _commit_quietly(self) -> bool:
        had_failed = self.failure
        try:
            self.commit()
        except StoreFailed as error:
            if not had_failed:
                log.error("journal_not_written", path=str(self.path), why=error.what)  # noqa: TRY400 - an outcome, not a bug
            return False
        except Exception as error:
            # The top of this thread: a broken seal must not end the writing without a word.
            self.failure = repr(error)
            log.exception("journal_committer_failed", path=str(self.path))
            return False
        if had_failed:
            log.info("journal_written_again", path=str(self.path))
        return True

    def _check_against_head(self) -> None:
        witness = read_head(_beside(self.path, ".head"))
        if witness is not None and witness.sequence > self._committed.sequence:
            what = f"the end is missing: the head names {witness.sequence} entries"
            raise JournalDamaged(self.path, self._committed.sequence + 1, what)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _canonical(draft: Draft) -> bytes:
    try:
        return canonical_bytes(draft.body)
    except (TypeError, ValueError) as error:
        message = f"a journal body of kind {draft.kind!r} has no canonical form: {error}"
        raise BadInput(message) from error


def _open_database(path: Path) -> sqlite3.Connection:
    try:
        # The commit lock keeps threads apart; autocommit off would open transactions behind our back.
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with ExitStack() as undo:
            undo.callback(database.close)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA busy_timeout = 10000")
            with closing(database.cursor()) as cursor:
                cursor.executescript(_SCHEMA)
            undo.pop_all()
    except sqlite3.OperationalError as error:
        raise StoreFailed(path, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise JournalDamaged(path, 0, str(error)) from error
    return database


def _last_head(database: sqlite3.Connection) -> Head:
    row = database.execute(
        "SELECT sequence, hash FROM entry ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    return EMPTY if row is None else Head(*row)
