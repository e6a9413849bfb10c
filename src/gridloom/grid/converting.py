"""The way from one grid file to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gridloom.core.errors import BadInput, Unavailable
from gridloom.grid.archive import save
from gridloom.grid.loading import load_with_report

if TYPE_CHECKING:
    from gridloom.grid.report import Imported, LossReport


def convert(source: str | Path, target: str | Path) -> LossReport:
    """Read the grid at `source` (URI or path), write it to `target`, and return what was lost on both ways.

    The target's ending says what is written: `.gridloom` for Gridloom's own file, `.json` for a pandapower net.

    Raises:
        BadInput: If the source cannot be read as a grid, or the ending is not known.
        Unavailable: If a file cannot be read or written.
    """
    path = Path(target)
    writers = {".gridloom": _write_gridloom, ".json": _write_pandapower}
    if path.suffix not in writers:
        message = f"cannot write {path.name}: write to a name that ends in {' or '.join(writers)}"
        raise BadInput(message)
    return writers[path.suffix](load_with_report(source), path)


def _write_gridloom(imported: Imported, path: Path) -> LossReport:
    save(imported.grid, path, report=imported.report)
    return imported.report


def _write_pandapower(imported: Imported, path: Path) -> LossReport:
    import pandapower

    from gridloom.grid.pandapower_export import to_pandapower

    net, report = to_pandapower(imported.grid)
    try:
        path.write_text(pandapower.to_json(net), encoding="utf-8")
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise Unavailable(message) from error
    return msgspec.structs.replace(
        imported.report, entries=imported.report.entries + report.entries
    )
