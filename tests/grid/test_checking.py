"""Each kind of bad input is found and named with its value, its limit and the way out."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from tests.grid.grids import any_grid, district

from gridloom.grid import Cells, Grid, Loads
from gridloom.grid.checking import MAX_NAMED, Severity, check


def test_a_sound_grid_has_no_findings() -> None:
    assert check(district()) == ()


def changed(table: str, **columns: object) -> Callable[[], Grid]:
    return lambda: district().with_tables(
        **{table: getattr(district(), table).with_columns(**columns)}
    )


@pytest.mark.parametrize(
    ("make", "kind", "id_", "words"),
    [
        (
            changed("lines", to_bus=[3, 4, 5, 99]),
            "unknown_reference",
            "a2-b1",
            "to_bus points outside buses",
        ),
        (changed("loads", bus=[3, 5, 6, -1]), "unknown_reference", "L lv 2", "bus points outside"),
        (
            changed("switches", element=[2, 0, 2, 1, 44]),
            "unknown_reference",
            "tie",
            "a line that is not there",
        ),
        (
            changed("switches", element_kind=["bus", "line", "line", "line", "pole"]),
            "unknown_reference",
            "tie",
            "'pole'",
        ),
        (
            changed("lines", r_ohm=[0.2, 0.0, 0.2, 0.2], x_ohm=[0.1, 0.0, 0.1, 0.1]),
            "zero_impedance",
            "a1-a2",
            "closed switch",
        ),
        (changed("lines", r_ohm=[0.2, -0.1, 0.2, 0.2]), "negative_resistance", "a1-a2", "sign"),
        (changed("lines", x_ohm=[0.1, np.nan, 0.1, 0.1]), "not_finite", "a1-a2", r"x_ohm \[ohm\]"),
        (changed("lines", rated_ka=[300.0, 0.3, 0.3, 0.3]), "wrong_unit", "A-a1", "ampere"),
        (changed("lines", rated_ka=[0.3, 0.0, 0.3, 0.3]), "rating", "a1-a2", "positive"),
        (changed("loads", p_mw=[1000.0, 0.5, 0.004, 0.003]), "wrong_unit", "L a1", "write 1 MW"),
        (changed("loads", p_mw=[1.0, 0.5, 4.0, 0.003]), "wrong_unit", "L lv 1", "write 0.004 MW"),
        (changed("loads", p_mw=[np.inf, 0.5, 0.004, 0.003]), "not_finite", "L a1", "p_mw"),
        (
            changed("loads", z_share=[0.8, 0, 0, 0], i_share=[0.5, 0, 0, 0]),
            "shares",
            "L a1",
            "between 0 and 1",
        ),
        (
            changed("buses", vn_kv=[110.0, 10.0, 10.0, 10.0, 10.0, 20.0, 0.4]),
            "voltage_mismatch",
            "B-b1",
            "transformer",
        ),
        (
            changed("buses", vn_kv=[110000.0, 10.0, 10.0, 10.0, 10.0, 10.0, 0.4]),
            "wrong_unit",
            "hv",
            "volt",
        ),
        (changed("buses", v_min_pu=[1.2] * 7), "voltage_limits", "hv", "above the highest"),
        (changed("transformers", vk_pct=[12.0, 0.0]), "zero_impedance", "T2", "rating plate"),
        (
            changed("transformers", vkr_pct=[0.4, 7.0]),
            "impedance_parts",
            "T2",
            "larger than the whole",
        ),
        (changed("transformers", sn_mva=[40000.0, 0.4]), "wrong_unit", "T1", "kVA"),
        (changed("sources", vm_pu=[112.0]), "wrong_unit", "grid", "per unit"),
        (changed("sources", in_service=[False]), "no_source", "*", "nothing is fed"),
    ],
)
def test_a_mistake_is_found_and_named(
    make: Callable[[], Grid], kind: str, id_: str, words: str
) -> None:
    found = [finding for finding in check(make()) if (finding.kind, finding.id) == (kind, id_)]
    assert len(found) == 1
    assert found[0].severity is Severity.ERROR
    assert re.search(words, found[0].words)


def test_a_dead_island_is_a_warning_that_counts_its_load() -> None:
    found = check(district().with_switches(open=["CB A"]))
    assert [(f.severity, f.kind, f.value) for f in found] == [
        (Severity.WARNING, "dead_island", "3 buses")
    ]
    assert "1.01 MW" in found[0].words


def test_swapped_sides_are_a_warning() -> None:
    grid = district()
    swapped = grid.transformers.with_columns(hv_bus=[0, 6], lv_bus=[1, 4])
    kinds = {f.kind for f in check(grid.with_tables(transformers=swapped))}
    assert kinds == {"voltage_mismatch"}


def test_cells_in_a_circle_are_an_error() -> None:
    grid = district().with_tables(cells=Cells(id=["a", "b"], parent=[1, 0]))
    assert [f.kind for f in check(grid)] == ["cells"]


def test_many_alike_are_counted_not_listed() -> None:
    grid = district()
    n = 100
    loads = Loads(id=[f"x{i}" for i in range(n)], bus=[3] * n, p_mw=[np.nan] * n)
    found = [f for f in check(grid.with_tables(loads=loads)) if f.kind == "not_finite"]
    assert len(found) == MAX_NAMED + 1
    assert found[-1].value == str(n - MAX_NAMED)


@settings(deadline=None, max_examples=60)
@given(any_grid())
def test_any_grid_can_be_checked(grid: Grid) -> None:
    with np.errstate(all="ignore"):
        found = check(grid)
    assert all(finding.words for finding in found)
