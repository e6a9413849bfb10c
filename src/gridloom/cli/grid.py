"""`gridloom grid`: bring grids in, look at them, check them, convert them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from gridloom.cli.options import Json, progress
from gridloom.cli.output import BAD_INPUT, console, emit

if TYPE_CHECKING:
    from gridloom.grid import Loss, LossReport

app = App(name="grid", help="Bring grids in, look at them, check them, convert them.")

_SHOWN = 20


class LossView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an import or export could not carry."""

    kind: str
    id: str
    what: str
    words: str


class Imports(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridloom grid import` and `convert` print."""

    source: str
    path: str
    hash: str
    buses: int
    losses: list[LossView]


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that `gridloom grid check` found."""

    severity: str
    kind: str
    id: str
    what: str
    words: str


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridloom grid check` prints."""

    grid: str
    ok: bool
    findings: list[FindingView]


@app.command(name="import")
def import_(
    grid: str,
    *,
    out: Annotated[
        Path, Parameter(name=["--out", "-o"], help="File to write, ending in .gridloom.")
    ],
    json: Json = False,
) -> int:
    """Read a grid from any source and keep it in Gridloom's own file, with a report of what was lost.

    Parameters
    ----------
    grid
        Grid URI or file.
    """
    from gridloom.grid import load_with_report, save

    with progress(f"importing {grid}"):
        imported = load_with_report(grid)
        save(imported.grid, out)
    _report_losses(imported.report, as_json=json)
    emit(
        Imports(
            source=grid,
            path=str(out),
            hash=imported.grid.hash,
            buses=len(imported.grid.buses),
            losses=_views(imported.report.entries),
        )
        if json
        else {
            "written": str(out),
            "buses": len(imported.grid.buses),
            "losses": len(imported.report),
        },
        as_json=json,
    )
    return 0


@app.command
def show(grid: str, *, json: Json = False) -> int:
    """Show what a grid is made of.

    Parameters
    ----------
    grid
        Grid URI or file.
    """
    from gridloom.grid import load
    from gridloom.grid.summary import describe

    with progress(f"loading {grid}"):
        model = load(grid)
    emit(describe(model), as_json=json)
    return 0


@app.command
def check(grid: str, *, json: Json = False) -> int:
    """Look for what would make results wrong; exit code 2 if something would.

    Parameters
    ----------
    grid
        Grid URI or file.
    """
    from gridloom.grid import load
    from gridloom.grid.checking import check as look

    with progress(f"loading {grid}"):
        model = load(grid)
    findings = look(model)
    is_ok = not any(finding.severity == "error" for finding in findings)
    result = Findings(
        grid=grid,
        ok=is_ok,
        findings=[msgspec.convert(f, FindingView, from_attributes=True) for f in findings],
    )
    if json:
        emit(result, as_json=True)
    else:
        for finding in result.findings:
            console.print(
                f"{finding.severity}: {finding.kind} {finding.id}: {finding.words}", markup=False
            )
        emit({"ok": is_ok, "findings": len(findings)}, as_json=False)
    return 0 if is_ok else BAD_INPUT


@app.command
def convert(grid: str, out: Path, *, json: Json = False) -> int:
    """Convert a grid to another format, picked by the ending of the file: .gridloom, or .json for pandapower.

    Parameters
    ----------
    grid
        Grid URI or file.
    out
        File to write.
    """
    from gridloom.grid.converting import convert as write

    with progress(f"converting {grid}"):
        report = write(grid, out)
    _report_losses(report, as_json=json)
    emit(
        {
            "source": grid,
            "path": str(out),
            "losses": _views(report.entries) if json else len(report),
        },
        as_json=json,
    )
    return 0


def _views(entries: tuple[Loss, ...]) -> list[LossView]:
    return [
        LossView(kind=loss.kind, id=loss.id, what=loss.what, words=loss.words) for loss in entries
    ]


def _report_losses(report: LossReport, *, as_json: bool) -> None:
    if as_json:
        return
    for number, line in enumerate(report.lines()):
        if number == _SHOWN:
            console.print(f"... and {len(report) - _SHOWN} more; --json prints all", markup=False)
            break
        console.print(f"not carried: {line}", markup=False)
