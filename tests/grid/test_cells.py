"""Cells form a tree, and their paths can be message subjects."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.grid.grids import district

from gridloom.core.errors import BadInput
from gridloom.grid import Cells
from gridloom.grid.cells import derive_cells, subnet_cells


def test_feeders_come_from_the_topology() -> None:
    grid = derive_cells(district())
    cell = dict(zip(grid.buses.id.tolist(), grid.cells.id[grid.buses.cell].tolist(), strict=True))
    assert cell["hv"] == cell["bar A"] == cell["bar B"] == "substation1"
    assert cell["a1"] == cell["a2"] == cell["lv"]
    assert cell["b1"] != cell["a1"]
    assert cell["b1"].startswith("feeder")
    assert grid.cell_path(int(grid.buses.cell[5])) == f"grid.substation1.{cell['b1']}"


def test_subnets_become_a_tree_from_high_to_low_voltage() -> None:
    subnets = np.array(
        ["HV1_MV3.101", "MV3.101", "MV3.101_LV4.301_Feeder2", "LV4.301"], dtype=object
    )
    cells, cell = subnet_cells(subnets, subnets[[0, 2]], subnets[[1, 3]])
    grid = district().with_tables(cells=cells)
    assert [grid.cell_path(row) for row in cell] == [
        "HV1",
        "HV1.MV3-101",
        "HV1.MV3-101.MV3-101_Feeder2",
        "HV1.MV3-101.MV3-101_Feeder2.LV4-301",
    ]
    assert cells.kind[cell].tolist() == ["area", "substation", "feeder", "neighbourhood"]


def test_paths_are_tokens_and_unique() -> None:
    cells = Cells(id=["röot", "a.b", "a b", ""], parent=[-1, 0, 0, 0])
    grid = district().with_tables(cells=cells)
    paths = [grid.cell_path(row) for row in range(4)]
    assert len(set(paths)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", path) for path in paths)


@pytest.mark.parametrize("parent", [[1, 0], [0, 0], [-1, 7]])
def test_cells_in_a_circle_or_beyond_the_table_are_refused(parent: list[int]) -> None:
    grid = district().with_tables(cells=Cells(id=["a", "b"], parent=parent))
    with pytest.raises(BadInput, match="circle or point outside"):
        grid.cell_path(1)
