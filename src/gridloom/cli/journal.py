"""`gridloom journal`: read, prove and replay the record of everything that was decided."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from gridloom.cli.options import Json
from gridloom.cli.output import REFUSED, emit
from gridloom.cli.run_folder import journal_path
from gridloom.core.units import NS_PER_S

if TYPE_CHECKING:
    from gridloom.store import Entry
    from gridloom.store.replay import Replayed

app = App(name="journal", help="Read, prove and replay the record of everything that was decided.")

type Where = Annotated[
    Path | None, Parameter(help="Folder of a run, or its journal file; the latest run by default.")
]


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry as `gridloom journal show` prints it."""

    sequence: int
    at_ns: int
    kind: str
    body: Any
    hash: str


class EntryViews(msgspec.Struct, frozen=True, kw_only=True):
    """Entries and the head of the chain."""

    journal: str
    entries: list[EntryView]
    head_hash: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridloom journal verify` found."""

    journal: str
    ok: bool
    entries: int
    first_bad: int | None
    why: str
    head_hash: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where things stood after the last entry, for people; `--json` gives everything."""

    entries: dict[str, int]
    last_entry: str
    epoch: int
    was_stopped: bool
    switches_open: list[str]
    plans_ready: int
    plans_waiting: list[str]
    plans_done: list[str]
    plans_failed: list[str]
    commands_without_answer: list[str]
    locked: list[str]
    alarms: list[str]


@app.command
def show(
    where: Where = None, *, last: int = 20, kind: str | None = None, json: Json = False
) -> int:
    """Show the latest entries.

    Parameters
    ----------
    last
        How many entries.
    kind
        Only entries of this kind: start, prepared, plan, command, acknowledgement, outcome, alarm, ...
    """
    from gridloom.store import JournalReader

    path = journal_path(where)
    reader = JournalReader(path)
    entries = list(reader.entries(kind=kind))[-last:] if kind else list(reader.last(last))
    views = EntryViews(
        journal=str(path),
        entries=[_view(entry) for entry in entries],
        head_hash=reader.head.hash,
    )
    if json:
        emit(views, as_json=True)
    else:
        _print(views)
    return 0


@app.command
def verify(where: Where = None, *, json: Json = False) -> int:
    """Recompute the hash chain; exit code 3 if the journal was tampered with."""
    from gridloom.store import JournalReader

    path = journal_path(where)
    result = JournalReader(path).verify()
    emit(
        Proof(
            journal=str(path),
            ok=result.ok,
            entries=result.n,
            first_bad=result.first_bad,
            why=result.why,
            head_hash=result.head_hash,
        ),
        as_json=json,
    )
    return 0 if result.ok else REFUSED


@app.command
def replay(where: Where = None, *, json: Json = False) -> int:
    """Fold the journal into where things stood after its last entry."""
    from gridloom.store import JournalReader
    from gridloom.store import replay as fold

    replayed = fold(JournalReader(journal_path(where)).entries())
    emit(replayed if json else _standing(replayed), as_json=json)
    return 0


def _standing(replayed: Replayed) -> Standing:
    now = datetime.fromtimestamp(replayed.at_ns / NS_PER_S, tz=UTC)
    return Standing(
        entries=replayed.counts,
        last_entry=now.isoformat(timespec="milliseconds"),
        epoch=replayed.epoch,
        was_stopped=replayed.was_stopped,
        switches_open=[name for name, closed in replayed.positions.items() if not closed],
        plans_ready=len(replayed.prepared),
        plans_waiting=list(replayed.decided),
        plans_done=[name for name, succeeded in replayed.executed.items() if succeeded],
        plans_failed=[name for name, succeeded in replayed.executed.items() if not succeeded],
        commands_without_answer=list(replayed.open_commands),
        locked=list(replayed.locked),
        alarms=[alarm.text for alarm in replayed.alarms.values()],
    )


def _view(entry: Entry) -> EntryView:
    return EntryView(
        sequence=entry.sequence,
        at_ns=entry.at_ns,
        kind=entry.kind,
        body=msgspec.json.decode(entry.body),
        hash=entry.hash,
    )


def _print(views: EntryViews) -> None:
    table = Table(box=None, pad_edge=False, expand=True)
    # Widths are given: what is said gets the rest of the line and may be cut, these may not.
    for name, width in (("no", 5), ("time (UTC)", 23), ("kind", 15)):
        table.add_column(name, no_wrap=True, width=width)
    table.add_column("what", no_wrap=True, overflow="ellipsis", ratio=1)
    for view in views.entries:
        time = datetime.fromtimestamp(view.at_ns / NS_PER_S, tz=UTC).strftime(
            "%Y-%m-%d %H:%M:%S.%f"
        )[:-3]
        table.add_row(str(view.sequence), time, view.kind, _sentence(view.body))
    Console(highlight=False).print(table)


def _sentence(body: Any) -> str:  # noqa: ANN401 - bodies differ by kind
    plan = body.get("plan", {})
    words = [plan.get("reason", ""), plan.get("id", "")]
    words += [
        f"{name}={value}"
        for name, value in body.items()
        if isinstance(value, (str, int, float)) and value != ""
    ]
    return "  ".join(word for word in words if word)[:160]
