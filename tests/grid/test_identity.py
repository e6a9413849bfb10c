"""The model keeps its name while switches move; anything else changes it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.grid.grids import district

from gridloom.grid import TABLES


def test_positions_change_the_state_hash_alone() -> None:
    grid = district()
    moved = grid.with_switches(open=["CB A"])
    assert moved.hash == grid.hash
    assert moved.switch_hash != grid.switch_hash
    assert moved.with_switches(closed=["CB A"]).switch_hash == grid.switch_hash


@pytest.mark.parametrize("name", [name for name in TABLES if len(getattr(district(), name))])
def test_every_column_counts(name: str) -> None:
    grid = district()
    table = getattr(grid, name)
    for column in table.column_names():
        if (name, column) == ("switches", "closed"):
            continue
        values = np.array(getattr(table, column))
        values[0] = {"O": "other", "f": 123.0, "i": 77, "b": not values[0]}[values.dtype.kind]
        changed = grid.with_tables(**{name: table.with_columns(**{column: values})})
        assert changed.hash != grid.hash, column


def test_both_zeros_and_all_nans_are_one() -> None:
    grid = district()
    a = grid.with_tables(loads=grid.loads.with_columns(q_mvar=[0.0, np.nan, 0.1, 0.0]))
    b = grid.with_tables(loads=grid.loads.with_columns(q_mvar=[-0.0, -np.nan, 0.1, 0.0]))
    assert a.hash == b.hash
