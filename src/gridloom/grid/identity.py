"""Hashes by which two parties know that they talk about the same grid, and about the same switch positions."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.hashing import canonical_bytes, digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Table


def model_hash(grid: Grid) -> str:
    """Return the hash of everything in `grid` but its switch positions, as 64 hexadecimal digits.

    Positions are left out so that the model keeps its name while switches move; `state_hash` has them.
    """
    return digest(_parts(grid))


def state_hash(grid: Grid) -> str:
    """Return the hash of the model and its switch positions, as 64 hexadecimal digits."""
    return digest((grid.hash.encode(), np.packbits(grid.switches.closed).tobytes()))


def _parts(grid: Grid) -> Iterator[bytes]:
    from gridloom.grid.model import TABLES

    yield canonical_bytes([grid.name, grid.frequency_hz, grid.profiles])
    for name in TABLES:
        yield name.encode()
        yield from _table_parts(getattr(grid, name), skip="closed" if name == "switches" else "")


def _table_parts(table: Table, *, skip: str) -> Iterator[bytes]:
    for spec in fields(table):
        if spec.name == skip:
            continue
        values = getattr(table, spec.name)
        yield spec.name.encode()
        if spec.metadata["kind"] == "text":
            yield canonical_bytes(values.tolist())
        elif spec.metadata["kind"] == "float":
            # One bit pattern for every NaN and for both zeros.
            yield np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8").tobytes()
        else:
            yield values.astype(values.dtype.newbyteorder("<")).tobytes()
