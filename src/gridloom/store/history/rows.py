"""Rows of readings: what goes into the history and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Columns of equal length, one row a reading."""

    time_ns: NDArray[np.int64]
    """Grid time, shape (row,) [ns since 1970 UTC]."""
    index: NDArray[np.uint32]
    """What was read: a row of the instruments' table, shape (row,)."""
    columns: dict[str, NDArray[np.float32]]
    """Name with its unit -> values, shape (row,); NaN for a value that is not there."""

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def of(
        cls,
        time_ns: int | NDArray[np.int64],
        index: NDArray[np.uint32],
        columns: Mapping[str, NDArray[np.float32]],
    ) -> Self:
        """Return checked rows that share no memory with the arguments.

        Raises:
            BadInput: If there is no column, or lengths differ.
        """
        n = len(index)
        times = np.empty(n, dtype=np.int64)
        lengths = {name: np.shape(values) for name, values in columns.items()}
        if not columns or any(shape != (n,) for shape in lengths.values()):
            message = (
                f"{n} rows, but the columns have shapes {lengths}; give at least one, all ({n},)"
            )
            raise BadInput(message)
        try:
            times[:] = time_ns
        except ValueError as error:
            message = f"{n} rows, but {np.shape(time_ns)} times"
            raise BadInput(message) from error
        copies = {name: np.array(values, dtype=np.float32) for name, values in columns.items()}
        return cls(times, np.array(index, dtype=np.uint32), copies)

    @classmethod
    def joined(cls, blocks: Sequence[Self]) -> Self:
        """Return the rows of several blocks with the same columns, in their order."""
        return cls(
            np.concatenate([block.time_ns for block in blocks]),
            np.concatenate([block.index for block in blocks]),
            {
                name: np.concatenate([block.columns[name] for block in blocks])
                for name in blocks[0].columns
            },
        )

    def taken(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """Return some of the rows."""
        columns = {name: values[which] for name, values in self.columns.items()}
        return type(self)(self.time_ns[which], self.index[which], columns)

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table; the columns share this object's memory."""
        return pa.table({"time_ns": self.time_ns, "index": self.index, **self.columns})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Return the rows of an Arrow table that has `time_ns` and `index`."""
        names = [name for name in table.column_names if name not in {"time_ns", "index"}]
        return cls(
            table["time_ns"].to_numpy().astype(np.int64, copy=False),
            table["index"].to_numpy().astype(np.uint32, copy=False),
            {name: table[name].to_numpy().astype(np.float32, copy=False) for name in names},
        )
