"""Reading pandapower's data frames: columns with defaults, ids, bus rows and places.

pandapower's tables are open: columns may be missing, hold blanks of four kinds, or carry numbers as text. What
comes out of here is a plain array of the right type, or an error that names the table and the column.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gridloom.core.errors import Malformed

if TYPE_CHECKING:
    from gridloom.grid.tables import Flags, Floats, Rows, Texts


@dataclass(frozen=True, slots=True)
class Columns:
    """One of a net's tables, read column by column."""

    name: str
    frame: pd.DataFrame

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.frame)

    def has(self, column: str) -> bool:
        """Return whether there is such a column."""
        return column in self.frame.columns

    def floats(self, column: str, default: float = np.nan) -> Floats:
        """Return a column as floats; a missing column or a blank gives `default`."""
        if not self.has(column):
            return np.full(len(self), default)
        try:
            values = pd.to_numeric(self.frame[column]).to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            message = f"pandapower table {self.name}: column {column} is not numeric: {error}"
            raise Malformed(message) from error
        return np.where(np.isnan(values), default, values)

    def flags(self, column: str, *, default: bool) -> Flags:
        """Return a column as flags."""
        if not self.has(column):
            return np.full(len(self), default)
        values = self.frame[column].to_numpy(dtype=object)
        return np.where(pd.isna(values), default, values).astype(np.bool_)

    def texts(self, column: str) -> Texts:
        """Return a column as texts; a blank becomes an empty text."""
        if not self.has(column):
            return np.full(len(self), "", dtype=object)
        values = self.frame[column].astype(object)
        return values.where(values.notna(), "").map(str).to_numpy(dtype=object)

    def ids(self) -> Texts:
        """Return the names where every row has one and they differ; else the index."""
        names = self.texts("name")
        if len(names) and "" not in names and "None" not in names and len(set(names)) == len(names):
            return names
        return np.array([str(index) for index in self.frame.index], dtype=object)

    def rows(self, column: str, index: pd.Index[Any], target: str) -> Rows:
        """Return references in `column` as rows of the table with `index`.

        Raises:
            Malformed: If a reference is blank or leads nowhere; the message names both ends.
        """
        if not len(self):
            return np.empty(0, dtype=np.int64)
        if not self.has(column):
            message = f"pandapower table {self.name} has no column {column}"
            raise Malformed(message)
        rows = index.get_indexer(pd.Index(self.floats(column)))
        astray = np.flatnonzero(rows < 0)
        if astray.size:
            at = int(astray[0])
            message = (
                f"pandapower table {self.name}, row {self.frame.index[at]}: {column} is "
                f"{self.frame[column].iloc[at]}; there is no such {target}"
            )
            raise Malformed(message)
        return np.asarray(rows, dtype=np.int64)

    def where(self, mask: Flags) -> Columns:
        """Return some of the rows."""
        return Columns(self.name, self.frame[mask])


def columns_of(net: Any, name: str) -> Columns:  # noqa: ANN401 - pandapower nets carry no types
    """Return table `name` of a net; a missing one is empty."""
    frame = net.get(name)
    return Columns(name, frame if isinstance(frame, pd.DataFrame) else pd.DataFrame())


def unique_ids(parts: list[tuple[str, Texts]]) -> Texts:
    """Return the ids of several tables in one; an id that stands in two tables is prefixed by its table's name."""
    seen: dict[str, int] = {}
    for _, ids in parts:
        for id_ in ids.tolist():
            seen[id_] = seen.get(id_, 0) + 1
    merged = [
        id_ if seen[id_] == 1 else f"{table}:{id_}" for table, ids in parts for id_ in ids.tolist()
    ]
    return np.array(merged, dtype=object)


def places(bus: Columns) -> tuple[Floats, Floats]:
    """Return longitude and latitude of the buses [deg], NaN where a bus has no place."""
    x, y = np.full(len(bus), np.nan), np.full(len(bus), np.nan)
    for row, text in enumerate(bus.texts("geo").tolist()):
        if not text:
            continue
        try:
            x[row], y[row] = (float(value) for value in json.loads(text)["coordinates"][:2])
        except (ValueError, KeyError, TypeError, RecursionError):
            # A place that cannot be read is a missing place: nothing in a calculation depends on it.
            continue
    return x, y
