"""Tables are made once, checked once, and never change."""

from __future__ import annotations

import numpy as np
import pytest
from tests.grid.grids import district

from gridloom.core.errors import BadInput, UnknownId
from gridloom.grid import Buses, Lines


def test_one_id_twice_is_refused_and_named() -> None:
    with pytest.raises(BadInput, match="'x' stands 2 times"):
        Buses(id=["x", "y", "x"], vn_kv=[10.0] * 3)


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(BadInput, match="vn_kv has 1 rows, id has 2"):
        Buses(id=["x", "y"], vn_kv=[10.0])


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot be read as float"):
        Buses(id=["x"], vn_kv=["ten"])


def test_columns_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        district().buses.vn_kv[0] = 20.0


def test_an_unknown_id_names_near_ones() -> None:
    with pytest.raises(UnknownId, match=r"nearest: .*CB A"):
        district().with_switches(open=["CB_A"])


def test_changed_columns_are_checked_and_the_rest_is_shared() -> None:
    lines = district().lines
    longer = lines.with_columns(length_km=[9.0] * 4)
    assert longer.length_km.tolist() == [9.0] * 4
    assert longer.r_ohm is lines.r_ohm
    assert lines.length_km.tolist() == [1.0, 2.0, 1.5, 1.0]
    with pytest.raises(BadInput, match="has 2 rows"):
        lines.with_columns(length_km=[1.0, 2.0])
    with pytest.raises(BadInput, match="no column 'lenght_km'"):
        lines.with_columns(lenght_km=[1.0] * 4)


def test_changed_ids_are_looked_up_anew() -> None:
    lines = district().lines
    assert lines.row("B-b1") == 2
    renamed = lines.with_columns(id=["w", "x", "y", "z"])
    assert renamed.row("y") == 2
    assert "B-b1" not in renamed


def test_optional_columns_take_their_default() -> None:
    line = Lines(id=["x"], from_bus=[0], to_bus=[1], r_ohm=[1.0], x_ohm=[1.0])
    assert line.kind.tolist() == ["cable"]
    assert np.isnan(line.rated_ka[0])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": ["x", None], "vn_kv": [1.0, 1.0]}, "column id cannot be read as text: None"),
        ({"id": [1, 2], "vn_kv": [1.0, 1.0]}, "1 is not a text"),
        (
            {"id": ["x", "y"], "vn_kv": [1.0, 1.0], "cell": [0.7, 0.0]},
            r"0\.7 is not a whole number",
        ),
        (
            {"id": ["x", "y"], "vn_kv": [1.0, 1.0], "cell": [np.nan, 0.0]},
            "nan is not a whole number",
        ),
        ({"id": ["x", "y"], "vn_kv": [1.0, 1.0], "cell": [2**70, 0]}, "cannot be read as row"),
    ],
)
def test_what_numpy_would_bend_silently_is_refused(columns: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Buses(**columns)
