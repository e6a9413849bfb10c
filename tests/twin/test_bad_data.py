"""A lying instrument is found out by name, and nobody else is blamed; what cannot be checked is listed."""

from __future__ import annotations

import numpy as np
import pytest
from tests.twin.conftest import House

from gridloom.ioe.frames import FrameKind
from gridloom.twin.bad_data import liar_of_node

WARM_UP_S = 130


def plant(house: House, kind: FrameKind, column: int, factor: float, pick: int) -> str:
    """Multiply the next reading of the instrument that reports as number `pick`; return its id."""
    found: list[int] = []

    def tamper(of: FrameKind, rows: np.ndarray, values: np.ndarray) -> None:
        if of == kind and len(rows) and not found:
            found.append(int(rows[pick % len(rows)]))
            values[column, pick % len(rows)] *= factor

    house.truth.tamper = tamper
    while not found:
        house.run(1)
    house.truth.tamper = None
    return str(house.truth.instruments.id[found[0]])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("kind", "column"), [(FrameKind.BUS, 0), (FrameKind.BRANCH, 2), (FrameKind.METER, 2)]
)
def test_a_voltage_off_by_ten_standard_deviations_is_named(
    house: House, kind: FrameKind, column: int, sign: int
) -> None:
    house.run(WARM_UP_S)
    class_pct = 1.0 if kind is FrameKind.METER else 0.5
    for pick in range(5):
        liar = plant(house, kind, column, 1 + sign * 10 * class_pct / 300, pick)
        assert house.state is not None
        assert [one.instrument for one in house.state.suspects] == [liar]
        assert house.state.suspects[0].quantity == "v_pu"
        assert house.run(61).suspects == ()


def test_a_false_flow_is_named_and_no_longer_believed(house: House) -> None:
    house.run(WARM_UP_S)
    liar = plant(house, FrameKind.BRANCH, 0, 1.2, 2)
    state = house.state
    assert state is not None
    assert {one.instrument for one in state.suspects} == {liar}
    row = house.truth.instruments.row(liar)
    element = house.truth.instruments.element[row]
    true = house.truth.result.line_flow.p_from_mw
    if house.truth.instruments.element_kind[row] == "line":
        assert state.line_p_mw[element] == pytest.approx(true[element], rel=0.03)


def test_several_lies_at_once_are_told_apart(house: House) -> None:
    house.run(WARM_UP_S)
    names = [plant(house, FrameKind.METER, 2, 0.9, pick) for pick in range(3)]
    assert house.state is not None
    assert set(names) == {one.instrument for one in house.state.suspects}


def test_critical_readings_are_listed_and_never_named(house: House) -> None:
    state = house.run(WARM_UP_S)
    named = {one.instrument for one in state.suspects}
    critical = set(house.truth.instruments.id[state.is_critical].tolist())
    # What a single house draws is its meter's word alone.
    assert sum(name.startswith("meter") for name in critical) > 100
    assert not named & critical
    voltage = house.truth.instruments.kind == "bus"
    assert (state.redundancy[voltage] > 0.8).all()


def test_the_element_whose_habit_explains_the_residual_is_the_liar() -> None:
    reading, habit = np.array([-0.010, -0.025, -0.004]), np.array([-0.010, -0.011, -0.004])
    assert liar_of_node(-0.014, reading, habit, np.full(3, 4e-6)) == 1
