"""Rules about the documentation: what it points to is there."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GENERATED = "reference/"
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


def _nav_pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for inner in entry.values():
            yield from _nav_pages(inner)
    else:
        for inner in entry:
            yield from _nav_pages(inner)


def test_every_page_of_the_navigation_is_there(root: Path) -> None:
    nav = tomllib.loads((root / "zensical.toml").read_text())["project"]["nav"]
    pages = [page for page in _nav_pages(nav) if not page.startswith(GENERATED)]
    assert [page for page in pages if not (root / "docs" / page).is_file()] == []


def test_every_page_is_in_the_navigation(root: Path) -> None:
    nav = tomllib.loads((root / "zensical.toml").read_text())["project"]["nav"]
    pages = {path.relative_to(root / "docs").as_posix() for path in (root / "docs").rglob("*.md")}
    assert {page for page in pages if not page.startswith(GENERATED)} - set(
        _nav_pages(nav)
    ) == set()


def test_every_link_between_pages_leads_somewhere(root: Path, texts: dict[str, str]) -> None:
    broken = [
        (name, target)
        for name, text in texts.items()
        if name.endswith(".md")
        for target in LINK.findall(text)
        if GENERATED not in target and not (root / name).parent.joinpath(target).exists()
    ]
    assert broken == []
