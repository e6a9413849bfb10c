"""Replay gives back where things stood."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.store.examples import command, plan, verdict

from gridloom.core.plans import Acknowledgement, ActionKind, Autonomy
from gridloom.store import Journal, Replayed, replay
from gridloom.store.records import (
    Acknowledged,
    Alarm,
    DecidedPlan,
    FaultSeen,
    OperatorAction,
    OperatorDeed,
    Outcome,
    PositionSeen,
    PreparedPlan,
    Record,
    SentCommand,
    Started,
    Stopped,
    kind_of,
)

START = Started(
    version="0.1", mode="act", grid_hash="ff", clock="real", epoch=2, positions={"switch 1": True}
)


def replayed(directory: Path, records: Sequence[Record]) -> Replayed:
    with Journal(directory / "journal.db", commit_every_s=None) as journal:
        for number, record in enumerate(records):
            journal.append(kind_of(record), record, number)
        journal.commit()
        return replay(journal.entries())


def answer(outcome: str, key: str = "plan 1/1/0/switch 1") -> Acknowledged:
    return Acknowledged(acknowledgement=Acknowledgement(key=key, outcome=outcome, at_ns=9))


def test_empty_journal_stands_at_nothing() -> None:
    state = replay(())
    assert (state.sequence, state.epoch, state.positions, state.was_stopped) == (0, 0, {}, False)


def test_carried_out_command_moves_its_switch_and_is_closed(tmp_path: Path) -> None:
    state = replayed(tmp_path, [START, SentCommand(command=command()), answer("done")])
    assert state.positions == {"switch 1": False}
    assert state.open_commands == {}
    assert (state.epoch, state.grid_hash, state.at_ns) == (2, "ff", 2)


@pytest.mark.parametrize(
    ("outcome", "is_open"),
    [("accepted", True), ("failed", False), ("expired", False), ("duplicate", False)],
)
def test_other_answers_move_nothing(tmp_path: Path, outcome: str, is_open: bool) -> None:
    state = replayed(tmp_path, [START, SentCommand(command=command()), answer(outcome)])
    assert state.positions == {"switch 1": True}
    assert bool(state.open_commands) is is_open


def test_command_without_an_answer_is_open_after_a_kill(tmp_path: Path) -> None:
    sent = command(kind=ActionKind.CLOSE)
    state = replayed(tmp_path, [START, SentCommand(command=sent)])
    assert state.open_commands == {sent.key: sent}
    assert not state.was_stopped


def test_plans_are_decided_until_they_end(tmp_path: Path) -> None:
    records = [
        DecidedPlan(plan=plan("a"), verdict=verdict("a")),
        DecidedPlan(plan=plan("b"), verdict=verdict("b")),
        DecidedPlan(plan=plan("c"), verdict=verdict("c", accepted=False)),
        Outcome(plan_id="a", epoch=1, succeeded=True),
    ]
    state = replayed(tmp_path, records)
    assert list(state.decided) == ["b"]
    assert state.executed == {"a": True}


def test_later_prepared_plan_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    records = [
        PreparedPlan(plan=plan("a"), verdict=verdict("a"), generation=1),
        PreparedPlan(plan=plan("b"), verdict=verdict("b"), generation=2),
    ]
    state = replayed(tmp_path, records)
    assert {trigger: record.plan.id for trigger, record in state.prepared.items()} == {
        "branch:line 4": "b"
    }


def test_what_people_did_and_alarms_stand(tmp_path: Path) -> None:
    def deed(deed: OperatorDeed, target: str, value: str = "") -> OperatorAction:
        return OperatorAction(operator="ann", deed=deed, target=target, value=value)

    records = [
        deed(OperatorDeed.LOCK, "s1"),
        deed(OperatorDeed.LOCK, "s2"),
        deed(OperatorDeed.UNLOCK, "s1"),
        deed(OperatorDeed.AUTONOMY, "restoration@a", "advise"),
        Alarm(id="x", priority=1, text="on"),
        Alarm(id="y", priority=1, text="on"),
        Alarm(id="x", priority=1, text="off", is_active=False),
        PositionSeen(switch="s9", closed=True),
        Stopped(reason="asked to"),
    ]
    state = replayed(tmp_path, records)
    assert state.locked == ("s2",)
    assert state.autonomy == {"restoration@a": Autonomy.ADVISE}
    assert list(state.alarms) == ["y"]
    assert state.positions == {"s9": True}
    assert state.was_stopped
    assert state.counts["operator"] == 4


def test_unknown_kinds_and_values_are_counted_and_passed_over(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db", commit_every_s=None) as journal:
        journal.append("from the future", {"x": 1}, 0)
        bad = OperatorAction(operator="ann", deed=OperatorDeed.AUTONOMY, target="a@b", value="god")
        journal.append("operator", bad, 0)
        journal.append("position", PositionSeen(switch="s", closed=True), 0)
        journal.commit()
        state = replay(journal.entries())
    assert state.unknown == 2
    assert state.positions == {"s": True}


def test_a_broken_line_stays_broken_until_it_is_reported_repaired(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite", commit_every_s=None) as journal:
        for line in ("a", "b"):
            seen = FaultSeen(fault=f"breaker@{line}", section=line)
            journal.append(kind_of(seen), seen, 1)
        sound = OperatorAction(operator="p", deed=OperatorDeed.REPAIRED, target="a")
        journal.append(kind_of(sound), sound, 2)
        journal.commit()
        assert replay(journal.entries()).faulted == ("b",)
