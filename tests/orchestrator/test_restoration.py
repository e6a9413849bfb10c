"""Restoration on a grid small enough to know the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.orchestrator.grids import two_feeders
from tests.orchestrator.house import view_of

from gridloom.core.plans import Plan
from gridloom.grid.model import Grid
from gridloom.orchestrator.agents import View
from gridloom.orchestrator.restoration import RestorationAgent


def moves(plan: Plan | None) -> list[tuple[str, str, int]]:
    assert plan is not None
    return [(str(action.kind), action.target, action.step) for action in plan.actions]


def plan_for(grid: Grid, line: str, **changes: object) -> Plan | None:
    return RestorationAgent(grid).plan_for(view_of(grid, **changes), line)


def test_a_fault_in_the_middle_is_isolated_then_fed_from_both_sides() -> None:
    plan = plan_for(two_feeders(), "A2")
    assert moves(plan) == [
        ("open", "A2.f", 0),
        ("open", "A2.t", 0),
        ("close", "A1.f", 1),
        ("close", "T.t", 2),
    ]
    assert plan.expectation["dead_mw"] == pytest.approx(3.0)
    assert plan.expectation["restored_mw"] == pytest.approx(3.0)
    assert plan.expectation["customers_restored"] == 300.0
    assert 0.95 < plan.expectation["worst_v_pu"] < 1.02


def test_a_fault_at_the_head_leaves_the_breaker_open() -> None:
    assert moves(plan_for(two_feeders(), "A1")) == [("open", "A1.t", 0), ("close", "T.t", 2)]


def test_a_fault_on_an_open_tie_only_needs_its_fed_end_opened() -> None:
    assert moves(plan_for(two_feeders(), "T")) == [("open", "T.f", 0), ("close", "A1.f", 1)]


def test_a_tie_that_is_open_at_both_ends_is_closed_at_both() -> None:
    grid = two_feeders().with_switches(open=["T.f"])
    assert moves(plan_for(grid, "A2"))[-2:] == [("close", "T.f", 2), ("close", "T.t", 2)]


def test_a_tie_line_that_is_broken_itself_is_never_used() -> None:
    grid = two_feeders().with_switches(open=["T.f"])
    plan = plan_for(grid, "A2", faulted=frozenset({"T"}))
    assert ("close", "A1.f", 1) in moves(plan)
    assert plan.expectation["customers_restored"] == 100.0


def test_a_tie_that_would_be_overloaded_is_named_with_its_loading() -> None:
    plan = plan_for(two_feeders(tie_ka=0.01), "A2")
    assert plan.expectation["customers_restored"] == 100.0
    assert "line T at" in plan.alternatives[0]
    assert "wait for the repair" in plan.reason


def test_a_part_too_big_for_the_tie_is_cut_so_that_the_tie_carries_what_it_can() -> None:
    # The tie carries one load of the two behind the fault: 1 MW is about 30 A.
    plan = plan_for(two_feeders(tie_ka=0.04), "A2")
    opened = {target for kind, target, _ in moves(plan) if kind == "open"}
    assert opened in ({"A2.f", "A2.t", "A3.f"}, {"A2.f", "A2.t", "A3.t"})
    assert plan.expectation["customers_restored"] == 200.0
    assert plan.expectation["worst_loading_pct"] <= 100.0
    assert {a.target for a in plan.undo if a.kind == "close"} == opened


def test_a_locked_isolating_switch_widens_the_isolation_and_the_loss_is_counted() -> None:
    plan = plan_for(two_feeders(), "A2", locks=frozenset({"A2.f"}))
    assert moves(plan)[:2] == [("open", "A1.t", 0), ("open", "A2.t", 0)]
    assert plan.expectation["customers_restored"] == 200.0
    assert plan.expectation["customers_out"] == 300.0


def test_a_locked_tie_is_not_closed() -> None:
    plan = plan_for(two_feeders(), "A2", locks=frozenset({"T.t"}))
    assert moves(plan) == [("open", "A2.f", 0), ("open", "A2.t", 0), ("close", "A1.f", 1)]


def test_a_switch_of_unknown_position_is_not_relied_on() -> None:
    grid = two_feeders()
    plan = plan_for(grid, "A2", unknown=frozenset({grid.switches.row("A2.t")}))
    assert "A2.t" not in {target for _, target, _ in moves(plan)}


def test_with_one_switch_a_line_the_bus_behind_it_is_lost_with_the_fault() -> None:
    grid = two_feeders()
    keep = np.array([id_.endswith(".f") or id_ == "T.t" for id_ in grid.switches.id])
    grid = grid.with_tables(switches=grid.switches.take(keep))
    plan = plan_for(grid, "A2")
    # Bus A2 hangs on the faulted line without a switch in between.
    assert moves(plan) == [
        ("open", "A2.f", 0),
        ("open", "A3.f", 0),
        ("close", "A1.f", 1),
        ("close", "T.t", 2),
    ]
    assert plan.expectation["customers_restored"] == 200.0


def test_a_dead_line_and_an_unknown_breaker_give_no_plan() -> None:
    grid = two_feeders().with_switches(open=["A1.f"])
    assert plan_for(grid, "A2") is None


def test_prepared_plans_have_ids_of_their_own_in_every_series() -> None:
    grid = two_feeders()
    agent, view = RestorationAgent(grid), view_of(grid)
    ids = [plan.id for series in (1, 2) for plan in agent.prepare_all(view, series=series)]
    assert len(set(ids)) == len(ids) == 2 * len(grid.lines)


def test_a_plan_after_the_trip_starts_from_what_has_been_done() -> None:
    grid = two_feeders()
    before = view_of(grid)
    tripped = grid.with_switches(open=["A1.f", "A2.f"]).switches.closed
    now = replace(
        before, positions=np.array(tripped), locks=frozenset({"A2.t"}), faulted=frozenset({"A2"})
    )
    agent = RestorationAgent(grid)
    agent.report_fault("A2", before)
    plan = agent.propose(now)
    # A2.t would not open: the isolation goes on to A3.f.
    assert moves(plan) == [("open", "A3.f", 0), ("close", "A1.f", 1), ("close", "T.t", 2)]
    assert plan.state_hash == now.state_hash
    assert agent.propose(now) is None


def test_no_plan_is_made_while_the_fault_is_still_fed() -> None:
    grid = two_feeders()
    view = view_of(grid)
    assert RestorationAgent(grid).replan(view, view, "A2") is None


def test_an_estimate_decides_over_the_tables() -> None:
    grid = two_feeders()
    state = _Doubled(grid)
    plan = RestorationAgent(grid).plan_for(view_of(grid, state=state), "A2")
    assert plan.expectation["dead_mw"] == pytest.approx(6.0)


class _Doubled:
    """Twice the load of the tables; one load that the estimate cannot see."""

    def __init__(self, grid: Grid) -> None:
        self.time_ns = 0
        self.load_p_mw = 2 * grid.loads.p_mw
        self.load_q_mvar = 2 * grid.loads.q_mvar
        for name in ("generator", "storage"):
            setattr(self, f"{name}_p_mw", np.zeros(0))
            setattr(self, f"{name}_q_mvar", np.zeros(0))
        self.source_vm_pu = grid.sources.vm_pu


def test_the_view_takes_the_tables_where_the_estimate_is_no_number() -> None:
    grid = two_feeders()
    state = _Doubled(grid)
    state.load_p_mw[0] = np.nan
    point = View(grid=grid, positions=np.array(grid.switches.closed), state=state).operating_point
    assert point.load_p_mw.tolist() == [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]
