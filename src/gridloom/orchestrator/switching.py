"""The states that a plan leads through, step by step, and what they mean for loops, faults and customers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.plans import ActionKind
from gridloom.orchestrator.sections import Feeding, Sections

if TYPE_CHECKING:
    from gridloom.core.plans import Plan
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags
    from gridloom.orchestrator.agents import View

BRANCH_TRIGGER = "branch:"
"""Start of the trigger of a plan that is prepared for a fault on one line."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """What a plan does to the switches, from the state it starts in."""

    grid: Grid
    sections: Sections
    states: tuple[Flags, ...]
    """Positions before the first step and after each one, shape (switch,) each."""
    faulted: frozenset[int]
    """Sections that must stay dead."""
    can_clear: bool
    """Whether a breaker above the fault exists at all, where the plan is for a fault."""

    @cached_property
    def feedings(self) -> tuple[Feeding, ...]:
        """Who feeds whom in each state."""
        return tuple(self.sections.feeding(state) for state in self.states)


class Switching:
    """Follows plans through the section graph of one grid."""

    def __init__(self, grid: Grid) -> None:
        """Remember `grid`; its sections are cut when they are needed."""
        self._grid = grid
        self._fixed = ~(grid.switches.is_remote & grid.switches.in_service)
        self._sections: tuple[bytes, Sections] | None = None
        self._before: tuple[Flags, Feeding] | None = None

    def sections(self, positions: Flags) -> Sections:
        """Return the sections with the switches that nobody operates at `positions`, shape (switch,)."""
        key = positions[self._fixed].tobytes()
        if self._sections is None or self._sections[0] != key:
            self._sections = key, Sections.of(self._grid, positions)
            self._before = None
        return self._sections[1]

    def course(self, plan: Plan, view: View) -> Course:
        """Return the states that `plan` leads through from `view`.

        A plan for a fault to come starts where the nearest breaker above the faulted line has opened.
        """
        sections = self.sections(view.positions)
        lines = sections.of_element["line"]
        broken = {int(lines[self._grid.lines.row(id_)]) for id_ in view.faulted}
        start, can_clear = view.positions.copy(), True
        faulted = self._fault_to_come(plan)
        if faulted is not None:
            section = int(lines[faulted])
            broken.add(section)
            above = (
                self._feeding(sections, view.positions).breaker_above(sections, section)
                if section >= 0
                else None
            )
            can_clear = above is not None
            if above is not None:
                start[sections.edges[above].switch] = False
        return Course(
            grid=self._grid,
            sections=sections,
            states=(start, *self._after_steps(plan, start)),
            faulted=frozenset(broken - {-1}),
            can_clear=can_clear,
        )

    def _feeding(self, sections: Sections, positions: Flags) -> Feeding:
        if self._before is None or self._before[0] is not positions:
            self._before = positions, sections.feeding(positions)
        return self._before[1]

    def _fault_to_come(self, plan: Plan) -> int | None:
        if not plan.trigger.startswith(BRANCH_TRIGGER):
            return None
        id_ = plan.trigger.removeprefix(BRANCH_TRIGGER)
        return self._grid.lines.row(id_) if id_ in self._grid.lines else None

    def _after_steps(self, plan: Plan, start: Flags) -> list[Flags]:
        states, positions = [], start
        for step in sorted({action.step for action in plan.actions}):
            positions = np.array(positions)
            for action in plan.actions:
                if action.step == step and action.kind in (ActionKind.OPEN, ActionKind.CLOSE):
                    row = self._grid.switches.row(action.target)
                    positions[row] = action.kind is ActionKind.CLOSE
            states.append(positions)
        return states
