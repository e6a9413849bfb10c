"""The page on the grid file says what the tables are."""

from __future__ import annotations

from pathlib import Path

from gridloom.grid.schema import schema_markdown


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "grid-file.md"
    assert page.read_text(encoding="utf-8") == schema_markdown()
