"""Instruments and readings from Parquet files, checked column by column; schemas in docs/contracts.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gridloom.core.errors import BadInput, Malformed
from gridloom.grid.instruments import Instruments
from gridloom.ioe.frames import COLUMNS, MAX_COLUMNS, FrameKind
from gridloom.ioe.telemetry import NEVER_NS, Readings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from gridloom.grid import Grid

_TABLE_OF: Final = {
    "load": "loads",
    "generator": "generators",
    "storage": "storages",
    "line": "lines",
    "transformer": "transformers",
    "bus": "buses",
    "switch": "switches",
    "source": "sources",
}
_FRAME_KIND: Final = {"meter": FrameKind.METER, "branch": FrameKind.BRANCH, "bus": FrameKind.BUS}
"""Kinds of instruments whose readings an estimate uses."""


def read_instruments(grid: Grid, path: Path) -> Instruments:
    """Return the instruments in a Parquet file.

    Raises:
        BadInput: The file or a column is missing, or a kind is unknown; the message names it.
        UnknownId: An element that the grid does not have.
    """
    table = _read(path, ("id", "kind", "element_kind", "element_id"))
    kinds = table["kind"].to_pylist()
    for kind in kinds:
        if kind not in _FRAME_KIND:
            raise BadInput(f"{path}: no kind {kind!r}; kinds are {', '.join(_FRAME_KIND)}")
    rows = []
    for element_kind, id_ in zip(
        table["element_kind"].to_pylist(), table["element_id"].to_pylist(), strict=True
    ):
        if element_kind not in _TABLE_OF:
            raise BadInput(
                f"{path}: no element_kind {element_kind!r}; there are {', '.join(_TABLE_OF)}"
            )
        rows.append(getattr(grid, _TABLE_OF[element_kind]).row(id_))
    return Instruments(
        id=table["id"].to_pylist(),
        kind=kinds,
        element_kind=table["element_kind"].to_pylist(),
        element=np.array(rows, dtype=np.int64),
        side=_optional(table, "side", 0, np.int64),
        class_pct=_optional(table, "class_pct", 1.0, np.float64),
    )


def read_readings(instruments: Instruments, path: Path) -> Readings:
    """Return the newest reading of each instrument in a Parquet file.

    Raises:
        BadInput: The file or a column is missing, or there is no reading; the message names it.
        UnknownId: An instrument that is not in the plan.
    """
    table = _read(path, ("instrument", "time_ns"))
    if not len(table):
        raise BadInput(f"{path} holds no readings")
    rows = instruments.rows(table["instrument"].to_pylist())
    time_ns = table["time_ns"].to_numpy().astype(np.int64)
    order = np.argsort(time_ns, kind="stable")
    rows, time_ns = rows[order], time_ns[order]
    values = np.full((MAX_COLUMNS, len(instruments)), np.nan, np.float32)
    newest = np.full(len(instruments), NEVER_NS, np.int64)
    kind = np.zeros(len(instruments), np.uint8)
    newest[rows] = time_ns
    for name, frame_kind in _FRAME_KIND.items():
        mine = instruments.kind[rows] == name
        kind[rows[mine]] = frame_kind
        for number, column in enumerate(COLUMNS[frame_kind]):
            if column in table.column_names:
                values[number, rows[mine]] = _optional(table, column, np.nan, np.float32)[order][
                    mine
                ]
    return Readings(generation=1, values=values, time_ns=newest, kind=kind)


def _optional(table: pa.Table, name: str, default: float, dtype: type[np.generic]) -> NDArray[Any]:
    if name not in table.column_names:
        return np.full(len(table), default, dtype=dtype)
    try:
        return np.asarray(table[name].to_numpy(), dtype=dtype)
    except (TypeError, ValueError) as error:
        raise BadInput(f"column {name} cannot be read as {dtype.__name__}: {error}") from None


def _read(path: Path, needed: tuple[str, ...]) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise BadInput(f"no file {path}") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise Malformed(f"{path} is not a Parquet file: {error}") from None
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise BadInput(f"{path}: column {missing[0]} is missing; it needs {', '.join(needed)}")
    return table
