"""What planning knows about one moment: who feeds whom, what everybody draws, and a fast AC check.

`PlanningBase` is made once per grid. `at` gives the `Basis` of a view; asking twice for the same view costs
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gridloom.orchestrator.flow_check import Findings, FlowChecker, Limits, assess
from gridloom.orchestrator.reduction import Reduction
from gridloom.orchestrator.sections import Feeding, Sections

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags, Floats, Rows
    from gridloom.orchestrator.agents import View
    from gridloom.physics.operating_point import OperatingPoint
    from gridloom.physics.results import PowerFlowResult

NO_FEEDER = -1
"""Number of the feeder of sections without a breaker above them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """One moment, prepared for planning."""

    grid: Grid
    view: View
    sections: Sections
    feeding: Feeding
    flow: PowerFlowResult
    """Power flow of the whole grid at the view's positions."""
    reduction: Reduction
    checker: FlowChecker
    """Solver of the reduced grid."""
    point: OperatingPoint
    """Of the reduced grid."""
    limits: Limits
    """Of the reduced grid."""
    demand_mw: Floats
    """Consumption in each section, shape (section,) [MW]."""

    @cached_property
    def feeder_of(self) -> Rows:
        """Edge of the nearest breaker above each section, shape (section,)."""
        feeder = np.full(self.sections.n, NO_FEEDER, dtype=np.int64)
        for section in self.feeding.order:
            number = self.feeding.parent_edge[section]
            if number < 0:
                continue
            edge = self.sections.edges[number]
            feeder[section] = number if edge.is_breaker else feeder[edge.other(section)]
        return feeder

    @cached_property
    def below(self) -> dict[int, tuple[int, ...]]:
        """Every live section that each feeder's breaker feeds, by edge of the breaker."""
        found: dict[int, list[int]] = {}
        for section in self.feeding.order:
            number = self.feeding.parent_edge[section]
            at = section
            while number >= 0:
                if self.sections.edges[number].is_breaker:
                    found.setdefault(number, []).append(section)
                at = self.sections.edges[number].other(at)
                number = self.feeding.parent_edge[at]
        return {number: tuple(members) for number, members in found.items()}

    @cached_property
    def live(self) -> frozenset[int]:
        """Sections with supply."""
        return frozenset(self.feeding.order)

    @cached_property
    def broken(self) -> frozenset[int]:
        """Sections of the lines known to be broken."""
        lines = self.sections.of_element["line"]
        return frozenset(int(lines[self.grid.lines.row(id_)]) for id_ in self.view.faulted)

    @cached_property
    def _places(self) -> tuple[Rows, Rows]:
        """Section of each bus and of each line, transformer and branch of the reduced grid."""
        kept, of = self.reduction, self.sections.of_element
        branches = [
            of["line"][kept.lines],
            of["transformer"][kept.transformers],
            of["branch"][kept.branches],
        ]
        return self.sections.of_bus[kept.buses], np.concatenate(branches)

    def feeders_of(self, section: int) -> set[int]:
        """Return the feeders that carry a live section, up to the source."""
        return {int(self.feeder_of[at]) for at in self.feeding.path_up(self.sections, section)}

    def check(
        self, positions: Flags, feeders: set[int], sections: frozenset[int]
    ) -> tuple[Findings, Findings]:
        """Solve the reduced grid at `positions`, shape (switch,).

        Returns:
            What is worst in the whole grid, since feeders share a transformer, and what is worst in these feeders
            and sections, which tells one candidate from another.
        """
        touched = np.isin(self.feeder_of, list(feeders))
        touched[list(sections)] = True
        touched = np.append(touched, False)
        buses, branches = self._places
        result = self.checker.solve(self.reduction.positions(positions), self.point)
        near = assess(result, self.limits, among=touched[buses], among_branches=touched[branches])
        return assess(result, self.limits), near


class PlanningBase:
    """What stays while switches move."""

    def __init__(self, grid: Grid, line_rating_share: Floats | None = None) -> None:
        """Cut and reduce `grid`; `line_rating_share` is today's rating over the tables', shape (line,)."""
        self._grid = grid
        self._share = line_rating_share
        self._whole = FlowChecker(grid)
        self._reduction = Reduction.of(grid)
        self._reduced = FlowChecker(self._reduction.grid)
        self._fixed = ~(grid.switches.is_remote & grid.switches.in_service)
        self._sections: tuple[bytes, Sections] | None = None
        self._last: Basis | None = None

    def at(self, view: View) -> Basis:
        """Return the basis of `view`."""
        if self._last is not None and self._last.view is view:
            return self._last
        sections = self._sections_at(view.positions)
        flow = self._whole.solve(view.positions, view.operating_point)
        self._last = Basis(
            grid=self._grid,
            view=view,
            sections=sections,
            feeding=sections.feeding(view.positions),
            flow=flow,
            reduction=self._reduction,
            checker=self._reduced,
            point=self._reduction.operating_point(view.operating_point, flow),
            limits=self._limits(flow, view),
            demand_mw=_demand(self._grid, sections, view.operating_point),
        )
        return self._last

    def _sections_at(self, positions: Flags) -> Sections:
        """Cut anew only when a switch that nobody operates from afar stands elsewhere."""
        key = positions[self._fixed].tobytes()
        if self._sections is None or self._sections[0] != key:
            self._sections = key, Sections.of(self._grid, positions)
        return self._sections[1]

    def _limits(self, flow: PowerFlowResult, view: View) -> Limits:
        kept = self._reduction
        share = None if self._share is None else self._share[kept.lines]
        low, high = kept.voltage_limits(flow)
        limits = Limits.of(kept.grid, line_rating_share=share)
        limits = Limits(v_min_pu=low, v_max_pu=high, loading_pct=limits.loading_pct)
        point = kept.operating_point(view.operating_point, flow)
        return limits.excusing(self._reduced.solve(kept.positions(view.positions), point))


def _demand(grid: Grid, sections: Sections, point: OperatingPoint) -> Floats:
    section = sections.of_bus[grid.loads.bus]
    used = (section >= 0) & grid.loads.in_service
    total = np.bincount(section[used], point.load_p_mw[used], minlength=sections.n)
    return total.astype(np.float64)
