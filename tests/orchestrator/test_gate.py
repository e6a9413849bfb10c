"""The gate, question by question: each refusal names its check, worst value, limit and place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs
from tests.orchestrator.grids import two_feeders
from tests.orchestrator.house import START_NS, view_of

from gridloom.core.clock import SteppedClock
from gridloom.core.plans import Action, ActionKind, Autonomy, Check, Plan, Promise, Rank, Verdict
from gridloom.grid.model import Grid
from gridloom.orchestrator.agents import View
from gridloom.orchestrator.autonomy import AutonomyLevels
from gridloom.orchestrator.book import CapacityBook
from gridloom.orchestrator.gate import Gate, accepted_and_acting
from gridloom.orchestrator.locks import Locks, SwitchLock
from gridloom.orchestrator.restoration import RestorationAgent


class Desk:
    """A gate with everything it decides by."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.clock = grid, SteppedClock(START_NS)
        self.book, self.locks = CapacityBook(), Locks(grid.switches.id)
        self.autonomy = AutonomyLevels(grid.cells)
        self.gate = Gate(grid, self.clock, self.book, self.locks, self.autonomy)
        self.view = view_of(grid)
        self.plan = RestorationAgent(grid).plan_for(self.view, "A2")

    def switching(self, *actions: tuple[str, str, int], **changes: object) -> Plan:
        done = tuple(Action(kind=ActionKind(k), target=t, step=s) for k, t, s in actions)
        return structs.replace(self.plan, actions=done, trigger="", **changes)

    def refused(self, plan: Plan, view: View | None = None, **more: object) -> dict[str, Check]:
        verdict = self.gate.verify(plan, view or self.view, **more)
        assert not verdict.accepted
        return {check.name: check for check in verdict.refusals}


@pytest.fixture
def desk() -> Desk:
    return Desk(two_feeders())


def state_of(grid: Grid, **changes: object) -> SimpleNamespace:
    columns = {
        "time_ns": START_NS,
        "load_p_mw": grid.loads.p_mw,
        "load_q_mvar": grid.loads.q_mvar,
        "generator_p_mw": grid.generators.p_mw,
        "generator_q_mvar": grid.generators.q_mvar,
        "storage_p_mw": grid.storages.p_mw,
        "storage_q_mvar": grid.storages.q_mvar,
        "source_vm_pu": grid.sources.vm_pu,
    }
    return SimpleNamespace(**{**columns, **changes})


def test_a_good_plan_passes_every_question(desk: Desk) -> None:
    verdict = desk.gate.verify(desk.plan, desk.view)
    assert verdict.accepted
    assert {check.name for check in verdict.checks} == {
        *(
            "expiry",
            "state_hash",
            "finite_state",
            "targets_known",
            "targets_remote",
            "locks",
            "positions_known",
        ),
        *("conflict", "promises", "no_loop", "fault_stays_dead", "customers_kept"),
        *("power_flow", "voltage_low", "voltage_high", "loading"),
    }


def test_an_expired_plan_is_refused_with_its_age(desk: Desk) -> None:
    desk.clock.advance_to(START_NS + 901_000_000_000)
    check = desk.refused(desk.plan)["expiry"]
    assert (check.worst, check.limit, check.unit) == (901.0, 900.0, "s")


def test_a_plan_from_the_future_is_refused(desk: Desk) -> None:
    plan = structs.replace(desk.plan, made_ns=START_NS + 10, expires_ns=START_NS + 20)
    assert "clock" in desk.refused(plan)["expiry"].note


def test_a_plan_made_on_another_switch_state_is_refused(desk: Desk) -> None:
    moved = np.array(desk.view.positions)
    moved[desk.grid.switches.row("B3.f")] = False
    assert set(desk.refused(desk.plan, replace(desk.view, positions=moved))) >= {"state_hash"}


@pytest.mark.parametrize("where", ["gate", "view"])
def test_a_lock_set_by_a_person_stops_the_plan(desk: Desk, where: str) -> None:
    view = desk.view
    if where == "gate":
        desk.locks.set(SwitchLock(switch="T.t", owner="Ada", reason="work", since_ns=0))
    else:
        view = replace(view, locks=frozenset({"T.t"}))
    check = desk.refused(desk.plan, view)["locks"]
    assert (check.where, check.worst, check.limit) == ("T.t", 1.0, 0.0)


def test_a_lock_that_comes_after_the_verdict_stops_the_plan_at_the_last_look(desk: Desk) -> None:
    assert desk.gate.verify(desk.plan, desk.view).accepted
    desk.locks.set(SwitchLock(switch="A2.f", owner="Ada", reason="work", since_ns=0))
    again = desk.gate.recheck(desk.plan, desk.view)
    assert [check.name for check in again.refusals] == ["locks"]


