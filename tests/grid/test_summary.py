"""A grid in figures."""

from __future__ import annotations

import pytest
from tests.grid.grids import district

from gridloom.grid.summary import describe


def test_figures_are_those_of_the_tables() -> None:
    summary = describe(district())
    assert (summary.buses, summary.lines, summary.transformers, summary.switches) == (7, 4, 2, 5)
    assert (summary.ties, summary.breakers, summary.remote_switches) == (1, 3, 5)
    assert summary.line_km == pytest.approx(5.5)
    assert summary.load_mw == pytest.approx(1.507)
    assert [level.vn_kv for level in summary.levels] == [110.0, 10.0, 0.4]
    assert summary.levels[1].line_km == pytest.approx(5.5)
    assert summary.is_radial
    assert summary.nodes == 6


def test_closing_the_tie_makes_a_loop() -> None:
    assert not describe(district().with_switches(closed=["tie"])).is_radial
