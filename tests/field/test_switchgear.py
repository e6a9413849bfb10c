"""Operating times and failures of switches."""

import numpy as np

from gridloom.field.switchgear import BREAKER_TIMES, MOTOR_TIMES, Switchgear
from gridloom.grid import Grid


def gear(grid: Grid, **options: float) -> Switchgear:
    return Switchgear(grid.switches, np.random.default_rng(1), **options)


def test_breakers_and_motor_switches_take_the_time_they_take(district: Grid) -> None:
    for id_, times in (("A1@bb", BREAKER_TIMES), ("A2@a1", MOTOR_TIMES)):
        switches, row = gear(district), district.switches.row(id_)
        took_ms = []
        for number in range(200):
            movement = switches.begin(row, 0, close=bool(number % 2))
            assert movement is not None
            switches.finish(movement)
            took_ms.append((number % 2, movement.end_ns / 1e6))
        for closing, (low, high) in ((0, times.open_ms), (1, times.close_ms)):
            these = [took for which, took in took_ms if which == closing]
            assert low <= min(these) <= low + 0.2 * (high - low)
            assert high - 0.2 * (high - low) <= max(these) <= high


def test_the_position_changes_at_the_end_of_the_travel_only(district: Grid) -> None:
    switches, row = gear(district), district.switches.row("A2@a1")
    movement = switches.begin(row, 0, close=False)
    assert movement is not None
    assert switches.closed[row]
    assert switches.finish(movement)
    assert not switches.closed[row]


def test_a_switch_on_its_way_takes_no_second_order(district: Grid) -> None:
    switches, row = gear(district), district.switches.row("A2@a1")
    movement = switches.begin(row, 0, close=False)
    assert switches.begin(row, 1, close=True) is None
    assert movement is not None
    switches.finish(movement)
    assert switches.begin(row, 2, close=True) is not None


def test_a_stuck_switch_stays_where_it_is_until_it_is_released(district: Grid) -> None:
    switches, row = gear(district), district.switches.row("A2@a1")
    switches.make_stick(row)
    movement = switches.begin(row, 0, close=False)
    assert movement is not None
    assert not movement.succeeds
    assert not switches.finish(movement)
    assert switches.closed[row]
    switches.release(row)
    movement = switches.begin(row, 0, close=False)
    assert movement is not None
    assert switches.finish(movement)


def test_the_stated_share_of_orders_fails(district: Grid) -> None:
    switches, row = gear(district, failure_probability=0.2), district.switches.row("A2@a1")
    failed = 0
    for number in range(1000):
        movement = switches.begin(row, 0, close=bool(number % 2))
        assert movement is not None
        failed += not movement.succeeds
        switches.finish(movement)
    assert 150 <= failed <= 250