def test_an_unknown_target_is_named(desk: Desk) -> None:
    plan = desk.switching(("open", "A9.f", 0))
    assert desk.refused(plan)["targets_known"].where == "A9.f"


def test_a_switch_that_is_not_remote_is_refused() -> None:
    grid = two_feeders()
    by_hand = np.array(grid.switches.is_remote)
    by_hand[grid.switches.row("B2.f")] = False
    desk = Desk(grid.with_tables(switches=grid.switches.with_columns(is_remote=by_hand)))
    assert desk.refused(desk.switching(("open", "B2.f", 0)))["targets_remote"].where == "B2.f"


def test_a_switch_whose_position_is_not_known_is_not_operated(desk: Desk) -> None:
    view = replace(desk.view, unknown=frozenset({desk.grid.switches.row("T.t")}))
    assert desk.refused(desk.plan, view)["positions_known"].where == "T.t"


def test_closing_a_loop_is_refused_where_it_closes(desk: Desk) -> None:
    assert desk.refused(desk.switching(("close", "T.t", 0)))["no_loop"].where != ""


def test_a_loop_in_an_intermediate_step_is_refused_too(desk: Desk) -> None:
    plan = desk.switching(("close", "T.t", 0), ("open", "A2.f", 1))
    assert "no_loop" in desk.refused(plan)


def test_voltage_on_the_faulted_section_is_refused(desk: Desk) -> None:
    actions = (Action(kind=ActionKind.CLOSE, target="A1.f", step=0),)
    check = desk.refused(structs.replace(desk.plan, actions=actions))["fault_stays_dead"]
    assert check.where == "A2"


def test_closing_before_opening_is_refused(desk: Desk) -> None:
    actions = tuple(structs.replace(a, step=2 - a.step) for a in desk.plan.actions)
    assert "fault_stays_dead" in desk.refused(structs.replace(desk.plan, actions=actions))


def test_voltage_on_a_line_known_to_be_broken_is_refused(desk: Desk) -> None:
    opened = np.array(desk.view.positions)
    opened[[desk.grid.switches.row("B3.f"), desk.grid.switches.row("B3.t")]] = False
    view = replace(desk.view, positions=opened, faulted=frozenset({"B3"}))
    plan = desk.switching(("close", "B3.f", 0), state_hash=view.state_hash)
    assert desk.refused(plan, view)["fault_stays_dead"].where == "B3"


def test_taking_supply_from_customers_is_refused_with_their_number(desk: Desk) -> None:
    check = desk.refused(desk.switching(("open", "B2.f", 0)))["customers_kept"]
    assert (check.worst, check.unit) == (200.0, "customers")


def test_an_overload_is_refused_with_the_element_and_its_limit() -> None:
    roomy, tight = Desk(two_feeders()), Desk(two_feeders(tie_ka=0.01))
    plan = structs.replace(roomy.plan, state_hash=tight.view.state_hash)
    check = tight.refused(plan)["loading"]
    assert check.where == "line T"
    assert check.limit == 100.0
    assert check.worst > 500.0


def test_a_rating_that_is_lower_today_counts(desk: Desk) -> None:
    share = np.ones(len(desk.grid.lines))
    share[desk.grid.lines.row("B1")] = 0.3
    gate = Gate(
        desk.grid, desk.clock, desk.book, desk.locks, desk.autonomy, line_rating_share=share
    )
    refused = {check.name: check for check in gate.verify(desk.plan, desk.view).refusals}
    assert refused["loading"].where == "line B1"
    assert refused["loading"].limit == pytest.approx(30.0)


def test_a_voltage_that_would_fall_below_its_limit_is_refused() -> None:
    grid = two_feeders()
    limits = np.array(grid.buses.v_min_pu)
    # The far end of the other feeder, whose voltage falls with more load behind it.
    limits[grid.buses.row("B3")] = 1.0160
    desk = Desk(grid.with_tables(buses=grid.buses.with_columns(v_min_pu=limits)))
    plan = structs.replace(Desk(grid).plan, state_hash=desk.view.state_hash)
    check = desk.refused(plan)["voltage_low"]
    assert (check.where, check.limit, check.unit) == ("B3", 1.0160, "pu")


