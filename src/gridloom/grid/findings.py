"""What a check of a grid says: one finding a mistake, in words with the way out."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gridloom.grid.tables import Flags, Floats, Rows, Texts

MAX_NAMED = 20
"""Findings of one kind that are listed one by one; the rest is counted."""


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong or doubtful."""

    severity: Severity
    kind: str
    """Stable name of the check: `zero_impedance`, `not_finite`, `dead_island`, ..."""
    table: str
    id: str
    value: str
    limit: str
    words: str
    """A sentence with the way out."""

    @property
    def what(self) -> str:
        """Where, how much and against which limit, in one line."""
        parts = [self.table, self.value, f"(limit {self.limit})" if self.limit else ""]
        return " ".join(part for part in parts if part)


def several(
    severity: Severity,
    kind: str,
    table: str,
    table_ids: Texts,
    bad: Flags,
    texts: tuple[Floats | Rows, str, str],
) -> Iterator[Finding]:
    """Yield a finding for each bad row, and one that counts the rest when there are many."""
    values, limit, words = texts
    rows = np.flatnonzero(bad)
    for row in rows[:MAX_NAMED].tolist():
        yield Finding(
            severity=severity,
            kind=kind,
            table=table,
            id=str(table_ids[row]),
            value=f"{values[row]:.6g}",
            limit=limit,
            words=words,
        )
    if rows.size > MAX_NAMED:
        more = rows.size - MAX_NAMED
        yield Finding(
            severity=severity,
            kind=kind,
            table=table,
            id="*",
            value=str(more),
            limit=limit,
            words=f"{more} more {table} with the same finding",
        )


def one(severity: Severity, kind: str, table: str, words: str, *, id_: str = "*") -> Finding:
    """Return a finding that says it all in words; `*` stands for the whole table."""
    return Finding(
        severity=severity, kind=kind, table=table, id=id_, value="", limit="", words=words
    )
