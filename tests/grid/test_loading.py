"""One way in: URIs, paths, and what is said when they lead nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grid.grids import district

import gridloom
from gridloom.core.errors import BadInput, GridloomError, Unavailable
from gridloom.grid import load, save


def test_a_path_is_read_by_its_ending(tmp_path: Path) -> None:
    path = save(district(), tmp_path / "x.gridloom")
    assert load(path).hash == load(str(path)).hash == gridloom.load(path).hash == district().hash


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        ("nosuch:thing", BadInput, "unknown scheme 'nosuch'.*simbench"),
        ("simbench:", BadInput, "names no grid"),
        ("dss:feeder.dss", BadInput, "OpenDSS files are not read yet"),
        ("nowhere.gridloom", Unavailable, "nowhere.gridloom"),
        ("case:nowhere.json", Unavailable, "nowhere.json"),
        ("matpower:nowhere.m", Unavailable, "nowhere.m"),
        ("rts-gmlc:nowhere", Unavailable, "rts_bus"),
        ("pandapower:nowhere.json", Unavailable, "nowhere.json"),
    ],
)
def test_what_leads_nowhere_is_named(uri: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        load(uri)


@given(
    st.text(max_size=30).filter(
        lambda text: "\0" not in text and not text.startswith(("simbench:", "pandapower:"))
    )
)
def test_any_text_gives_an_error_of_ours(uri: str) -> None:
    with pytest.raises(GridloomError):
        load(uri)


def test_importing_the_room_stays_light() -> None:
    heavy = "{'pandapower', 'simbench', 'pandas', 'pyarrow', 'scipy', 'numba'}"
    code = f"import sys, gridloom.grid; print(sorted({heavy} & sys.modules.keys()))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