def test_a_voltage_that_would_rise_above_its_limit_is_refused() -> None:
    whole = two_feeders()
    limits = np.array(whole.buses.v_max_pu)
    limits[whole.buses.row("A2")] = 0.9
    grid = whole.with_switches(open=["A2.f"])
    desk = Desk(grid.with_tables(buses=grid.buses.with_columns(v_max_pu=limits)))
    close = (Action(kind=ActionKind.CLOSE, target="A2.f"),)
    plan = structs.replace(
        Desk(whole).plan, actions=close, trigger="", state_hash=desk.view.state_hash
    )
    check = desk.refused(plan)["voltage_high"]
    assert (check.where, check.limit) == ("A2", 0.9)


def test_a_limit_that_was_broken_before_does_not_stop_a_plan_that_helps() -> None:
    grid = two_feeders()
    limits = np.full(len(grid.buses), 1.019)
    desk = Desk(grid.with_tables(buses=grid.buses.with_columns(v_min_pu=limits)))
    # A2 and A3 are below the limit and stay as they are; nothing is closed.
    idle = desk.switching(("open", "T.f", 0))
    assert desk.gate.verify(idle, desk.view).accepted


def test_a_state_with_something_that_is_no_number_is_refused_by_name(desk: Desk) -> None:
    p_mw = np.array(desk.grid.loads.p_mw)
    p_mw[1] = np.nan
    check = desk.refused(desk.plan, replace(desk.view, state=state_of(desk.grid, load_p_mw=p_mw)))[
        "finite_state"
    ]
    assert check.where == "load A2"


def test_a_state_of_the_wrong_shape_is_refused(desk: Desk) -> None:
    state = state_of(desk.grid, load_p_mw=np.zeros(2))
    assert "shape" in desk.refused(desk.plan, replace(desk.view, state=state))["finite_state"].note


def promise(p_mw: float, service: str, plan_id: str) -> Promise:
    return Promise(
        device="battery", service=service, p_mw=p_mw, start_ns=0, end_ns=100, plan_id=plan_id
    )


def test_power_that_is_promised_already_is_refused(desk: Desk) -> None:
    desk.book.register("battery", -1.0, 1.0)
    desk.book.add([promise(0.7, "frequency", "p1")])
    check = desk.refused(desk.plan, promises=[promise(0.5, "market", "p2")])["promises"]
    assert (check.worst, check.limit, check.unit, check.where) == (1.2, 1.0, "MW", "battery")


def test_a_stronger_rank_takes_a_device_and_a_weaker_one_does_not(desk: Desk) -> None:
    economy = desk.switching(("open", "T.f", 0), id="economy", rank=Rank.ECONOMY)
    safety = desk.switching(("open", "T.f", 0), id="safety", rank=Rank.SAFETY)
    assert desk.gate.verify(economy, desk.view).accepted
    assert desk.gate.hold(economy) == ()
    verdict = desk.gate.verify(safety, desk.view)
    assert verdict.accepted
    assert "economy" in verdict.note
    assert desk.gate.hold(safety) == ("economy",)
    check = desk.refused(economy)["conflict"]
    assert (check.worst, check.limit, check.where) == (
        float(Rank.ECONOMY),
        float(Rank.SAFETY),
        "T.f",
    )
    desk.gate.release("safety")
    assert desk.gate.verify(economy, desk.view).accepted


def test_a_held_device_is_free_again_when_its_plan_has_expired(desk: Desk) -> None:
    first = desk.switching(("open", "T.f", 0), id="first", expires_ns=START_NS + 10)
    desk.gate.hold(first)
    second = desk.switching(("open", "T.f", 0), id="second")
    assert "conflict" in desk.refused(second)
    desk.clock.advance_to(START_NS + 10)
    assert desk.gate.verify(second, desk.view).accepted


@pytest.mark.parametrize("level", list(Autonomy))
def test_the_verdict_carries_the_level_in_force_in_the_cell(desk: Desk, level: Autonomy) -> None:
    desk.autonomy.set("restoration", "A", level)
    verdict: Verdict = desk.gate.verify(desk.plan, desk.view)
    assert verdict.autonomy is level
    assert accepted_and_acting(verdict) == (level is Autonomy.ACT)


def test_a_fault_without_a_breaker_above_it_is_refused() -> None:
    grid = two_feeders()
    kinds = np.array(grid.switches.kind)
    kinds[:] = "load_break_switch"
    desk = Desk(grid)
    bare = Desk(grid.with_tables(switches=grid.switches.with_columns(kind=kinds)))
    assert bare.plan is None
    plan = structs.replace(desk.plan, state_hash=bare.view.state_hash)
    assert "breaker" in bare.refused(plan)["fault_stays_dead"].note


def test_verify_changes_nothing(desk: Desk) -> None:
    look: Callable[[], Verdict] = lambda: desk.gate.verify(desk.plan, desk.view)  # noqa: E731
    assert look() == look()
