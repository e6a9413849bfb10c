"""From plans to the table, and when the table must be left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.orchestrator.grids import two_feeders
from tests.orchestrator.house import START_NS, House, view_of

from gridloom.core.plans import Autonomy
from gridloom.orchestrator.locks import SwitchLock
from gridloom.orchestrator.preparation import HOLD_NS
from gridloom.orchestrator.prepared import ACT, ADVISE
from gridloom.orchestrator.restoration import plan_id


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(two_feeders(), tmp_path)


def test_the_table_holds_the_same_operations_as_the_plans(house: House) -> None:
    batch = house.preparation.prepare(view_of(house.grid))
    house.preparation.publish(batch, epoch=4)
    ids = house.table.static.switch_ids
    for plan, _ in batch.plans:
        row = house.table.read(house.grid.lines.row(plan.trigger.removeprefix("branch:")))
        assert row is not None
        assert plan_id(row.number) == plan.id
        assert row.autonomy == ACT
        assert [(ids[o.switch], o.close, o.step) for o in row.operations] == [
            (a.target, a.kind == "close", a.step) for a in plan.actions
        ]
    assert house.table.epoch == 4


def test_nothing_is_laid_ready_before_it_is_published(house: House) -> None:
    before = house.table.series
    house.preparation.prepare(view_of(house.grid))
    assert house.table.series == before


def test_a_plan_that_the_gate_refuses_is_not_in_the_table(house: House) -> None:
    # The agent does not know of this lock, the gate does.
    house.locks.set(SwitchLock(switch="A2.t", owner="Ada", reason="work", since_ns=0))
    house.prepare()
    assert house.table.read(house.grid.lines.row("A2")) is None
    assert house.table.read(house.grid.lines.row("B2")) is not None


def test_the_level_of_the_agent_is_in_the_row(tmp_path: Path) -> None:
    house = House(two_feeders(), tmp_path, level=Autonomy.ADVISE)
    house.autonomy.set("restoration", "B", Autonomy.ACT)
    house.prepare()
    levels = [house.table.read(house.grid.lines.row(line)).autonomy for line in ("A2", "B2")]
    assert levels == [ADVISE, ACT]


def test_a_relay_that_moves_holds_the_table_until_the_event_path_has_decided(house: House) -> None:
    keeper, breaker = house.preparation, house.grid.switches.row("A1.f")
    assert not keeper.is_held(START_NS)
    keeper.relay(breaker, 2, START_NS)
    assert keeper.is_held(START_NS + 1)
    keeper.decided(breaker)
    assert not keeper.is_held(START_NS + 1)
    keeper.relay(breaker, 3, START_NS + 2)
    assert not keeper.is_held(START_NS + 3)
    keeper.relay(breaker, 0, START_NS + 4)
    keeper.relay(breaker, 1, START_NS + 5)
    assert keeper.is_held(START_NS + 6)


def test_the_table_is_not_held_for_ever(house: House) -> None:
    house.preparation.relay(0, 1, START_NS)
    assert not house.preparation.is_held(START_NS + HOLD_NS)


def test_a_platform_that_restarts_goes_on_counting(house: House) -> None:
    from gridloom.orchestrator.preparation import Preparation

    again = Preparation(house.grid, house.instruments, house.agent, house.gate, house.table)
    assert again.prepare(view_of(house.grid)).series == house.table.series + 1


def test_switches_without_a_gateway_take_no_commands(house: House) -> None:
    paths = dict(zip(house.table.static.switch_ids, house.table.static.command_paths, strict=True))
    assert paths["A2.f"] == "area.A"
    kinds = np.frombuffer(house.table.static.instrument_kind, dtype=np.uint8)
    assert set(kinds.tolist()) <= {0, 4, 5, 6}
