"""Where the history's files lie and what their names say; there is no manifest that could disagree with them.

    raw/<kind>/day=2020-12-18/<first ns>_<last ns>_<number>.parquet      rows as they came
    rollup/<kind>/day=2020-12-18/<first ns>_<last ns>_<number>.parquet   15 minutes each; number = last raw part in it

A name that starts with a dot is not finished, or on its way out, and is never read.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S
from gridloom.store.locks import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

NS_PER_DAY: Final = 86_400 * NS_PER_S
RAW, ROLLUP = "raw", "rollup"
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_PART: Final = re.compile(r"(-?\d+)_(-?\d+)_(\d+)\.parquet")


@dataclass(frozen=True)
class Part:
    """One finished file."""

    path: Path
    first_ns: int
    last_ns: int
    number: int
    """Counts a kind's flushes."""


def day_of(time_ns: int) -> int:
    """Return whole days since 1970 UTC."""
    return time_ns // NS_PER_DAY


def day_of_each(time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return whole days since 1970 UTC, shape (row,)."""
    return time_ns // NS_PER_DAY


def check_kind(kind: str) -> str:
    """Return `kind` if it can be a directory's name, else raise `BadInput`."""
    if not _KIND.fullmatch(kind):
        message = f"history kind {kind!r}; give lower-case letters, digits and underscores"
        raise BadInput(message)
    return kind


def day_directory(root: Path, shelf: str, kind: str, day: int) -> Path:
    """Return where the files of one day lie."""
    date = datetime.fromtimestamp(day * 86_400, UTC).date()
    return root / shelf / kind / f"day={date}"


def part_path(directory: Path, first_ns: int, last_ns: int, number: int) -> Path:
    """Return the name of a finished file."""
    return directory / f"{first_ns}_{last_ns}_{number}.parquet"


def unfinished(path: Path) -> Path:
    """Return the name under which `path` is written before it is renamed."""
    return path.with_name(f".{path.name}")


def kinds(root: Path) -> tuple[str, ...]:
    """Return the kinds that have files."""
    found = {directory.name for shelf in (RAW, ROLLUP) for directory in _directories(root / shelf)}
    return tuple(sorted(found))


def days(root: Path, shelf: str, kind: str) -> tuple[int, ...]:
    """Return the days of `kind` that have a directory on `shelf`, in order."""
    names = (directory.name for directory in _directories(root / shelf / kind))
    dates = (name.removeprefix("day=") for name in names if name.startswith("day="))
    return tuple(
        sorted(
            day_of(int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * NS_PER_S)
            for date in dates
        )
    )


def parts(root: Path, shelf: str, kind: str, day: int) -> tuple[Part, ...]:
    """Return the finished files of one day by number."""
    found = []
    for name in _names(day_directory(root, shelf, kind, day)):
        match = _PART.fullmatch(name)
        if match:
            first_ns, last_ns, number = map(int, match.groups())
            path = day_directory(root, shelf, kind, day) / name
            found.append(Part(path, first_ns, last_ns, number))
    return tuple(sorted(found, key=lambda part: part.number))


def parts_between(
    root: Path, shelf: str, kind: str, start_ns: int, end_ns: int
) -> tuple[Part, ...]:
    """Return the finished files that may hold rows in [start_ns, end_ns)."""
    return tuple(
        part
        for day in days(root, shelf, kind)
        if day_of(start_ns) <= day <= day_of(end_ns)
        for part in parts(root, shelf, kind, day)
        if part.first_ns < end_ns and part.last_ns >= start_ns
    )


def sync_file(path: Path) -> None:
    """Put a file's bytes on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def finish(root: Path, path: Path) -> None:
    """Give a written and synced file its own name, so that it survives a power cut."""
    unfinished(path).rename(path)
    sync_names(root, path.parent)


def sync_names(root: Path, directory: Path) -> None:
    """Make the names in `directory`, and those of the directories up to `root`, survive a power cut."""
    sync_directory(directory)
    while directory != root:
        directory = directory.parent
        sync_directory(directory)


def remove_day(root: Path, shelf: str, kind: str, day: int) -> None:
    """Remove a day in one step, as any reader sees it."""
    directory = day_directory(root, shelf, kind, day)
    leaving = unfinished(directory)
    directory.rename(leaving)
    sync_directory(leaving.parent)
    shutil.rmtree(leaving)


def sweep(root: Path) -> None:
    """Remove what a killed writer left unfinished; only the holder of the lock may."""
    for shelf in (RAW, ROLLUP):
        for leftover in list((root / shelf).glob("*/.day=*")):
            shutil.rmtree(leftover)
        for leftover in list((root / shelf).glob("*/day=*/.*.parquet")):
            leftover.unlink()


def _directories(directory: Path) -> Iterator[Path]:
    return (directory / name for name in sorted(_names(directory)) if not name.startswith("."))


def _names(directory: Path) -> list[str]:
    try:
        return [path.name for path in directory.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
