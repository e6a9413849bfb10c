"""What an import or export could not carry, in words that a planner understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gridloom.grid.model import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that did not come through as it stood in the source."""

    kind: str
    """Kind of element, in the source's own word (`trafo`, `gen`, `bus`); `grid` for the whole."""
    id: str
    """The element's id, or `*` for all of its kind."""
    what: str
    """The field or property concerned."""
    words: str
    """What was done and what it means for results."""


class LossReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that did not come through."""

    source: str
    entries: tuple[Loss, ...] = ()

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.entries)

    def lines(self) -> Iterator[str]:
        """Yield one line of text per entry."""
        for entry in self.entries:
            yield f"{entry.kind} {entry.id}: {entry.what}: {entry.words}"


class LossLog:
    """Collects losses while an importer works."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._entries: list[Loss] = []

    def add(self, kind: str, id_: str, what: str, words: str) -> None:
        """Note one loss."""
        self._entries.append(Loss(kind=kind, id=id_, what=what, words=words))

    def report(self) -> LossReport:
        """Return what was noted so far."""
        return LossReport(source=self._source, entries=tuple(self._entries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A grid and what was lost on its way in."""

    grid: Grid
    report: LossReport
