"""Alarms come once, go with a margin, and speak of cells where buses would be noise."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from tests.orchestrator.grids import two_feeders

from gridloom.grid.model import Grid
from gridloom.orchestrator.alarm_book import AlarmBook
from gridloom.twin.state import GridState

SECOND = 1_000_000_000


def state(grid: Grid, at_s: int, **columns: object) -> GridState:
    """Return a well state; `columns` replaces some of its fields."""
    buses, lines = len(grid.buses), len(grid.lines)
    by_name: dict[str, object] = {
        "time_ns": at_s * SECOND,
        "positions": grid.switches.closed,
        "is_energised": np.ones(buses, dtype=bool),
        "v_pu": np.ones(buses),
        "line_loading_pct": np.full(lines, 50.0),
        "transformer_loading_pct": np.zeros(0),
        "suspects": (),
    }
    by_name |= columns
    return GridState(**{spec.name: by_name.get(spec.name) for spec in fields(GridState)})  # type: ignore[arg-type]


def test_nothing_is_said_when_all_is_well() -> None:
    grid = two_feeders()
    assert AlarmBook(grid).update(state(grid, 0)) == ()


def test_lost_supply_is_one_alarm_a_cell_with_its_customers() -> None:
    grid = two_feeders()
    book, dead = AlarmBook(grid), np.array([bus[0] != "A" for bus in grid.buses.id])
    come = book.update(state(grid, 0, is_energised=dead))
    customers = int(grid.loads.customers[[id_.startswith("load A") for id_ in grid.loads.id]].sum())
    assert [(alarm.element, alarm.priority, alarm.value) for alarm in come] == [("A", 1, customers)]
    assert book.customers_out(state(grid, 0, is_energised=dead)) == customers > 0
    gone = book.update(state(grid, 1))
    assert [alarm.is_active for alarm in gone] == [False]


def test_a_voltage_alarm_names_the_worst_bus_and_leaves_only_beyond_the_margin() -> None:
    grid = two_feeders()
    book, v = AlarmBook(grid), np.ones(len(grid.buses))
    v[grid.buses.row("B3")], v[grid.buses.row("B2")] = 0.93, 0.94
    (low,) = book.update(state(grid, 0, v_pu=v))
    assert (low.element, low.value, low.limit) == ("B3", 0.93, 0.95)
    assert "2 buses" in low.text
    v[:] = 0.952
    assert book.update(state(grid, 1, v_pu=v.copy())) == ()
    (gone,) = book.update(state(grid, 2))
    assert not gone.is_active


def test_an_overload_grows_in_priority_and_is_said_again() -> None:
    grid = two_feeders()
    book, loading = AlarmBook(grid), np.full(len(grid.lines), 50.0)
    loading[0] = 105.0
    (first,) = book.update(state(grid, 0, line_loading_pct=loading.copy()))
    assert first.priority == 2
    loading[0] = 130.0
    (second,) = book.update(state(grid, 1, line_loading_pct=loading.copy()))
    assert (second.priority, second.since_ns) == (1, 0)
    loading[0] = 97.0
    (third,) = book.update(state(grid, 2, line_loading_pct=loading.copy()))
    assert (third.priority, third.is_active) == (2, True), "inside the margin it stands, but weaker"
    assert book.update(state(grid, 3, line_loading_pct=loading.copy())) == ()


def test_a_thousand_overloads_are_the_worst_twenty_five_and_a_count() -> None:
    grid = two_feeders(n=40)
    come = AlarmBook(grid).update(state(grid, 0, line_loading_pct=np.full(len(grid.lines), 150.0)))
    assert len(come) == 25
    assert f"{len(grid.lines) - 25} more" in come[-1].text


def test_gone_alarms_are_forgotten_after_their_time() -> None:
    grid = two_feeders()
    book = AlarmBook(grid, keep_s=60.0)
    book.set("event path", "not running", 1, 0, is_active=True)
    book.set("event path", "", 1, SECOND, is_active=False)
    assert len(book.all()) == 1
    book.set("event path", "", 1, 100 * SECOND, is_active=False)
    assert book.all() == ()
