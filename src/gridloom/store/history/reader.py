"""Asking the history: DuckDB over the Parquet files, from any process, while another writes.

The connection is in memory and only reads. Every result is fetched whole before the next statement: DuckDB 2.0
refuses a new one while a result is half read.
"""

from __future__ import annotations

import re
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import duckdb
import pyarrow as pa

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S
from gridloom.store.errors import StoreFailed
from gridloom.store.history import layout
from gridloom.store.history.rollup import columns_of, rollup_sql
from gridloom.store.history.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FIXED: Final = ("time_ns", "index")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EMPTY: Final = pa.table({"time_ns": pa.array([], pa.int64()), "index": pa.array([], pa.uint32())})


class HistoryReader:
    """Reads what is flushed."""

    def __init__(self, directory: Path | str, *, threads: int = 1, memory_mb: int = 512) -> None:
        """Read the history in `directory`.

        Args:
            directory: The history's own directory.
            threads: Cores that a query may use: few, since the loop needs the others.
            memory_mb: What a query may hold; beyond it, it goes to the disk [MB].
        """
        self.root = Path(directory)
        config: dict[str, str | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": str(self.root / ".spill"),
        }
        self._database = duckdb.connect(":memory:", config=config)
        self._database_lock = threading.Lock()

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of readings that there are."""
        return layout.kinds(self.root)

    def query(
        self,
        kind: str,
        start_ns: int,
        end_ns: int,
        *,
        index: Iterable[int] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Rows:
        """Return rows in [start_ns, end_ns), by time and index.

        Args:
            kind: Kind of readings; one without files gives no rows.
            start_ns: First time [ns since 1970 UTC].
            end_ns: First time that is out [ns since 1970 UTC].
            index: Instruments; all by default.
            columns: Columns; all by default.

        Raises:
            BadInput: If a column does not exist.
            StoreFailed: If a file cannot be read.
        """
        wanted = "*" if columns is None else ", ".join(map(_quoted, (*_FIXED, *columns)))
        where, values = _where(start_ns, end_ns, index)
        sql = f"SELECT {wanted} FROM source WHERE {where} ORDER BY time_ns, index"  # noqa: S608 - names quoted
        return self._ask(kind, start_ns, end_ns, sql, values)

    def at(self, kind: str, time_ns: int, *, lookback_s: float = 86_400.0) -> Rows:
        """Return the last row of each instrument at or before `time_ns`, by index.

        Args:
            kind: Kind of readings.
            time_ns: The moment [ns since 1970 UTC].
            lookback_s: Instruments silent for longer are left out [s].

        Raises:
            StoreFailed: If a file cannot be read.
        """
        start_ns, end_ns = time_ns - round(lookback_s * NS_PER_S), time_ns + 1
        where, values = _where(start_ns, end_ns, None)
        sql = f"""SELECT last.* FROM (
            SELECT arg_max(source, time_ns) AS last FROM source WHERE {where} GROUP BY index
            ) ORDER BY last.index"""  # noqa: S608 - no input in it
        return self._ask(kind, start_ns, end_ns, sql, values)

    def latest(self, kind: str, *, lookback_s: float = 86_400.0) -> Rows:
        """Return the last row of each instrument, by index, up to `lookback_s` before the newest."""
        last = self.last_ns(kind)
        return (
            Rows.from_arrow(_EMPTY) if last is None else self.at(kind, last, lookback_s=lookback_s)
        )

    def rollups(
        self, kind: str, start_ns: int, end_ns: int, *, index: Iterable[int] | None = None
    ) -> Rows:
        """Return quarter hours that start in [start_ns, end_ns), by time and index.

        Columns are `n` (rows) and, for each raw column, `_mean`, `_min` and `_max`. Days that are not rolled up
        yet are computed from their raw rows.

        Raises:
            StoreFailed: If a file cannot be read.
        """
        layout.check_kind(kind)
        where, values = _where(start_ns, end_ns, index)
        parts = layout.parts_between(self.root, layout.ROLLUP, kind, start_ns, end_ns)
        stored = [str(part.path) for part in parts]
        days = set(layout.days(self.root, layout.ROLLUP, kind))
        raw = [
            part
            for day in layout.days(self.root, layout.RAW, kind)
            if day not in days and layout.day_of(start_ns) <= day <= layout.day_of(end_ns)
            for part in layout.parts(self.root, layout.RAW, kind, day)
        ]
        sources = []
        if stored:
            sources.append(
                "SELECT * FROM read_parquet($stored, union_by_name = true, hive_partitioning = false)"
            )
            values["stored"] = stored
        if raw:
            columns = tuple(dict.fromkeys(name for part in raw for name in columns_of(part.path)))
            fresh = rollup_sql(
                columns, "read_parquet($raw, union_by_name = true, hive_partitioning = false)"
            )
            sources.append(f"SELECT * FROM ({fresh})")  # noqa: S608 - names are the files' own
            values["raw"] = [str(part.path) for part in raw]
        if not sources:
            return Rows.from_arrow(_EMPTY)
        source = " UNION ALL BY NAME ".join(sources)
        sql = f"SELECT * FROM ({source}) WHERE {where} ORDER BY time_ns, index"  # noqa: S608 - no input in it
        try:
            return Rows.from_arrow(self._execute(sql, values, None))
        except duckdb.Error as error:
            raise StoreFailed(self.root, str(error)) from error

    def last_ns(self, kind: str) -> int | None:
        """Return the newest time of `kind` [ns since 1970 UTC], or None if there is none."""
        days = layout.days(self.root, layout.RAW, kind)
        for day in reversed(days):
            found = layout.parts(self.root, layout.RAW, kind, day)
            if found:
                return max(part.last_ns for part in found)
        return None

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self, kind: str, start_ns: int, end_ns: int, sql: str, values: dict[str, object]
    ) -> Rows:
        files, buffered = self._sources(kind, start_ns, end_ns)
        try:
            return Rows.from_arrow(self._run(files, buffered, sql, values))
        except duckdb.BinderException as error:
            message = f"the history of {kind}: {error}"
            raise BadInput(message) from error
        except duckdb.IOException:
            # Retention may have taken a file between listing and reading: list again, once.
            files, buffered = self._sources(kind, start_ns, end_ns)
            try:
                return Rows.from_arrow(self._run(files, buffered, sql, values))
            except duckdb.Error as error:
                raise StoreFailed(self.root, str(error)) from error
        except duckdb.Error as error:
            raise StoreFailed(self.root, str(error)) from error

    def _sources(self, kind: str, start_ns: int, end_ns: int) -> tuple[list[str], pa.Table | None]:
        """Return files that may hold rows in the interval, and rows that are not flushed yet."""
        layout.check_kind(kind)
        found = layout.parts_between(self.root, layout.RAW, kind, start_ns, end_ns)
        return [str(part.path) for part in found], None

    def _run(
        self,
        files: Sequence[str],
        buffered: pa.Table | None,
        sql: str,
        values: dict[str, object],
    ) -> pa.Table:
        if not files and buffered is None:
            return _EMPTY
        sources = (
            ["SELECT * FROM read_parquet($files, union_by_name = true, hive_partitioning = false)"]
            if files
            else []
        )
        if files:
            values = {**values, "files": list(files)}
        if buffered is not None:
            sources.append("SELECT * FROM buffered")
        source = " UNION ALL BY NAME ".join(sources)
        return self._execute(f"WITH source AS ({source}) {sql}", values, buffered)

    def _execute(self, sql: str, values: dict[str, object], buffered: pa.Table | None) -> pa.Table:
        # A cursor each, so that threads share neither a result nor the name of a registered table.
        with self._database_lock, closing(self._database.cursor()) as cursor:
            if buffered is not None:
                cursor.register("buffered", buffered)
            return cursor.sql(sql, params=values).to_arrow_table()


def _where(
    start_ns: int, end_ns: int, index: Iterable[int] | None
) -> tuple[str, dict[str, object]]:
    values: dict[str, object] = {"start": start_ns, "end": end_ns}
    where = "time_ns >= $start AND time_ns < $end"
    if index is None:
        return where, values
    values["which"] = [int(row) for row in index]
    return f"{where} AND index IN (SELECT unnest($which))", values


def _quoted(name: str) -> str:
    if not _NAME.fullmatch(name):
        message = f"{name!r} is not a column's name"
        raise BadInput(message)
    return f'"{name}"'
