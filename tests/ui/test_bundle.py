"""What the built page is made of: small, and nothing that another host would have to serve."""

import gzip
import re
from pathlib import Path

import pytest

from gridloom.control_room.app import PLAIN, STATIC

ROOT = Path(__file__).parents[2]
MOST_BYTES = 60_000
LOADED = re.compile(r"""(?:src|href|url)\s*[=(]\s*["']?\s*((?:https?:)?//[^"'\s)]+)""")


def built() -> list[Path]:
    """Return the built files, or skip."""
    files = [path for path in STATIC.rglob("*") if path.suffix in {".js", ".css", ".html"}]
    if not files:
        pytest.skip("the page is not built: make ui")
    return files


def test_script_and_style_stay_below_60_kb_compressed() -> None:
    size = sum(len(gzip.compress(path.read_bytes())) for path in built() if path.suffix != ".html")
    assert size < MOST_BYTES


def test_nothing_is_loaded_from_another_host() -> None:
    for path in [*built(), *PLAIN.iterdir()]:
        assert LOADED.findall(path.read_text()) == [], path.name


def test_the_plain_page_has_no_inline_script_or_style() -> None:
    page = (PLAIN / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|style=|\son\w+=", page)


def test_the_packages_are_locked_without_addresses() -> None:
    lock = (ROOT / "web/package-lock.json").read_text()
    assert "http" not in lock
    assert lock.count('"integrity"') > 50
