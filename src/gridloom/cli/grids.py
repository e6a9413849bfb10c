"""Loading a grid the way every command does: with a look at what would make results wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridloom.cli.options import progress
from gridloom.cli.output import console
from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    from gridloom.grid import Grid

_SHOWN = 5


def load_checked(uri: str) -> Grid:
    """Return the grid at `uri`; warnings go to standard error.

    Raises:
        BadInput: Something in it would make every result wrong; the message names the first such thing.
    """
    from gridloom.grid import load
    from gridloom.grid.checking import check

    with progress(f"loading {uri}"):
        grid = load(uri)
        findings = check(grid)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        first, more = errors[0], len(errors) - 1
        rest = f" (and {more} more; `gridloom grid check {uri}` lists them)" if more else ""
        raise BadInput(f"{first.kind} {first.id}: {first.words}{rest}")
    warnings = [finding for finding in findings if finding.severity == "warning"]
    for finding in warnings[:_SHOWN]:
        console.print(
            f"warning: {finding.kind} {finding.id}: {finding.words}", markup=False, soft_wrap=True
        )
    if len(warnings) > _SHOWN:
        console.print(
            f"... and {len(warnings) - _SHOWN} more; `gridloom grid check {uri}` lists them",
            markup=False,
            soft_wrap=True,
        )
    return grid
