"""Options that many commands share, declared once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gridloom.cli.output import console

if TYPE_CHECKING:
    from collections.abc import Iterator

type Json = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON object and nothing else.")
]
type Verbose = Annotated[
    bool, Parameter(name=["--verbose", "-v"], negative="", help="Log more to standard error.")
]


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Show on standard error that something long is going on, where a person is watching."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        bar.add_task(text, total=None)
        yield
