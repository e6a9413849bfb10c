"""The gate: nothing acts without its verdict.

It asks every question it can still ask, so that a refusal tells everything that is wrong, and each answer is a
`Check` with the worst value, its limit and the place. It settles conflicts by rank: a stronger plan takes a
device from a weaker one, never the other way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gridloom.core.plans import Autonomy, Check, Plan, Promise, Rank, Verdict
from gridloom.orchestrator import gate_checks as ask
from gridloom.orchestrator.flow_check import FlowChecker, Limits
from gridloom.orchestrator.switching import Switching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gridloom.core.clock import Clock
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Floats
    from gridloom.orchestrator.agents import View
    from gridloom.orchestrator.autonomy import AutonomyLevels
    from gridloom.orchestrator.book import CapacityBook
    from gridloom.orchestrator.locks import Locks
    from gridloom.physics.results import PowerFlowResult


@dataclass(frozen=True, slots=True)
class _Held:
    """Targets that a plan under way has to itself."""

    plan_id: str
    rank: Rank
    targets: frozenset[str]
    expires_ns: int


class Gate:
    """Verifies plans and remembers which devices are spoken for."""

    def __init__(
        self,
        grid: Grid,
        clock: Clock,
        book: CapacityBook,
        locks: Locks,
        autonomy: AutonomyLevels,
        *,
        line_rating_share: Floats | None = None,
    ) -> None:
        """Guard `grid`; `line_rating_share` is today's rating over the tables', shape (line,)."""
        self._grid, self._clock, self._book = grid, clock, book
        self._locks, self._autonomy = locks, autonomy
        self._checker = FlowChecker(grid)
        self._limits = Limits.of(grid, line_rating_share=line_rating_share)
        self._switching = Switching(grid)
        self._held: dict[str, _Held] = {}
        self._seen: tuple[View, View] | None = None
        self._base: tuple[View, PowerFlowResult, Limits] | None = None

    def verify(self, plan: Plan, view: View, promises: Sequence[Promise] = ()) -> Verdict:
        """Check `plan` against the moment `view` and everything promised; change nothing.

        Args:
            plan: What is proposed. One whose trigger is `branch:<line>` is for a fault that has not happened:
                it is checked on the state that its breaker's trip would leave.
            view: The grid as it stands now, with locks as the caller saw them; the gate's own locks count too.
            promises: What the plan would promise to services.
        """
        view, now_ns = self._with_locks(view), self._clock.now_ns()
        checks = [
            ask.expiry(plan, now_ns),
            ask.state_hash(plan, view),
            ask.finite_state(view),
            ask.targets_known(plan, self._grid),
        ]
        checks.append(self._conflict(plan, now_ns))
        checks.append(ask.promises(self._book, promises))
        if checks[3].passed:
            checks += [
                ask.targets_remote(plan, self._grid),
                ask.locks(plan, view),
                ask.positions_known(plan, view, self._grid),
            ]
            if checks[2].passed:
                checks += self._physics(plan, view)
        level = self._autonomy.level(plan.agent, self._cell(plan))
        return Verdict(
            plan_id=plan.id,
            accepted=all(check.passed for check in checks),
            checks=tuple(checks),
            decided_ns=now_ns,
            autonomy=level,
            note=self._supersedes(plan, now_ns),
        )

    def recheck(self, plan: Plan, view: View) -> Verdict:
        """Ask once more what can change between the verdict and the first command: time, state, locks."""
        view, now_ns = self._with_locks(view), self._clock.now_ns()
        checks = (
            ask.expiry(plan, now_ns),
            ask.state_hash(plan, view),
            ask.locks(plan, view),
            self._conflict(plan, now_ns),
        )
        return Verdict(
            plan_id=plan.id,
            accepted=all(check.passed for check in checks),
            checks=checks,
            decided_ns=now_ns,
            autonomy=self._autonomy.level(plan.agent, self._cell(plan)),
        )

    def hold(self, plan: Plan, promises: Sequence[Promise] = ()) -> tuple[str, ...]:
        """Keep the targets of an accepted plan for it until it expires or is released.

        Returns:
            Ids of the weaker plans that lose a device to it; their promises are withdrawn.

        Raises:
            Refused: If a promise would be made twice.
        """
        targets = frozenset(action.target for action in plan.actions)
        losers = tuple(
            held.plan_id
            for held in self._held.values()
            if held.targets & targets and held.rank > plan.rank and held.plan_id != plan.id
        )
        for loser in losers:
            self.release(loser)
        self._book.add(promises)
        self._held[plan.id] = _Held(plan.id, plan.rank, targets, plan.expires_ns)
        return losers

    def release(self, plan_id: str) -> None:
        """Let go of the targets and promises of a plan that ended."""
        self._held.pop(plan_id, None)
        self._book.withdraw(plan_id)

    def _with_locks(self, view: View) -> View:
        """Return the view with the gate's own locks; the same one again for the same question."""
        locks = self._locks.switches()
        if locks <= view.locks:
            return view
        if self._seen is None or self._seen[0] is not view or not locks <= self._seen[1].locks:
            self._seen = view, replace(view, locks=view.locks | locks)
        return self._seen[1]

    def _cell(self, plan: Plan) -> str:
        """Return the plan's cell, or the root where the plan names none that exists: the level there is strictest."""
        return plan.cell if plan.cell in self._grid.cells else str(self._grid.cells.id[0])

    def _rivals(self, plan: Plan, now_ns: int) -> list[_Held]:
        targets = {action.target for action in plan.actions}
        return [
            held
            for held in self._held.values()
            if held.expires_ns > now_ns and held.plan_id != plan.id and held.targets & targets
        ]

    def _conflict(self, plan: Plan, now_ns: int) -> Check:
        strong = [held for held in self._rivals(plan, now_ns) if held.rank <= plan.rank]
        first = min(strong, key=lambda held: held.rank, default=None)
        return Check(
            name="conflict",
            passed=first is None,
            worst=float(plan.rank),
            limit=float(first.rank) if first else float(plan.rank),
            unit="rank",
            where="" if first is None else min(first.targets & {a.target for a in plan.actions}),
            note=""
            if first is None
            else f"held by plan {first.plan_id} of rank {first.rank.name.lower()}",
        )

    def _supersedes(self, plan: Plan, now_ns: int) -> str:
        weak = [held.plan_id for held in self._rivals(plan, now_ns) if held.rank > plan.rank]
        return f"takes devices from {', '.join(weak)}" if weak else ""

    def _physics(self, plan: Plan, view: View) -> list[Check]:
        """Check every intermediate state for loops and faults, the last one with AC power flow."""
        if not any(action.kind in ("open", "close") for action in plan.actions):
            return []
        course = self._switching.course(plan, view)
        checks = [
            ask.no_loop(course),
            ask.fault_stays_dead(course),
            ask.customers_kept(course),
        ]
        if not all(check.passed for check in checks):
            return checks
        flow = self._checker.solve(course.states[-1], view.operating_point)
        return [*checks, *ask.ac_checks(flow, self._excused(view))]

    def _excused(self, view: View) -> Limits:
        """Return the limits, without what is broken already in this view."""
        if (
            self._base is None
            or self._base[0].positions is not view.positions
            or self._base[0].state is not view.state
        ):
            flow: PowerFlowResult = self._checker.solve(view.positions, view.operating_point)
            self._base = view, flow, self._limits.excusing(flow)
        return self._base[2]


def accepted_and_acting(verdict: Verdict) -> bool:
    """Whether a plan with this verdict is carried out without a person."""
    return verdict.accepted and verdict.autonomy is Autonomy.ACT
