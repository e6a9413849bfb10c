"""Quarter hours: for each instrument and column the mean, least and greatest value, and how many rows there were.

A day is rolled up when it is over, and again when late rows came; its raw rows may go after that, never before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow.parquet as pq

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S
from gridloom.store.errors import StoreFailed
from gridloom.store.history import layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STEP_NS: Final = 900 * NS_PER_S


@dataclass(frozen=True)
class Retention:
    """How long what is kept."""

    raw_days: int = 30
    rollup_days: int = 3650

    def __post_init__(self) -> None:
        if not 1 <= self.raw_days <= self.rollup_days:
            message = (
                f"raw rows for {self.raw_days} days and rollups for {self.rollup_days}; "
                "give at least 1, and rollups no less than raw rows"
            )
            raise BadInput(message)


@dataclass(frozen=True)
class Upkeep:
    """What one round of upkeep did."""

    rolled_up: int
    """Days of a kind that were rolled up, or rolled up again."""
    removed: int
    """Days of a kind whose raw rows or rollups were removed."""


def rollup_sql(columns: Sequence[str], source: str) -> str:
    """Return the query over `source`; NaN values count as not there, but their rows count in `n`."""
    figures = ", ".join(
        f'{function}("{name}") FILTER (NOT isnan("{name}")) AS "{name}_{suffix}"'
        for name in columns
        for function, suffix in (("avg", "mean"), ("min", "min"), ("max", "max"))
    )
    return (
        f"SELECT time_ns // {STEP_NS} * {STEP_NS} AS time_ns, index, count(*)::FLOAT AS n, {figures}"  # noqa: S608 - names are the files' own
        f" FROM {source} GROUP BY ALL ORDER BY time_ns, index"
    )


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the value columns of a raw file."""
    names = pq.read_schema(path).names
    return tuple(name for name in names if name not in {"time_ns", "index"})


def roll_up(root: Path, kind: str, day: int, database: duckdb.DuckDBPyConnection) -> bool:
    """Roll one day up if that was not done, or was done before its last rows came.

    Returns:
        Whether there was anything to do.

    Raises:
        StoreFailed: If the disk refuses or a file cannot be read; no half rollup is left.
    """
    raw = layout.parts(root, layout.RAW, kind, day)
    done = layout.parts(root, layout.ROLLUP, kind, day)
    number = max((part.number for part in raw), default=0)
    if not raw or (done and done[-1].number >= number):
        return False
    first_ns = min(part.first_ns for part in raw) // STEP_NS * STEP_NS
    last_ns = max(part.last_ns for part in raw) // STEP_NS * STEP_NS
    directory = layout.day_directory(root, layout.ROLLUP, kind, day)
    path = layout.part_path(directory, first_ns, last_ns, number)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _copy(database, [part.path for part in raw], layout.unfinished(path))
        layout.finish(root, path)
        for older in done:
            older.path.unlink()
    except (OSError, duckdb.Error) as error:
        layout.unfinished(path).unlink(missing_ok=True)
        raise StoreFailed(path, str(error)) from error
    return True


def maintain(
    root: Path, now_ns: int, retention: Retention, database: duckdb.DuckDBPyConnection
) -> Upkeep:
    """Roll up every day that is over, then remove what is older than its retention.

    Args:
        root: The history's directory, whose lock the caller holds.
        now_ns: Grid time [ns since 1970 UTC].
        retention: How long what is kept.
        database: Any DuckDB connection.

    Raises:
        StoreFailed: As `roll_up`.
    """
    today = layout.day_of(now_ns)
    rolled_up = removed = 0
    for kind in layout.kinds(root):
        for day in layout.days(root, layout.RAW, kind):
            if day >= today:
                continue
            rolled_up += roll_up(root, kind, day, database)
            if day < today - retention.raw_days:
                layout.remove_day(root, layout.RAW, kind, day)
                removed += 1
        for day in layout.days(root, layout.ROLLUP, kind):
            if day < today - retention.rollup_days:
                layout.remove_day(root, layout.ROLLUP, kind, day)
                removed += 1
    return Upkeep(rolled_up, removed)


def _copy(database: duckdb.DuckDBPyConnection, files: Sequence[Path], path: Path) -> None:
    columns = dict.fromkeys(name for file in files for name in columns_of(file))
    query = rollup_sql(
        tuple(columns), "read_parquet($files, union_by_name = true, hive_partitioning = false)"
    )
    target = str(path).replace("'", "''")
    sql = f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    database.execute(sql, {"files": [str(file) for file in files]}).fetchall()
    layout.sync_file(path)
