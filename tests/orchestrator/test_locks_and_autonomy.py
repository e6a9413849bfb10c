"""What people decide: locks on switches and how far each agent may go."""

from __future__ import annotations

import pytest

from gridloom.core.errors import BadInput, Refused, UnknownId
from gridloom.core.plans import Autonomy
from gridloom.grid.model import Cells
from gridloom.orchestrator.autonomy import ANY_AGENT, AutonomyLevels
from gridloom.orchestrator.locks import Locks, SwitchLock


def lock(switch: str, owner: str = "Ada") -> SwitchLock:
    return SwitchLock(switch=switch, owner=owner, reason="work on the line", since_ns=7)


def test_a_switch_locked_by_two_people_stays_locked_until_both_have_lifted_theirs() -> None:
    locks = Locks(["s1", "s2"])
    locks.set(lock("s1"))
    locks.set(lock("s1", "Bob"))
    locks.lift("s1", "Ada")
    assert locks.is_locked("s1")
    assert locks.switches() == {"s1"}
    locks.lift("s1", "Bob")
    assert not locks.is_locked("s1")


def test_nobody_lifts_a_lock_of_another_person() -> None:
    locks = Locks(["s1"])
    locks.set(lock("s1"))
    with pytest.raises(Refused, match="locked by Ada"):
        locks.lift("s1", "Bob")
    assert [held.owner for held in locks.all()] == ["Ada"]


def test_a_lock_needs_a_switch_and_a_person() -> None:
    locks = Locks(["s1"])
    with pytest.raises(UnknownId):
        locks.set(lock("s9"))
    with pytest.raises(BadInput):
        locks.set(lock("s1", "  "))


@pytest.fixture
def levels() -> AutonomyLevels:
    cells = Cells(id=["root", "area", "feeder"], parent=[-1, 0, 1])
    return AutonomyLevels(cells)


def test_an_agent_nobody_spoke_of_only_observes(levels: AutonomyLevels) -> None:
    assert levels.level("restoration", "feeder") is Autonomy.OBSERVE


def test_the_nearest_cell_upwards_decides(levels: AutonomyLevels) -> None:
    levels.set("restoration", "root", Autonomy.ACT)
    levels.set("restoration", "area", Autonomy.ADVISE)
    assert levels.level("restoration", "feeder") is Autonomy.ADVISE
    assert levels.level("restoration", "root") is Autonomy.ACT
    assert levels.level("balancing", "feeder") is Autonomy.OBSERVE


def test_a_level_for_one_agent_goes_before_one_for_all(levels: AutonomyLevels) -> None:
    levels.set(ANY_AGENT, "feeder", Autonomy.ACT)
    levels.set("restoration", "feeder", Autonomy.OBSERVE)
    assert levels.level("restoration", "feeder") is Autonomy.OBSERVE
    assert levels.level("balancing", "feeder") is Autonomy.ACT


def test_unknown_cells_and_nameless_agents_are_refused(levels: AutonomyLevels) -> None:
    with pytest.raises(UnknownId):
        levels.set("restoration", "nowhere", Autonomy.ACT)
    with pytest.raises(BadInput):
        levels.set("", "root", Autonomy.ACT)
