"""The restoration agent: isolate what is broken, give everybody else supply again.

For each faulted section: open the closed remote switches around it, close the feeder breaker again if the head of
the feeder is sound, and give each dead part behind the fault the best single tie. Every candidate is solved with
AC power flow on the medium-voltage grid before it is compared. A part for which no tie holds stays dead, and the
plan says which limit each tie would break.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from gridloom.core.plans import Plan, Rank
from gridloom.orchestrator.candidates import Candidate, Outage, Part, candidates, outage_of
from gridloom.orchestrator.plan_words import plan_of
from gridloom.orchestrator.planning import Basis, PlanningBase

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags, Floats
    from gridloom.orchestrator.agents import View
    from gridloom.orchestrator.flow_check import Findings

_MEDIUM_VOLTAGE_KV = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """One part that gets supply again, and how."""

    part: Part
    by: Candidate


class Trial(NamedTuple):
    """A candidate and what AC power flow says of it."""

    candidate: Candidate
    all: Findings
    near: Findings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """What the search decided for one outage."""

    outage: Outage
    restored: tuple[Restored, ...]
    left_dead: tuple[Part, ...]
    findings: Findings | None
    """What is worst in the touched feeders in the final state; None where nothing is closed."""
    alternatives: tuple[str, ...]
    ac_checks: int


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
        return plan_of(basis, view, line_id, self._decide(basis, outage), trigger=line_id)

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
        return None if outage is None else self._decide(basis, outage)

    def _decide(self, basis: Basis, outage: Outage) -> Decision:
        """Serve the parts one after the other, the greatest demand first, each with its best tie."""
        closed = outage.isolated.copy()
        alive = set(outage.alive)
        waiting = sorted(outage.parts, key=lambda part: (not part.has_head, -part.demand_mw))
        restored: list[Restored] = []
        notes: list[str] = []
        findings, checks, progress = None, 0, True
        while waiting and progress:
            progress = False
            for part in tuple(waiting):
                best, tried = self._best(basis, outage, part, closed, alive, restored)
                checks += len(tried)
                notes.extend(_why_lost(basis, tried, best))
                if best is None:
                    continue
                found, findings = best.candidate, best.near
                closed[list(found.switches)] = True
                alive |= part.sections | found.through
                restored.append(Restored(part=part, by=found))
                waiting.remove(part)
                progress = True
        return Decision(
            outage=outage,
            restored=tuple(restored),
            left_dead=tuple(waiting),
            findings=findings,
            alternatives=tuple(dict.fromkeys(notes)),
            ac_checks=checks,
        )

    def _best(
        self,
        basis: Basis,
        outage: Outage,
        part: Part,
        closed: Flags,
        alive: set[int],
        restored: list[Restored],
    ) -> tuple[Trial | None, list[Trial]]:
        """Return the best candidate that keeps every limit, and everything that was tried."""
        tried: list[Trial] = []
        for candidate in candidates(basis, outage, part, alive):
            after = closed.copy()
            after[list(candidate.switches)] = True
            touched = basis.feeders_of(candidate.lands_on) | {
                feeder for done in restored for feeder in basis.feeders_of(done.by.lands_on)
            }
            sections = part.sections.union(*(done.part.sections for done in restored))
            tried.append(Trial(candidate, *basis.check(after, touched, sections)))
            if candidate.is_head and tried[-1].all.passed:
                # The way it was fed before: nothing else can load the grid less.
                break
        good = [trial for trial in tried if trial.all.passed]
        return min(good, key=_badness, default=None), tried


def replace_id(plan: Plan, series: int, row: int) -> Plan:
    """Return `plan` under the id of prepared plan `row` of a series."""
    return structs.replace(plan, id=plan_id(plan_number(series, row)))


def plan_number(series: int, row: int) -> int:
    """Return the number of a prepared plan: unique over series and line rows, fits 63 bits."""
    return series << 24 | (row + 1)


def plan_id(number: int) -> str:
    """Return the id of the prepared plan with this number."""
    return f"restore-{number:x}"


def _badness(trial: Trial) -> tuple[bool, int, float]:
    # Equal service everywhere: fewest operations, then the most room on the most loaded element.
    return (
        not trial.candidate.is_head,
        len(trial.candidate.switches),
        -trial.near.loading.margin,
    )


def _why_lost(basis: Basis, tried: list[Trial], best: Trial | None) -> list[str]:
    words = []
    for trial in tried:
        if trial is best:
            continue
        name = " and ".join(str(basis.grid.switches.id[row]) for row in trial.candidate.switches)
        loading = trial.near.loading
        reason = (
            trial.all.why_not() or f"leaves less room: {loading.value:.0f} % on {loading.where}"
        )
        words.append(f"close {name}: {reason}")
    return words
