"""The gate's questions, one function each. Every answer carries its worst value, its limit and the place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.core.plans import ActionKind, Check
from gridloom.core.units import s_from_ns
from gridloom.orchestrator.flow_check import assess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gridloom.core.plans import Plan, Promise
    from gridloom.grid.model import Grid
    from gridloom.orchestrator.agents import View
    from gridloom.orchestrator.book import CapacityBook
    from gridloom.orchestrator.flow_check import Limits, Worst
    from gridloom.orchestrator.switching import Course
    from gridloom.physics.results import PowerFlowResult

_SWITCHING = (ActionKind.OPEN, ActionKind.CLOSE)


def expiry(plan: Plan, now_ns: int) -> Check:
    """Ask whether the plan still holds."""
    age_s, valid_s = s_from_ns(now_ns - plan.made_ns), s_from_ns(plan.expires_ns - plan.made_ns)
    return Check(
        name="expiry",
        passed=plan.made_ns <= now_ns < plan.expires_ns,
        worst=age_s,
        limit=valid_s,
        unit="s",
        note="made in the future: a clock is wrong" if now_ns < plan.made_ns else "",
    )


def state_hash(plan: Plan, view: View) -> Check:
    """Ask whether the switches stand as they did when the plan was made."""
    same = plan.state_hash == view.state_hash
    note = "" if same else f"made on {plan.state_hash[:12]}, the state is {view.state_hash[:12]}"
    return _count("state_hash", 0 if same else 1, "states", note=note)


def finite_state(view: View) -> Check:
    """Ask whether every power and voltage that the check relies on is a number."""
    try:
        wrong = view.not_finite
    except BadInput as error:
        return _count("finite_state", 1, "columns", note=str(error))
    where, note = wrong[0] if wrong else ("", "")
    return _count("finite_state", len(wrong), "values", where, note)


def targets_known(plan: Plan, grid: Grid) -> Check:
    """Ask whether every switch and device that the plan names exists."""
    strange = [
        a.target for a in plan.actions if a.kind in _SWITCHING and a.target not in grid.switches
    ]
    return _count("targets_known", len(strange), "targets", strange[0] if strange else "")


def targets_remote(plan: Plan, grid: Grid) -> Check:
    """Ask whether every switch can be operated from afar."""
    table = grid.switches
    hand = [
        a.target
        for a in plan.actions
        if a.kind in _SWITCHING
        and not (table.is_remote[table.row(a.target)] and table.in_service[table.row(a.target)])
    ]
    return _count("targets_remote", len(hand), "targets", hand[0] if hand else "")


def locks(plan: Plan, view: View) -> Check:
    """Ask whether a person has locked anything that the plan would operate."""
    held = [action.target for action in plan.actions if action.target in view.locks]
    note = "locked by a person" if held else ""
    return _count("locks", len(held), "targets", held[0] if held else "", note)


def positions_known(plan: Plan, view: View, grid: Grid) -> Check:
    """Ask whether the position of every switch to be operated is known."""
    lost = [
        a.target
        for a in plan.actions
        if a.kind in _SWITCHING and grid.switches.row(a.target) in view.unknown
    ]
    return _count("positions_known", len(lost), "targets", lost[0] if lost else "")


def promises(book: CapacityBook, wanted: Sequence[Promise]) -> Check:
    """Ask whether the plan would promise something that is promised already."""
    try:
        short = book.shortfall(wanted)
    except BadInput as error:
        return _count("promises", 1, "promises", note=str(error))
    if short is None:
        return Check(name="promises", passed=True, worst=0.0, limit=0.0, unit="MW")
    return Check(
        name="promises",
        passed=False,
        worst=short.promised_mw,
        limit=short.limit_mw,
        unit="MW",
        where=short.device,
    )


def no_loop(course: Course) -> Check:
    """Ask whether any step closes a loop or joins two sources that were apart."""
    before = set(course.feedings[0].extra)
    for step, feeding in enumerate(course.feedings[1:]):
        more = set(feeding.extra) - before
        if len(feeding.extra) > len(before) and more:
            switch = course.sections.edges[min(more)].switch
            return _count(
                "no_loop",
                len(more),
                "loops",
                str(course.grid.switches.id[switch]),
                f"after step {step}",
            )
    return _count("no_loop", 0, "loops")


def fault_stays_dead(course: Course) -> Check:
    """Ask whether any step puts voltage on a broken section."""
    if not course.can_clear:
        return _count(
            "fault_stays_dead", 1, "sections", note="no breaker above the fault would clear it"
        )
    for step, feeding in enumerate(course.feedings):
        hot = [section for section in course.faulted if feeding.is_live(section)]
        if hot:
            lines = course.sections.lines_of[hot[0]]
            where = str(course.grid.lines.id[lines[0]]) if lines else ""
            when = f"after step {step - 1}" if step else "before the first step"
            return _count("fault_stays_dead", len(hot), "sections", where, when)
    return _count("fault_stays_dead", 0, "sections")


def customers_kept(course: Course) -> Check:
    """Ask whether anybody who has supply before the first step loses it on the way."""
    before = course.feedings[0].live()
    worst, where = 0, ""
    for feeding in course.feedings[1:]:
        gone = [s for s in before - feeding.live() if course.sections.has_demand[s]]
        count = max(int(course.sections.customers[gone].sum()), len(gone))
        if count > worst:
            bus = int(np.flatnonzero(course.sections.of_bus == gone[0])[0])
            worst, where = count, str(course.grid.buses.id[bus])
    return _count("customers_kept", worst, "customers", where)


def ac_checks(flow: PowerFlowResult, limits: Limits) -> list[Check]:
    """Ask for convergence, voltages and loadings in the final state."""
    found = assess(flow, limits)
    return [
        Check(
            name="power_flow",
            passed=found.converged,
            worst=flow.residual_pu if math.isfinite(flow.residual_pu) else 0.0,
            limit=0.0
            if not found.converged
            else max(flow.residual_pu, 0.0)
            if math.isfinite(flow.residual_pu)
            else 0.0,
            unit="pu",
            note=f"{flow.engine}, {flow.iterations} iterations",
        ),
        _limit("voltage_low", found.v_low, "pu"),
        _limit("voltage_high", found.v_high, "pu"),
        _limit("loading", found.loading, "%"),
    ]


def _limit(name: str, worst: Worst, unit: str) -> Check:
    return Check(
        name=name,
        passed=worst.passed,
        worst=worst.value,
        limit=worst.limit,
        unit=unit,
        where=worst.where,
    )


def _count(name: str, count: int, unit: str, where: str = "", note: str = "") -> Check:
    return Check(
        name=name,
        passed=count == 0,
        worst=float(count),
        limit=0.0,
        unit=unit,
        where=where,
        note=note,
    )
