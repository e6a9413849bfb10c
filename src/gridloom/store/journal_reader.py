"""Reading a journal, live or at rest: never blocks its writer and never writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from gridloom.store.chain import EMPTY, Entry, Head, VerifyResult, check_chain
from gridloom.store.errors import JournalDamaged, StoreFailed
from gridloom.store.head import read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PAGE: Final = 2000


class JournalReader:
    """Sees what is durable; each call opens the file anew, so a reader may live in any thread."""

    def __init__(self, path: Path | str) -> None:
        """Read the journal at `path`.

        Raises:
            StoreFailed: If there is no such file.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise StoreFailed(self.path, "there is no such journal")

    def entries(self, after: int = 0, kind: str | None = None) -> Iterator[Entry]:
        """Yield entries with a sequence above `after`, of one kind if given, in order.

        Pages through short reads, so that a slow consumer does not keep the writer's log from being folded in.

        Raises:
            JournalDamaged: If the file is not readable as a journal.
        """
        while page := self._page(after, kind):
            yield from page
            after = page[-1].sequence

    def last(self, n: int) -> tuple[Entry, ...]:
        """Return the last `n` entries in order."""
        return tuple(self.entries(self.head.sequence - n))

    @property
    def head(self) -> Head:
        """The last durable entry's place and hash, read anew each time."""
        last = self._entries("SELECT * FROM entry ORDER BY sequence DESC LIMIT 1", ())
        return Head(last[0].sequence, last[0].hash) if last else EMPTY

    def verify(
        self,
        witness: Head | None = None,
        check_seal: Callable[[bytes, bytes], bool] | None = None,
    ) -> VerifyResult:
        """Check every entry against the chain, and the chain against its head.

        Args:
            witness: A head remembered outside this machine; by default the head file's.
            check_seal: Says whether a seal (second argument) belongs to the bytes (first argument); with it,
                a journal without a believable head does not pass.

        Returns:
            The result: the first bad sequence and why.
        """
        # The head is read first: entries that come meanwhile lie beyond it and do no harm.
        known = read_head(self.path.with_name(self.path.name + ".head"), check_seal)
        try:
            result = check_chain(self.entries(), witness or known)
        except JournalDamaged as error:
            return VerifyResult(ok=False, n=0, first_bad=1, head_hash=EMPTY.hash, why=error.what)
        if result.ok and check_seal is not None and known is None:
            why = "no head with a valid seal: a cut-off end could not be seen"
            return msgspec.structs.replace(result, ok=False, first_bad=result.n + 1, why=why)
        return result

    def _page(self, after: int, kind: str | None) -> list[Entry]:
        where, values = ("", ()) if kind is None else (" AND kind = ?", (kind,))
        # `where` is one of the two literals above.
        sql = f"SELECT * FROM entry WHERE sequence > ?{where} ORDER BY sequence LIMIT {_PAGE}"  # noqa: S608
        return self._entries(sql, (after, *values))

    def _entries(self, sql: str, values: tuple[int | str, ...]) -> list[Entry]:
        uri = f"file:{quote(str(self.path.absolute()))}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=10.0)) as database:
                # Spoilt text must reach the chain check, which names the entry, instead of failing here.
                database.text_factory = lambda raw: raw.decode(errors="replace")
                return [Entry(*row) for row in database.execute(sql, values)]
        except sqlite3.DatabaseError as error:
            raise JournalDamaged(self.path, 0, str(error)) from error
