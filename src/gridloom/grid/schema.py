"""The schema of Gridloom's file in words, made from the tables themselves."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING

import numpy as np

from gridloom.grid.archive import FORMAT, SCHEMA_VERSION
from gridloom.grid.model import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gridloom.grid.tables import Table

_TYPES = {
    "text": "string",
    "float": "float64",
    "row": "int64 (row)",
    "int": "int64",
    "flag": "bool",
}


def schema_markdown() -> str:
    """Return the page `docs/grid-file.md`."""
    return "\n".join(_lines()) + "\n"


_HEAD = f"""# The grid file

A `.gridloom` file is a zip of one Parquet file a table and `manifest.json` (format `{FORMAT}`, schema version
{SCHEMA_VERSION}, name, frequency in Hz, source of profiles, hash, loss report). This page is made from the tables:
`gridloom.grid.schema.schema_markdown()`.

A column of type *row* points at a row of another table, counted from 0; -1 points nowhere. A float without a value
is NaN. Tables may be empty, never missing. Power in `loads` and `shunts` is consumption; everywhere else it is
positive into the grid."""


def _lines() -> Iterator[str]:
    yield _HEAD
    for name, cls in TABLES.items():
        yield ""
        yield f"## {name}"
        yield ""
        yield (cls.__doc__ or "").strip().splitlines()[0]
        yield ""
        yield "| column | type | unit | default | meaning |"
        yield "|---|---|---|---|---|"
        yield from _rows(cls)


def _rows(cls: type[Table]) -> Iterator[str]:
    for spec in fields(cls):
        meta = spec.metadata
        default = "required" if spec.default is MISSING else _shown(meta["default"])
        meaning = str(meta["meaning"]).replace("|", "\\|")
        yield f"| `{spec.name}` | {_TYPES[meta['kind']]} | {meta['unit']} | {default} | {meaning} |"


def _shown(default: object) -> str:
    if isinstance(default, float) and np.isnan(default):
        return "NaN"
    return str(default) if default != "" else "empty"
