"""The last row of each instrument, in memory: plain arrays, no query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from gridloom.store.history.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEVER: Final = np.iinfo(np.int64).min


class LatestRows:
    """Grows with the largest index that it has seen."""

    def __init__(self) -> None:
        self._time_ns: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._columns: dict[str, NDArray[np.float32]] = {}

    def take(self, rows: Rows) -> None:
        """Keep what is not older than what is there; of equal times the later row wins."""
        if not len(rows):
            return
        self._grow(int(rows.index.max()) + 1, tuple(rows.columns))
        if (rows.time_ns[1:] < rows.time_ns[:-1]).any():
            rows = rows.taken(np.argsort(rows.time_ns, kind="stable"))
        is_news = rows.time_ns >= self._time_ns[rows.index]
        where = rows.index[is_news]
        self._time_ns[where] = rows.time_ns[is_news]
        for name, values in rows.columns.items():
            self._columns[name][where] = values[is_news]

    def rows(self) -> Rows:
        """Return one row for each instrument that was ever seen, by index."""
        seen = np.flatnonzero(self._time_ns != _NEVER)
        columns = {name: values[seen] for name, values in self._columns.items()}
        return Rows(self._time_ns[seen], seen.astype(np.uint32), columns)

    def _grow(self, n: int, columns: tuple[str, ...]) -> None:
        if n > len(self._time_ns):
            size = max(n, 2 * len(self._time_ns))
            self._time_ns = _extended(self._time_ns, size, _NEVER)
            self._columns = {
                name: _extended(values, size, np.nan) for name, values in self._columns.items()
            }
        for name in columns:
            if name not in self._columns:
                self._columns[name] = np.full(len(self._time_ns), np.nan, dtype=np.float32)


def _extended[T: np.generic](values: NDArray[T], size: int, fill: float) -> NDArray[T]:
    grown = np.full(size, fill, dtype=values.dtype)
    grown[: len(values)] = values
    return grown
