"""Numbers whose unit stands in their name."""

import pytest

from gridloom.control_room.words import quantity_words


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("restored_mw", 1.4712, "restored 1.47 MW"),
        ("since_fault_ms", 862.4, "since fault 862 ms"),
        ("since_fault_ms", 10506.9, "since fault 10.5 s"),
        ("v_min_pu", 0.97123, "v min 0.971 pu"),
        ("customers", 852.0, "customers 852"),
        ("s", 3.0, "s 3"),
    ],
)
def test_the_unit_goes_behind_the_number(name: str, value: float, words: str) -> None:
    assert quantity_words(name, value) == words
