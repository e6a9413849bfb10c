"""Every accepted plan, on grids that nobody drew by hand, judged by another engine and another search."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.orchestrator.grids import random_radial

from gridloom.core.clock import SteppedClock
from gridloom.core.plans import ActionKind, Plan
from gridloom.grid.model import Grid
from gridloom.orchestrator.agents import View
from gridloom.orchestrator.autonomy import AutonomyLevels
from gridloom.orchestrator.book import CapacityBook
from gridloom.orchestrator.gate import Gate
from gridloom.orchestrator.locks import Locks
from gridloom.orchestrator.restoration import RestorationAgent
from gridloom.physics import powerflow


def closed_lines(grid: Grid, positions: np.ndarray) -> np.ndarray:
    """Which line ends are connected, shape (line, 2): worked out from the tables alone."""
    ends = np.ones((len(grid.lines), 2), dtype=bool)
    for row in range(len(grid.switches)):
        line = int(grid.switches.element[row])
        side = 0 if grid.lines.from_bus[line] == grid.switches.bus[row] else 1
        ends[line, side] &= bool(positions[row])
    return ends


def live_buses(grid: Grid, positions: np.ndarray, *, cut: int = -1) -> tuple[set[int], bool]:
    """Return the buses that reach the source, and whether a loop was met on the way; line `cut` conducts nothing."""
    ends = closed_lines(grid, positions)
    live, edges, queue = {0}, 0, [0]
    used = set()
    while queue:
        bus = queue.pop()
        for line in range(len(grid.lines)):
            if line == cut or line in used or not ends[line].all():
                continue
            a, b = int(grid.lines.from_bus[line]), int(grid.lines.to_bus[line])
            if bus not in (a, b):
                continue
            used.add(line)
            edges += 1
            other = b if bus == a else a
            if other not in live:
                live.add(other)
                queue.append(other)
    return live, edges > len(live) - 1


def after(plan: Plan, grid: Grid, positions: np.ndarray) -> list[np.ndarray]:
    states, now = [], positions.copy()
    for step in sorted({action.step for action in plan.actions}):
        for action in plan.actions:
            if action.step == step:
                now[grid.switches.row(action.target)] = action.kind is ActionKind.CLOSE
        states.append(now.copy())
    return states


@given(seed=st.integers(0, 2**32 - 1), n_buses=st.integers(5, 24), n_ties=st.integers(0, 6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_accepted_plans_keep_the_grid_radial_the_fault_dead_and_every_limit(
    seed: int, n_buses: int, n_ties: int
) -> None:
    rng = np.random.default_rng(seed)
    grid = random_radial(rng, n_buses=n_buses, n_ties=n_ties)
    before = np.array(grid.switches.closed)
    view = View(grid=grid, positions=before, now_ns=0)
    gate = Gate(
        grid, SteppedClock(0), CapacityBook(), Locks(grid.switches.id), AutonomyLevels(grid.cells)
    )
    agent = RestorationAgent(grid)
    base = powerflow(grid, engine="pgm")
    for plan in agent.prepare_all(view):
        if not gate.verify(plan, view).accepted:
            continue
        line = grid.lines.row(plan.trigger.removeprefix("branch:"))
        tripped = before.copy()
        tripped[agent.breaker_for(line, view)] = False
        still_live, _ = live_buses(grid, tripped)
        for positions in after(plan, grid, tripped):
            live, has_loop = live_buses(grid, positions)
            assert not has_loop
            assert still_live <= live
            ends = closed_lines(grid, positions)[line]
            touching = {int(grid.lines.from_bus[line])} if ends[0] else set()
            touching |= {int(grid.lines.to_bus[line])} if ends[1] else set()
            assert not touching & live
        check_by_another_engine(grid, positions, base, plan, live - still_live)


def check_by_another_engine(
    grid: Grid, positions: np.ndarray, base: object, plan: Plan, restored: set[int]
) -> None:
    flow = powerflow(grid.with_positions(positions), engine="pgm")
    assert flow.converged
    v, old_v = flow.v_pu, base.v_pu
    live = np.isfinite(v)
    assert np.all(v[live] >= np.fmin(grid.buses.v_min_pu, old_v)[live] - 5.01e-3)
    assert np.all(v[live] <= np.fmax(grid.buses.v_max_pu, old_v)[live] + 5.01e-3)
    loading, old = flow.line_loading_pct, base.line_loading_pct
    known = np.isfinite(loading)
    assert np.all(loading[known] <= np.fmax(100.0, old)[known] + 0.101)
    at = np.isin(grid.loads.bus, list(restored))
    assert np.isclose(grid.loads.p_mw[at].sum(), plan.expectation["restored_mw"], atol=1e-9)
    assert grid.loads.customers[at].sum() == plan.expectation["customers_restored"]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_way_back_leads_to_the_state_before_the_fault(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = random_radial(rng, n_buses=12, n_ties=4)
    before = np.array(grid.switches.closed)
    view = View(grid=grid, positions=before, now_ns=0)
    agent = RestorationAgent(grid)
    for plan in agent.prepare_all(view):
        positions = before.copy()
        positions[agent.breaker_for(grid.lines.row(plan.trigger.removeprefix("branch:")), view)] = (
            False
        )
        for action in (*plan.actions, *sorted(plan.undo, key=lambda action: action.step)):
            positions[grid.switches.row(action.target)] = action.kind is ActionKind.CLOSE
        assert np.array_equal(positions, before)
