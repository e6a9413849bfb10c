"""The same claims on real medium-voltage grids."""

from __future__ import annotations

import numpy as np
import pytest
from tests.orchestrator.house import START_NS, view_of

from gridloom.core.clock import SteppedClock
from gridloom.core.plans import ActionKind
from gridloom.grid import load
from gridloom.grid.instruments import place_instruments
from gridloom.grid.model import Grid
from gridloom.orchestrator.autonomy import AutonomyLevels
from gridloom.orchestrator.book import CapacityBook
from gridloom.orchestrator.gate import Gate
from gridloom.orchestrator.location import zones_of
from gridloom.orchestrator.location_kernel import locate
from gridloom.orchestrator.locks import Locks
from gridloom.orchestrator.reduction import Reduction
from gridloom.orchestrator.restoration import RestorationAgent
from gridloom.physics import powerflow


@pytest.fixture(scope="module")
def grid() -> Grid:
    return load("simbench:1-MV-urban--0-sw")


def test_every_line_has_a_plan_and_the_gate_agrees_with_the_search(grid: Grid) -> None:
    view, agent = view_of(grid), RestorationAgent(grid)
    clock, book = SteppedClock(START_NS), CapacityBook()
    gate = Gate(grid, clock, book, Locks(grid.switches.id), AutonomyLevels(grid.cells))
    plans = agent.prepare_all(view)
    assert len(plans) == len(agent.medium_voltage_lines()) == len(grid.lines)
    assert all(gate.verify(plan, view).accepted for plan in plans)


def test_both_ends_of_the_faulted_line_are_opened_or_already_open(grid: Grid) -> None:
    view, agent = view_of(grid), RestorationAgent(grid)
    for plan in agent.prepare_all(view):
        line = grid.lines.row(plan.trigger.removeprefix("branch:"))
        ends = set(np.flatnonzero(grid.switches.element[:] == line)) & set(
            np.flatnonzero(grid.switches.element_kind == "line")
        )
        opened = {grid.switches.row(a.target) for a in plan.actions if a.kind is ActionKind.OPEN}
        closed = {grid.switches.row(a.target) for a in plan.actions if a.kind is ActionKind.CLOSE}
        tripped = {agent.breaker_for(line, view)}
        still_open = {row for row in ends if not view.positions[row]}
        assert ends <= opened | tripped | still_open
        assert not ends & closed


def test_every_line_is_located_from_the_flags_of_the_indicators_above_it(grid: Grid) -> None:
    view, agent = view_of(grid), RestorationAgent(grid)
    instruments = place_instruments(grid, rng=np.random.default_rng(1))
    zones = zones_of(agent.basis(view), instruments)
    indicator_of = {
        int(instruments.element[row]): int(row)
        for row in np.flatnonzero(instruments.kind == "indicator")
    }
    sections = agent.basis(view).sections.of_element["line"]
    for line in range(len(grid.lines)):
        breaker = agent.breaker_for(line, view)
        path = lines_above(grid, view.positions, line)
        flag = np.zeros(len(instruments), dtype=np.float32)
        flag[[indicator_of[one] for one in path]] = 1.0
        seen = np.full(len(instruments), 10, dtype=np.int64)
        found = locate(
            breaker,
            5,
            False,
            flag,
            seen,
            zones.parent,
            zones.depth,
            zones.line,
            zones.breaker,
            zones.head_line,
        )
        assert sections[found] == sections[line]


def lines_above(grid: Grid, positions: np.ndarray, line: int) -> list[int]:
    """Lines that carry the fault current past their from side: searched from the fault, without the room's code."""
    topology = grid.wiring.topology(positions)
    nodes = topology.node_of_bus
    closed = topology.line_closed
    sources = {int(nodes[bus]) for bus in grid.sources.bus}
    start = [
        int(nodes[bus])
        for side, bus in enumerate((grid.lines.from_bus[line], grid.lines.to_bus[line]))
        if closed[line, side]
    ]
    came: dict[int, tuple[int, int]] = {}
    seen, queue = set(start), list(start)
    joins = [
        (int(nodes[grid.lines.from_bus[row]]), int(nodes[grid.lines.to_bus[row]]), row)
        for row in np.flatnonzero(closed.all(axis=1))
        if row != line
    ]
    table = grid.transformers
    joins += [
        (int(nodes[a]), int(nodes[b]), -1) for a, b in zip(table.hv_bus, table.lv_bus, strict=True)
    ]
    end = next((one for one in start if one in sources), -1)
    while queue and end < 0:
        here = queue.pop(0)
        for a, b, row in joins:
            there = b if a == here else a if b == here else -1
            if there < 0 or there in seen:
                continue
            came[there] = (here, row)
            seen.add(there)
            queue.append(there)
            if there in sources:
                end = there
    path = []
    while end in came:
        end, row = came[end]
        if row >= 0:
            path.append(row)
    # `end` is now the end of the faulted line that is fed; its own indicator stands at the from side.
    is_fed_from = int(nodes[grid.lines.from_bus[line]]) == end
    return [*path, line] if is_fed_from else path


def test_the_reduced_grid_has_the_same_medium_voltages() -> None:
    grid = load("simbench:1-MVLV-rural-2.107-0-sw")
    base = powerflow(grid)
    kept = Reduction.of(grid)
    assert len(kept.grid.buses) < len(grid.buses)
    small = powerflow(kept.grid, kept.operating_point(view_of(grid).operating_point, base))
    assert np.nanmax(np.abs(small.v_pu - base.v_pu[kept.buses])) < 1e-8
