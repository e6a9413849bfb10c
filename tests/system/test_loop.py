"""The whole loop on a real bus and a real clock: faults healed, people obeyed, foreign and broken messages survived."""

from pathlib import Path

import numpy as np
import pytest
from tests.system.live import Live

from gridloom.core.plans import Action, ActionKind, Autonomy, Command
from gridloom.ioe import birth as births
from gridloom.ioe import subjects
from gridloom.ioe.frames import Frame, FrameKind, encode
from gridloom.ioe.signing import Signer
from gridloom.store.records import (
    Acknowledged,
    DecidedPlan,
    FaultSeen,
    OperatorAction,
    Outcome,
    Refusal,
    SentCommand,
)

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]

LINE = "MV line 1.2"
"""In the middle of a feeder of six stations with three houses each; its far end has a tie."""
TIE = "switch tie 0 a"


def succeeded(live: Live, after: int = 0) -> list[Outcome]:
    return [outcome for outcome in live.records(Outcome, after) if outcome.succeeded]


def deeds(live: Live, after: int) -> list[str]:
    return [str(one.deed) for one in live.records(OperatorAction, after)]


def test_a_fault_on_a_simbench_grid_is_located_isolated_and_restored(tmp_path: Path) -> None:
    flags = ("--grid", "simbench:1-MV-urban--0-sw", "--fault", "MV3.101 Line 12@1")
    live = Live(tmp_path, *flags, headless=True)
    try:
        live.until_ready()
        live.until(lambda: succeeded(live))
        live.until(lambda: live.field("status").customers_restored)
        fault = live.field("status")
        summary = live.finish()
        (seen,) = {record.section for record in live.records(FaultSeen) if record.section}
        assert seen == "MV3.101 Line 12"
        assert summary["faults"] == summary["restored"] == 1
        assert summary["customers_interrupted"] == fault.customers_interrupted > 0
        assert summary["customers_restored"] == summary["customers_interrupted"]
        assert summary["lost_events"] == 0
        assert summary["commands_executed_twice"] == 0
        assert summary["journal_ok"] is True
        assert summary["estimates"] > 0
        assert summary["event_to_command_ms"]["p50"] > 0
        assert live.leftovers() == []
        assert live.shared_memory() == []
    finally:
        live.kill()


def test_a_cable_broken_from_the_page_is_healed(live: Live) -> None:
    before = live.head()
    assert live.page("faults", {"line": LINE})[0] == 202
    live.until(lambda: succeeded(live, before))
    (sent,) = [one for one in live.records(FaultSeen, before) if one.section]
    assert sent.section == LINE
    live.until(lambda: live.field("status").customers_restored == 18)
    live.heal(LINE)


def test_a_switch_that_does_not_move_ends_the_plan_and_another_is_made(live: Live) -> None:
    before, restored = live.head(), live.field("status").customers_restored
    live.field("stick", f"switch {LINE} a")
    live.field("inject", LINE)
    try:
        (failed,) = live.until(lambda: live.records(Outcome, before))[:1]
        assert not failed.succeeded
        live.until(lambda: live.records(DecidedPlan, before))
        live.until(lambda: succeeded(live, before))
        live.until(lambda: live.field("status").customers_restored > restored)
    finally:
        live.field("release", f"switch {LINE} a")
    live.heal(LINE)


def test_a_switch_that_a_person_has_locked_is_left_alone(live: Live) -> None:
    before, moved = live.head(), len(live.moved())
    lock = {"switch": TIE, "locked": True, "owner": "Ada", "reason": "somebody works there"}
    assert live.page("locks", lock)[0] == 202
    live.field("inject", LINE)
    try:
        # Whatever comes of it, the fault has been seen and something was said about it.
        live.until(lambda: [one for one in live.records(FaultSeen, before) if one.evidence])
        live.until(lambda: live.records(Refusal, before) or live.records(Outcome, before))
        live.until(lambda: live.records(Outcome, before) or live.records(DecidedPlan, before))
        assert live.page("locks", lock | {"locked": False})[0] == 202
    finally:
        targets = [command.target for command in live.moved()[moved:]]
        assert TIE not in targets
    live.until(lambda: deeds(live, before) == ["lock", "unlock"])
    live.heal(LINE)


