"""A restoration decision as a plan: ordered actions, expectation, way back, and reasons in words.

Steps: first every isolating switch opens, then the feeder breaker closes, then the ties. A later step is sent
only when every switch of the earlier ones is seen where it should be, so that no step puts voltage on a fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridloom.core.plans import Action, ActionKind, Plan, Rank
from gridloom.core.units import NS_PER_S

if TYPE_CHECKING:
    from gridloom.orchestrator.agents import View
    from gridloom.orchestrator.planning import Basis
    from gridloom.orchestrator.search import Decision

VALID_S = 900
"""A plan holds this long, unless a switch moves first [s]."""
STEP_OPEN, STEP_HEAD, STEP_TIE = 0, 1, 2


def plan_of(
    basis: Basis, view: View, line_id: str, decision: Decision, *, trigger: str
) -> Plan | None:
    """Return the plan that carries out `decision`; nothing if there is nothing to do."""
    actions = _actions(basis, decision)
    if not actions:
        return None
    bus = basis.grid.lines.from_bus[basis.grid.lines.row(line_id)]
    return Plan(
        id=f"restore-{line_id}-{view.now_ns}",
        agent="restoration",
        cell=str(basis.grid.cells.id[basis.grid.buses.cell[bus]]),
        rank=Rank.RESTORATION,
        reason=_reason(basis, line_id, decision),
        actions=actions,
        undo=_undo(basis, decision),
        expectation=_expectation(decision),
        state_hash=view.state_hash,
        made_ns=view.now_ns,
        expires_ns=view.now_ns + VALID_S * NS_PER_S,
        trigger=trigger,
        alternatives=decision.alternatives,
    )


def _actions(basis: Basis, decision: Decision) -> tuple[Action, ...]:
    ids = basis.grid.switches.id
    opens = [
        Action(kind=ActionKind.OPEN, target=str(ids[row]), step=STEP_OPEN)
        for row in (*decision.outage.opens, *decision.cuts)
    ]
    closes = [
        Action(
            kind=ActionKind.CLOSE,
            target=str(ids[row]),
            step=STEP_HEAD if done.by.is_head else STEP_TIE,
        )
        for done in decision.restored
        for row in done.by.switches
    ]
    return tuple(sorted([*opens, *closes], key=lambda action: action.step))


def _undo(basis: Basis, decision: Decision) -> tuple[Action, ...]:
    """Return the way back to the switching before the fault, for when it is repaired."""
    ids = basis.grid.switches.id
    head = basis.sections.edges[decision.outage.tripped].switch
    closed = [row for done in decision.restored for row in done.by.switches]
    back = [
        Action(kind=ActionKind.OPEN, target=str(ids[row]), step=0) for row in closed if row != head
    ]
    back += [
        Action(kind=ActionKind.CLOSE, target=str(ids[row]), step=1)
        for row in (*decision.outage.opens, *decision.cuts)
    ]
    if head not in closed:
        back.append(Action(kind=ActionKind.CLOSE, target=str(ids[head]), step=2))
    return tuple(back)


def _expectation(decision: Decision) -> dict[str, float]:
    restored = [done.part for done in decision.restored]
    figures = {
        "dead_mw": decision.outage.dead_mw,
        "restored_mw": sum(part.demand_mw for part in restored),
        "customers_out": float(decision.outage.customers),
        "customers_restored": float(sum(part.customers for part in restored)),
        "ac_checks": float(decision.ac_checks),
    }
    if decision.findings is not None:
        figures["worst_v_pu"] = decision.findings.v_low.value
        figures["worst_loading_pct"] = decision.findings.loading.value
    return figures


def _reason(basis: Basis, line_id: str, decision: Decision) -> str:
    outage = decision.outage
    ids = basis.grid.switches.id
    head = ids[basis.sections.edges[outage.tripped].switch]
    words = [
        f"A fault on {line_id} makes {head} trip.",
        f"That leaves {outage.customers} customers ({outage.dead_mw:.2f} MW) without supply.",
    ]
    opens = ", ".join(str(ids[row]) for row in outage.opens)
    words.append(f"Isolated by opening {opens}." if opens else f"{head} isolates it.")
    if decision.cuts:
        cuts = ", ".join(str(ids[row]) for row in decision.cuts)
        words.append(f"Opening {cuts} leaves no more on the ties than they can carry.")
    for done in decision.restored:
        names = " and ".join(str(ids[row]) for row in done.by.switches)
        words.append(
            f"Closing {names} serves {done.part.customers} ({done.part.demand_mw:.2f} MW)."
        )
    if decision.left_dead:
        left = sum(part.customers for part in decision.left_dead)
        words.append(f"{left} customers wait for the repair: no tie holds within the limits.")
    return " ".join(words)
