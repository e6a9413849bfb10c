"""The desk: journal records folded into cards and stories."""

import pytest

from gridloom.control_room.desk import Desk
from gridloom.control_room.view import PlanState
from gridloom.core.errors import UnknownId
from gridloom.core.plans import (
    Acknowledgement,
    Action,
    ActionKind,
    Autonomy,
    Check,
    Command,
    Plan,
    Rank,
    Verdict,
)
from gridloom.store.records import (
    Acknowledged,
    DecidedPlan,
    FaultSeen,
    OperatorAction,
    OperatorDeed,
    Outcome,
    PreparedPlan,
    Refusal,
    SentCommand,
)

OPEN = Action(kind=ActionKind.OPEN, target="feeder 1/switch 7")
CLOSE = Action(kind=ActionKind.CLOSE, target="feeder 1/switch 7", step=1)


def plan(id_: str = "p1", trigger: str = "branch:line 3") -> Plan:
    return Plan(
        id=id_,
        agent="restoration",
        cell="root",
        rank=Rank.RESTORATION,
        reason="because",
        actions=(OPEN, CLOSE),
        undo=(),
        expectation={"customers_out": 12.0, "customers_restored": 9.0},
        state_hash="",
        made_ns=1,
        expires_ns=2,
        trigger=trigger,
    )


def verdict(*, accepted: bool = True, autonomy: Autonomy = Autonomy.ACT) -> Verdict:
    check = Check(name="loading", passed=accepted, worst=112.0, limit=100.0, unit="%")
    return Verdict(
        plan_id="p1", accepted=accepted, checks=(check,), decided_ns=1, autonomy=autonomy
    )


def sent(action: Action, at_ns: int = 5) -> SentCommand:
    command = Command(
        plan_id="p1", epoch=2, action=action, issued_ns=at_ns, expires_ns=99, issuer="platform"
    )
    return SentCommand(command=command)


@pytest.mark.parametrize(
    ("accepted", "autonomy", "state"),
    [
        (True, Autonomy.ACT, PlanState.ACTING),
        (True, Autonomy.ADVISE, PlanState.HELD),
        (False, Autonomy.ACT, PlanState.REFUSED),
    ],
)
def test_a_decided_plan_acts_waits_or_is_refused(
    accepted: bool, autonomy: Autonomy, state: PlanState
) -> None:
    desk = Desk(has_wall_time=True)
    desk.take(DecidedPlan(plan=plan(), verdict=verdict(accepted=accepted, autonomy=autonomy)), 1)
    assert desk.plan("p1").state is state
    if not accepted:
        assert "loading 112 against 100 %" in desk.plan("p1").verdict


def test_a_prepared_plan_is_known_but_not_listed_until_it_is_used() -> None:
    desk = Desk(has_wall_time=True)
    desk.take(PreparedPlan(plan=plan(), verdict=verdict()), 1)
    assert desk.plans(9) == ()
    assert desk.plan("p1").state is PlanState.PREPARED
    desk.take(sent(OPEN), 5)
    assert [card.id for card in desk.plans(9)] == ["p1"]


def test_a_newer_prepared_plan_for_the_same_line_replaces_the_older() -> None:
    desk = Desk(has_wall_time=True)
    for id_ in ("p1", "p2"):
        desk.take(PreparedPlan(plan=plan(id_), verdict=verdict()), 1)
    with pytest.raises(UnknownId):
        desk.plan("p1")
    assert desk.plan("p2").id == "p2"


def test_answers_find_their_command_by_step_and_by_ids_that_hold_slashes() -> None:
    desk = Desk(has_wall_time=True)
    desk.take(PreparedPlan(plan=plan(), verdict=verdict()), 1)
    desk.take(sent(OPEN), 5)
    desk.take(sent(CLOSE), 6)
    key = sent(CLOSE).command.key
    answer = Acknowledgement(key=key, outcome="done", at_ns=9)
    desk.take(Acknowledged(acknowledgement=answer), 9)
    assert [trace.outcome for trace in desk.plan("p1").commands] == ["", "done"]


def test_a_fault_becomes_a_story_with_times_since_its_first_step() -> None:
    desk = Desk(has_wall_time=True)
    desk.take(PreparedPlan(plan=plan(), verdict=verdict()), 1)
    desk.take(FaultSeen(fault="f", section="line 3", evidence=("relay 7 tripped",)), 1_000_000)
    desk.take(sent(OPEN), 3_000_000)
    done = Outcome(plan_id="p1", epoch=2, succeeded=True, measured={"since_fault_ms": 862.4})
    desk.take(done, 863_000_000)
    (story,) = desk.faults(9)
    steps = [(step.name, step.took_ms) for step in story.milestones]
    assert steps[0] == ("trip", 0.0)
    assert ("commanded", 2.0) in steps
    assert steps[-1] == ("restored", 862.0)
    assert (story.is_over, story.customers_interrupted, story.customers_restored) == (True, 12, 9)
    card = desk.plan("p1")
    assert card.state is PlanState.DONE
    assert card.outcome == "9 of 12 customers have supply again; since fault 862 ms"


def test_a_stepped_clock_gives_no_latencies() -> None:
    desk = Desk(has_wall_time=False)
    desk.take(FaultSeen(fault="f", section="line 3"), 1_000_000)
    assert [step.took_ms for step in desk.faults(1)[0].milestones] == [None, None]


def test_a_repair_ends_the_newest_story_of_its_line_once() -> None:
    desk = Desk(has_wall_time=True)
    desk.take(FaultSeen(fault="f", section="line 3"), 1)
    desk.repaired("line 4", 5)
    desk.repaired("line 3", 6)
    desk.repaired("line 3", 7)
    names = [step.name for step in desk.faults(1)[0].milestones]
    assert names.count("repaired") == 1


@pytest.mark.parametrize(
    ("deed", "state"),
    [(OperatorDeed.APPROVE, PlanState.ACTING), (OperatorDeed.REJECT, PlanState.REFUSED)],
)
def test_a_person_decides_a_held_plan(deed: OperatorDeed, state: PlanState) -> None:
    desk = Desk(has_wall_time=True)
    desk.take(DecidedPlan(plan=plan(), verdict=verdict(autonomy=Autonomy.ADVISE)), 1)
    desk.take(OperatorAction(operator="Ada", deed=deed, target="p1"), 2)
    assert desk.plan("p1").state is state
    assert "Ada" in desk.plan("p1").verdict


def test_a_fault_that_only_a_person_may_act_on_is_located_by_the_plan_that_was_ready() -> None:
    desk = Desk(has_wall_time=True)
    desk.take(PreparedPlan(plan=plan(), verdict=verdict()), 1)
    desk.take(FaultSeen(fault="f7", section=""), 2)
    refusal = Refusal(what="restoration after fault f7", reason="a person decides", plan_id="p1")
    desk.take(refusal, 3)
    (story,) = desk.faults(9)
    assert story.line == "line 3"
    assert [step.name for step in story.milestones] == ["trip", "located", "planned"]


def test_an_outcome_does_not_repeat_what_was_expected() -> None:
    desk = Desk(has_wall_time=True)
    desk.take(DecidedPlan(plan=plan(), verdict=verdict()), 1)
    measured = {**plan().expectation, "worst_loading_pct": 5.79}
    desk.take(Outcome(plan_id="p1", epoch=1, succeeded=True, measured=measured), 2)
    words = "9 of 12 customers have supply again; worst loading 5.79 %"
    assert desk.plan("p1").outcome == words
