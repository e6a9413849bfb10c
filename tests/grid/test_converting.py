"""From file to file."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.grid.grids import CASE, district

from gridloom.core.errors import BadInput, Unavailable
from gridloom.grid import read, save
from gridloom.grid.converting import convert

pytestmark = pytest.mark.filterwarnings("ignore")


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
