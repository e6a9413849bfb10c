"""The event path without any process: frames in, commands out, and everything that must stop it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.orchestrator.grids import two_feeders
from tests.orchestrator.house import MS, START_NS, House, view_of

from gridloom.core.errors import Malformed
from gridloom.core.plans import ActionKind, Autonomy, Command
from gridloom.ioe.frames import FrameKind
from gridloom.orchestrator.event_path import SETTLE_NS, STEP_TIMEOUT_NS
from gridloom.orchestrator.event_records import Reason, RecordKind, journal_decoder
from gridloom.store.records import decode


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(two_feeders(), tmp_path)


def targets(commands: list[Command]) -> set[tuple[str, str]]:
    return {(str(command.action.kind), command.action.target) for command in commands}


def last(house: House) -> tuple[RecordKind, Reason]:
    record = house.records()[-1]
    return record.kind, record.reason


def test_nothing_is_sent_before_the_relay_has_locked_out(house: House) -> None:
    assert house.flags("A2") == []
    assert house.lock_out("A1.f", 1.0) == []
    assert house.lock_out("A1.f", 2.0) == []
    assert house.records() == []


@pytest.mark.parametrize("flags_first", [True, False])
def test_lock_out_and_indicators_in_either_order_send_the_isolation(
    house: House, flags_first: bool
) -> None:
    steps = [lambda: house.flags("A2"), lambda: house.lock_out("A1.f")]
    first, second = steps if flags_first else steps[::-1]
    assert first() == []
    assert targets(second()) == {("open", "A2.f"), ("open", "A2.t")}


def test_each_step_waits_until_the_one_before_is_confirmed(house: House) -> None:
    house.flags("A2")
    opens = house.lock_out("A1.f")
    assert house.answer(opens[0], "accepted") == []
    assert house.answer(opens[0]) == []
    assert targets(head := house.switch(opens[1].action.target, 0.0)) == {("close", "A1.f")}
    assert targets(tie := house.answer(head[0])) == {("close", "T.t")}
    assert house.answer(tie[0]) == []
    assert [record.kind for record in house.records()] == [
        RecordKind.LOCKED_OUT,
        RecordKind.STARTED,
        RecordKind.STEP,
        RecordKind.STEP,
        RecordKind.DONE,
    ]


def test_the_record_is_in_the_ring_before_the_command_is_signed(house: House) -> None:
    kinds: list[list[RecordKind]] = []

    def sign(command: Command) -> bytes:
        kinds.append([record.kind for record in house.records()])
        return house.signer.sign(command)

    house.path._sign = sign
    house.flags("A2")
    house.lock_out("A1.f")
    assert all(seen[-1] is RecordKind.STARTED for seen in kinds)
    assert len(kinds) == 2


def test_a_repeated_event_is_receipted_and_changes_nothing(house: House) -> None:
    house.flags("A2")
    raw = house.frame(FrameKind.RELAY, {"relay:A1.f": 3.0})
    assert len(house.event(raw)) == 2
    again = house.path.on_event("event.area.A", raw, house.now_ns, house.now_ns)
    assert [message.subject for message in again] == ["receipt.area.A"]


def test_a_fault_on_the_head_line_is_found_once_the_silent_feeder_has_settled(house: House) -> None:
    house.event(house.frame(FrameKind.INDICATOR, {"indicator:A1": 1.0}))
    assert house.lock_out("A1.f") == []
    house.now_ns += SETTLE_NS
    out = house.path.tick(house.now_ns, house.now_ns)
    assert targets(house.commands(out)) == {("open", "A1.t")}


def test_indicators_that_contradict_each_other_lead_to_a_refusal(house: House) -> None:
    house.event(
        house.frame(
            FrameKind.INDICATOR, {"indicator:A1": 1.0, "indicator:A2": 0.0, "indicator:A3": 1.0}
        )
    )
    house.lock_out("A1.f")
    house.now_ns += SETTLE_NS
    assert house.path.tick(house.now_ns, house.now_ns) == []
    assert last(house) == (RecordKind.REFUSED, Reason.CONTRADICTION)


def test_a_lock_set_after_preparation_is_obeyed(house: House) -> None:
    house.table.lock([house.grid.switches.row("A2.t")])
    house.flags("A2")
    assert house.lock_out("A1.f") == []
    assert last(house) == (RecordKind.REFUSED, Reason.LOCKED)


def test_a_lock_that_races_a_plan_stops_its_later_steps(house: House) -> None:
    house.flags("A2")
    opens = house.lock_out("A1.f")
    house.table.lock([house.grid.switches.row("T.t")])
    house.answer(opens[0])
    assert house.answer(opens[1]) == []
    assert last(house) == (RecordKind.ABORTED, Reason.LOCKED)


def test_a_plan_for_other_switch_positions_is_stale(house: House) -> None:
    house.switch("B2.f", 0.0)
    house.flags("A2")
    assert house.lock_out("A1.f") == []
    assert last(house) == (RecordKind.REFUSED, Reason.STALE)


def test_a_switch_that_no_longer_knows_where_it_stands_makes_plans_stale(house: House) -> None:
    house.switch("B2.f", np.nan)
    house.flags("A2")
    assert house.lock_out("A1.f") == []
    assert last(house) == (RecordKind.REFUSED, Reason.STALE)


def test_the_tripped_breaker_itself_does_not_make_the_plan_stale(house: House) -> None:
    house.switch("A1.f", 0.0)
    house.flags("A2")
    assert len(house.lock_out("A1.f")) == 2


def test_a_state_that_the_platform_has_declared_void_is_stale(house: House) -> None:
    positions = np.array(house.grid.switches.closed)
    positions[house.grid.switches.row("B2.f")] = False
    house.table.set_state(positions, view_of(house.grid, positions=positions).state_hash)
    house.flags("A2")
    assert house.lock_out("A1.f") == []
    assert last(house) == (RecordKind.REFUSED, Reason.STALE)


def test_an_expired_plan_is_refused(house: House) -> None:
    house.now_ns += 901 * 1_000 * MS
    house.flags("A2")
    assert house.lock_out("A1.f") == []
    assert last(house) == (RecordKind.REFUSED, Reason.EXPIRED)


@pytest.mark.parametrize("level", [Autonomy.OBSERVE, Autonomy.ADVISE])
def test_an_agent_that_may_not_act_does_not(tmp_path: Path, level: Autonomy) -> None:
    house = House(two_feeders(), tmp_path, level=level)
    house.flags("A2")
    assert house.lock_out("A1.f") == []
    assert last(house) == (RecordKind.REFUSED, Reason.NOT_ALLOWED)


def test_a_switch_that_does_not_move_ends_the_plan(house: House) -> None:
    house.flags("A2")
    opens = house.lock_out("A1.f")
    house.answer(opens[0], "failed", "the switch did not move")
    assert house.answer(opens[1]) == []
    assert last(house) == (RecordKind.ABORTED, Reason.NOT_MOVED)


def test_commands_without_an_answer_are_repeated_and_then_given_up(house: House) -> None:
    house.flags("A2")
    first = house.lock_out("A1.f")
    house.now_ns += 150 * MS
    again = house.commands(house.path.tick(house.now_ns, house.now_ns))
    assert again == first
    house.now_ns += STEP_TIMEOUT_NS
    house.path.tick(house.now_ns, house.now_ns)
    assert last(house) == (RecordKind.ABORTED, Reason.NO_ANSWER)
    assert not house.path.is_busy


def test_a_relay_that_picks_up_while_closing_stops_the_plan(house: House) -> None:
    house.flags("A2")
    opens = house.lock_out("A1.f")
    house.answer(opens[0])
    assert targets(house.answer(opens[1])) == {("close", "A1.f")}
    house.now_ns += 50 * MS
    house.lock_out("A1.f", 2.0)
    assert last(house) == (RecordKind.ABORTED, Reason.FAULT_AGAIN)


def test_a_restart_repeats_the_step_under_way_under_the_same_keys(house: House) -> None:
    house.flags("A2")
    before = house.lock_out("A1.f")
    after = house.commands(house.restart())
    assert {command.key for command in after} == {command.key for command in before}
    house.answer(after[0], "duplicate", "done")
    assert targets(house.answer(after[1], "duplicate", "done")) == {("close", "A1.f")}


def test_a_restart_does_not_begin_a_plan_twice_when_the_event_comes_again(house: House) -> None:
    house.flags("A2")
    raw = house.frame(FrameKind.RELAY, {"relay:A1.f": 3.0})
    commands = house.event(raw)
    for command in commands:
        following = house.answer(command)
    assert [record.kind for record in house.records()].count(RecordKind.STARTED) == 1
    resumed = house.commands(house.restart())
    assert {command.key for command in resumed} == {command.key for command in following}
    house.flags("A2")
    assert house.event(raw) == []
    assert [record.kind for record in house.records()].count(RecordKind.STARTED) == 1


def test_a_restart_while_locating_ends_in_a_refusal(house: House) -> None:
    house.lock_out("A1.f")
    assert house.restart() == []
    assert last(house) == (RecordKind.REFUSED, Reason.RESTARTED)


def test_nothing_is_sent_when_the_ring_is_full(house: House) -> None:
    while house.ring.n_waiting < 63:
        house.ring.append(house.records()[0].encode() if house.records() else _filler(house))
    house.flags("A2")
    assert house.lock_out("A1.f") == []
    assert house.path.counters.unrecorded == 1


def _filler(house: House) -> bytes:
    from gridloom.orchestrator.event_records import EventRecord

    return EventRecord(
        kind=RecordKind.REFUSED, at_ns=START_NS, breaker=0, seen_ns=1, reason=Reason.BUSY
    ).encode()


def test_hostile_frames_raise_and_do_nothing(house: House) -> None:
    with pytest.raises(Malformed):
        house.event(b"GF" + b"\xff" * 60)
    house.event(house.frame(FrameKind.RELAY, {}))
    raw = bytearray(house.frame(FrameKind.RELAY, {"relay:A1.f": 3.0}))
    raw[-5] ^= 0xFF
    with pytest.raises(Malformed):
        house.event(bytes(raw))
    assert house.records() == []


def test_rows_outside_the_table_of_instruments_are_ignored(house: House) -> None:
    from gridloom.ioe.frames import Frame, encode

    index = np.array([4_000_000_000, len(house.instruments)], dtype=np.uint32)
    values = np.array([[3.0, 3.0]], dtype=np.float32)
    raw = encode(
        Frame(
            kind=FrameKind.RELAY,
            source="x",
            epoch=1,
            sequence=1,
            time_ns=START_NS,
            index=index,
            values=values,
        )
    )
    assert house.event(raw) == []


def test_every_record_becomes_journal_entries_that_decode(house: House) -> None:
    house.flags("A2")
    opens = house.lock_out("A1.f")
    for command in opens:
        following = house.answer(command)
    for command in following:
        following = house.answer(command)
    house.answer(following[0])
    decoder = journal_decoder(house.table.static)
    drafts = [draft for entry in house.ring.drain(0) for draft in decoder(entry.payload)]
    assert [draft.kind for draft in drafts] == [
        "fault",
        "fault",
        "command",
        "command",
        "command",
        "command",
        "outcome",
    ]
    from gridloom.core.hashing import canonical_bytes

    for draft in drafts:
        decode(draft.kind, canonical_bytes(draft.body))
    assert drafts[-1].body.succeeded
    assert drafts[2].body.command.action.kind is ActionKind.OPEN
