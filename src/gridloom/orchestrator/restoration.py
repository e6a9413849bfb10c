"""The restoration agent: isolate what is broken, give everybody else supply again.

For each faulted section: open the closed remote switches around it, close the feeder breaker again if the head of
the feeder is sound, and give each dead part behind the fault the best single tie. Every candidate is solved with
AC power flow on the medium-voltage grid before it is compared. A part for which no tie holds stays dead, and the
plan says which limit each tie would break.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from gridloom.core.plans import Plan, Rank
from gridloom.orchestrator.candidates import outage_of
from gridloom.orchestrator.plan_words import plan_of
from gridloom.orchestrator.planning import Basis, PlanningBase
from gridloom.orchestrator.search import Decision, Search

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Floats
    from gridloom.orchestrator.agents import View

_MEDIUM_VOLTAGE_KV = 1.0


class RestorationAgent:
    """Plans restoration for faults that have happened, and beforehand for all that may."""

    name = "restoration"
    rank = Rank.RESTORATION

    def __init__(self, grid: Grid, *, line_rating_share: Floats | None = None) -> None:
        """Prepare what does not change while switches move.

        Args:
            grid: The grid with its normal positions.
            line_rating_share: Today's rating of each line over the one in the tables, shape (line,).
        """
        self._grid = grid
        self._base = PlanningBase(grid, line_rating_share)
        self._faulted: str | None = None
        self._normal: View | None = None

    def report_fault(self, line_id: str, before: View) -> None:
        """Tell the agent where a fault was located and what the grid was like before it."""
        self._grid.lines.row(line_id)
        self._faulted, self._normal = line_id, before

    def propose(self, view: View) -> Plan | None:
        """Return the plan for the reported fault at the positions of `view`, or nothing."""
        if self._faulted is None or self._normal is None:
            return None
        line_id, before = self._faulted, self._normal
        self._faulted = self._normal = None
        return self.replan(view, before, line_id)

    def replan(self, view: View, before: View, line_id: str) -> Plan | None:
        """Plan from positions after a trip, for example because a switch did not move.

        Args:
            view: Now: the breaker is open, some steps may have been done.
            before: The moment before the fault, which says who had supply.
            line_id: The faulted line.
        """
        basis = self._base.at(before)
        section = int(basis.sections.of_element["line"][self._grid.lines.row(line_id)])
        outage = outage_of(
            basis, section, after=view.positions, locks=view.locks, unknown=view.unknown
        )
        if outage is None:
            return None
        return plan_of(basis, view, line_id, Search(basis, outage).run(), trigger=line_id)

    def plan_for(self, view: View, line_id: str, *, series: int = 0) -> Plan | None:
        """Return the plan to be kept ready for a fault on one line, or nothing if none can help."""
        basis = self._base.at(view)
        return self._prepare(basis, view, self._grid.lines.row(line_id), series, {})

    def prepare_all(self, view: View, *, series: int = 0) -> tuple[Plan, ...]:
        """Return the plans for every live medium-voltage line, in the order of the table.

        Args:
            view: The present moment.
            series: Counts preparations, so that no two plans ever share an id.
        """
        basis = self._base.at(view)
        decided: dict[int, Decision | None] = {}
        plans = (
            self._prepare(basis, view, row, series, decided) for row in self.medium_voltage_lines()
        )
        return tuple(plan for plan in plans if plan is not None)

    def basis(self, view: View) -> Basis:
        """Return what planning knows about `view`; made once a view."""
        return self._base.at(view)

    def breaker_for(self, line: int, view: View) -> int | None:
        """Return the switch row of the breaker that clears a fault on the line in row `line`."""
        basis = self._base.at(view)
        section = int(basis.sections.of_element["line"][line])
        edge = basis.feeding.breaker_above(basis.sections, section) if section >= 0 else None
        return None if edge is None else basis.sections.edges[edge].switch

    def medium_voltage_lines(self) -> tuple[int, ...]:
        """Return the rows of the lines that plans are prepared for."""
        lines, vn_kv = self._grid.lines, self._grid.buses.vn_kv
        return tuple(
            row
            for row, bus in enumerate(lines.from_bus.tolist())
            if vn_kv[bus] > _MEDIUM_VOLTAGE_KV and lines.in_service[row]
        )

    def _prepare(
        self,
        basis: Basis,
        view: View,
        row: int,
        series: int,
        decided: dict[int, Decision | None],
    ) -> Plan | None:
        section = int(basis.sections.of_element["line"][row])
        if section not in decided:
            decided[section] = self._decide_prepared(basis, section)
        decision = decided[section]
        if decision is None:
            return None
        line_id = str(self._grid.lines.id[row])
        plan = plan_of(basis, view, line_id, decision, trigger=f"branch:{line_id}")
        return None if plan is None else replace_id(plan, series, row)

    def _decide_prepared(self, basis: Basis, section: int) -> Decision | None:
        if section < 0 or not basis.feeding.is_live(section):
            return None
        outage = outage_of(
            basis, section, after=None, locks=basis.view.locks, unknown=basis.view.unknown
        )
        return None if outage is None else Search(basis, outage).run()


def replace_id(plan: Plan, series: int, row: int) -> Plan:
    """Return `plan` under the id of prepared plan `row` of a series."""
    return structs.replace(plan, id=plan_id(plan_number(series, row)))


def plan_number(series: int, row: int) -> int:
    """Return the number of a prepared plan: unique over series and line rows, fits 63 bits."""
    return series << 24 | (row + 1)


def plan_id(number: int) -> str:
    """Return the id of the prepared plan with this number."""
    return f"restore-{number:x}"
