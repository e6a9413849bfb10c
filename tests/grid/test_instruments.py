"""Instruments: everything at the substation, little in between, a meter at each customer."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grid.grids import district, same

from gridloom.core.errors import BadInput
from gridloom.grid import table_from_bytes, table_to_bytes
from gridloom.grid.cells import derive_cells
from gridloom.grid.instruments import Instruments, gateway_names, place_instruments


def placed(share: float = 0.05, seed: int = 0) -> Instruments:
    return place_instruments(
        derive_cells(district()), rng=np.random.default_rng(seed), mv_share=share
    )


def test_each_kind_stands_where_it_belongs() -> None:
    table = placed()
    of_kind = {kind: table.take(table.kind == kind) for kind in set(table.kind.tolist())}
    assert set(of_kind) == {"meter", "branch", "bus", "switch", "indicator", "relay"}
    assert len(of_kind["meter"]) == 4
    assert of_kind["branch"].id.tolist() == [
        "branch:line:A-a1:from",
        "branch:line:B-b1:from",
        "branch:transformer:T1:lv",
    ]
    assert of_kind["relay"].id.tolist() == ["relay:CB A", "relay:CB B"]
    assert len(of_kind["indicator"]) == 4
    assert len(of_kind["switch"]) == 5


def test_flows_are_measured_at_the_breaker_s_side() -> None:
    grid = district()
    turned = grid.lines.with_columns(from_bus=[3, 3, 2, 4], to_bus=[1, 4, 5, 5])
    table = place_instruments(grid.with_tables(lines=turned), rng=np.random.default_rng(0))
    row = table.id.tolist().index("branch:line:A-a1:to")
    assert table.side[row] == 1


@given(st.floats(0.0, 1.0))
def test_the_share_of_measured_buses_is_as_asked(share: float) -> None:
    table = placed(share)
    # Five buses stand between 1 and 60 kV; the source bus is measured always.
    assert int((table.kind == "bus").sum()) == 1 + int(np.ceil(share * 5))


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(BadInput, match=r"mv_share is 1\.5"):
        placed(1.5)


def test_one_draw_gives_one_placement() -> None:
    assert same(placed(0.5, 3), placed(0.5, 3))


def test_every_cell_has_one_gateway() -> None:
    grid = derive_cells(district())
    names = gateway_names(grid)
    assert len(set(names.tolist())) == len(grid.cells)
    assert all(re.fullmatch(r"gw-[A-Za-z0-9_-]+", name) for name in names)
    table = placed()
    assert (table.gateway == names[table.cell]).all()


def test_instruments_travel_as_bytes() -> None:
    table = placed()
    assert same(table, table_from_bytes(Instruments, table_to_bytes(table)))
