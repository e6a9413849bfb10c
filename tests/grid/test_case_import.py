"""Reconfiguration cases: what is in them comes out, limits fit or are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.grid.grids import CASE

from gridloom.core.errors import BadInput, GridloomError, Malformed
from gridloom.grid import load, load_with_report
from gridloom.grid.summary import describe

FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "four.json"
    path.write_text(CASE, encoding="utf-8")
    return path


def test_a_switch_carries_its_branch_id(case: Path) -> None:
    grid = load(f"case:{case}")
    assert grid.switches.id.tolist() == ["1", "2", "3", "4"]
    assert grid.switches.closed.tolist() == [True, True, True, False]
    assert grid.switches.is_remote.all()
    assert grid.with_switches(open=["2"], closed=["4"]).switches.closed.tolist() == [
        True,
        False,
        True,
        True,
    ]


def test_breakers_stand_at_the_source(case: Path) -> None:
    grid = load(f"case:{case}")
    assert grid.switches.kind.tolist() == [
        "breaker",
        "load_break_switch",
        "breaker",
        "load_break_switch",
    ]
    assert grid.buses.id[grid.switches.bus].tolist() == ["1", "2", "1", "3"]


def test_kilowatts_become_megawatts(case: Path) -> None:
    summary = describe(load(case))
    assert summary.load_mw == pytest.approx(0.63)
    assert summary.load_mvar == pytest.approx(0.1)
    assert summary.is_radial
    assert summary.feeders == 2


def test_limits_become_amperes_and_lowest_voltage(case: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(
        '{"rules": {"line_limit_pu_1MVA": [1, 2, 3, 4], "vmin": 0.93}}', encoding="utf-8"
    )
    grid = load(f"case:{case}?limits={rules}")
    assert grid.lines.rated_ka[1] * np.sqrt(3.0) * 10.0 == pytest.approx(2.0)
    assert (grid.buses.v_min_pu == 0.93).all()
    assert not any(
        "limit" in entry.what
        for entry in load_with_report(f"case:{case}?limits={rules}").report.entries
    )


def test_limits_of_another_case_are_refused(case: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text('{"rules": {"line_limit_pu_1MVA": [1], "vmin": 0.93}}', encoding="utf-8")
    with pytest.raises(BadInput, match="name 1 branches, the case has 4"):
        load(f"case:{case}?limits={rules}")


def test_without_limits_the_report_says_so(case: Path) -> None:
    words = " ".join(load_with_report(f"case:{case}").report.lines())
    assert "no branch can be overloaded" in words
    assert "customers" in words


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("branches", 0, "t"), 99, "no bus with id '99'"),
        (("sources",), [42], "no bus with id '42'"),
        (("branches", 1, "id"), 1, "stands 2 times"),
        (("vn_kv",), -1.0, "rated line-to-line voltage"),
        (("buses", 0, "p_kw"), "many", "not a case file"),
    ],
)
def test_what_is_wrong_is_named(
    case: Path, path: tuple[str | int, ...], value: object, words: str
) -> None:
    content = json.loads(CASE)
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    case.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BadInput, match=words):
        load(f"case:{case}")


def test_an_unknown_query_is_refused(case: Path) -> None:
    with pytest.raises(BadInput, match="only limits=PATH"):
        load(f"case:{case}?limit=x")


@FUZZ
@given(st.integers(0, len(CASE) - 2))
def test_a_case_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.json"
    path.write_text(CASE[:cut], encoding="utf-8")
    with pytest.raises(Malformed):
        load(f"case:{path}")


@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_without_a_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.json"
    path.write_bytes(content)
    with pytest.raises(GridloomError):
        load(f"case:{path}")


@pytest.mark.published
@pytest.mark.parametrize("name", ["16ci", "33bw", "33mg", "70da", "118zh", "136ma"])
def test_published_cases_are_radial_and_fed(data: Path, name: str) -> None:
    path = data / "cases" / f"{name}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    summary = describe(load(f"case:{path}"))
    assert (summary.buses, summary.lines) == (content["n_bus"], content["n_branch"])
    assert summary.ties == content["n_open"]
    assert summary.dead_buses == 0
    assert summary.is_radial