def test_advice_waits_for_a_person(live: Live) -> None:
    before, moved = live.head(), len(live.moved())
    level = {"agent": "*", "cell": "root", "level": Autonomy.ADVISE}
    assert live.page("autonomy", level)[0] == 202
    try:
        live.field("inject", LINE)
        decided = live.until(lambda: live.records(DecidedPlan, before))[0]
        assert decided.verdict.accepted
        assert decided.verdict.autonomy is Autonomy.ADVISE
        assert live.records(Refusal, before)
        assert live.records(SentCommand, before) == []
        assert len(live.moved()) == moved
        decision = f"plans/{decided.plan.id}/decision"
        assert live.page(decision, {"approve": True})[0] == 202
        live.until(lambda: succeeded(live, before))
        assert succeeded(live, before)[0].plan_id == decided.plan.id
        assert live.page(decision, {"approve": True})[0] == 400
    finally:
        assert live.page("autonomy", level | {"level": Autonomy.ACT})[0] == 202
    live.heal(LINE)


def test_forged_expired_and_replayed_commands_move_nothing(live: Live) -> None:
    birth = births.decode(live.request(subjects.FIELD_BIRTH))
    path = min(set(birth.gateways.values()))
    now_ns = live.field("status").at_ns
    ours = Signer.from_file(live.folder / "keys" / "platform.key")
    foreign = Signer.generate()
    target = f"switch {LINE} a"

    def order(plan: str, signer: Signer, *, issued_s: float = 0.0, life_s: float = 5.0) -> bytes:
        issued_ns = now_ns + round(issued_s * 1e9)
        action = Action(kind=ActionKind.OPEN, target=target)
        expires_ns = issued_ns + round(life_s * 1e9)
        return signer.sign(
            Command(
                plan_id=plan,
                epoch=1_000,
                action=action,
                issued_ns=issued_ns,
                expires_ns=expires_ns,
                issuer="a test",
            )
        )

    def asked(*, moved: bool, outcome: str, count: int) -> None:
        def came() -> bool:
            found = [one for one in live.commands()[known:] if one.outcome == outcome]
            return len(found) >= count

        live.until(came)
        assert [one.target for one in live.moved()[before:]] == ([target] if moved else [])

    known, before = len(live.commands()), len(live.moved())
    where = subjects.command(path)
    live.publish([(where, order("forged", foreign)), (where, b"\x00" * 40), (where, b"")])
    asked(moved=False, outcome="forged", count=3)
    live.publish([(where, order("late", ours, issued_s=-60.0))])
    asked(moved=False, outcome="expired", count=1)
    genuine = order("genuine", ours)
    live.publish([(where, genuine)])
    asked(moved=True, outcome="done", count=1)
    live.publish([(where, genuine)] * 3)
    asked(moved=True, outcome="duplicate", count=3)
    outcomes = {one.acknowledgement.outcome for one in live.records(Acknowledged)}
    assert {"forged", "expired"} <= outcomes
    live.heal()


def test_hostile_frames_and_clocks_that_jump_change_nothing(live: Live) -> None:
    birth = births.decode(live.request(subjects.FIELD_BIRTH))
    path = next(iter(birth.gateways.values()))
    rng = np.random.default_rng(5)
    now_ns = live.field("status").at_ns
    future = Frame(
        kind=FrameKind.SWITCH,
        source="nowhere",
        epoch=birth.epoch,
        sequence=0,
        time_ns=now_ns + 3600 * 10**9,
        index=np.arange(200, dtype=np.uint32),
        values=np.zeros((1, 200), dtype=np.float32),
    )
    good = encode(future)
    hostile = [rng.bytes(size) for size in (0, 1, 40, 4096)] + [good[:-3], good + b"x"]
    before = live.page("state")[1]
    live.publish(
        (f"{lane}.{path}", data)
        for data in hostile * 5
        for lane in ("telemetry", "event", "ack", "receipt")
    )
    live.publish([(f"telemetry.{path}", good), (f"event.{path}", good)])
    seen_ns = before["status"]["estimate_ns"] + 3 * 10**9
    live.until(lambda: live.page("state")[1]["status"]["estimate_ns"] > seen_ns)
    after = live.page("state")[1]
    assert after["energised_buses"] == before["energised_buses"]
    assert after["v_min_pu"] == pytest.approx(before["v_min_pu"], abs=0.01)
    # And a fault is healed as before.
    head = live.head()
    live.field("inject", LINE)
    live.until(lambda: succeeded(live, head))
    live.heal(LINE)
