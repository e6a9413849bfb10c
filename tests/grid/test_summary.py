"""A grid in figures, and from file to file."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.grid.grids import CASE, district

from gridloom.core.errors import BadInput, Unavailable
from gridloom.grid import read, save
from gridloom.grid.summary import convert, describe

pytestmark = pytest.mark.filterwarnings("ignore")


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


def test_conversion_keeps_the_grid_and_its_report(tmp_path: Path) -> None:
    case = tmp_path / "four.json"
    case.write_text(CASE, encoding="utf-8")
    report = convert(f"case:{case}", tmp_path / "four.gridloom")
    assert len(report) > 0
    assert len(read(tmp_path / "four.gridloom").buses) == 4
    report = convert(tmp_path / "four.gridloom", tmp_path / "out.json")
    assert any("customers" in entry.what for entry in report.entries)
    convert(tmp_path / "out.json", tmp_path / "back.gridloom")
    assert read(tmp_path / "back.gridloom").lines.id.tolist() == ["1", "2", "3", "4"]


def test_an_ending_that_nobody_writes_is_refused(tmp_path: Path) -> None:
    path = save(district(), tmp_path / "x.gridloom")
    with pytest.raises(BadInput, match=r"ends in \.gridloom or \.json"):
        convert(path, tmp_path / "x.xlsx")
    with pytest.raises(Unavailable):
        convert(path, tmp_path / "no" / "x.gridloom")
