"""From plans to the table: prepare, verify, let the caller journal, publish.

Two steps on purpose. `prepare` makes a batch that the caller writes to the journal and syncs; `publish` then lays
it ready. So no command can go out whose plan is not on the disk.

A trip must not erase the plan that answers it: from the moment a relay moves until the event path has decided, or
`HOLD_NS` at most, `is_held` is true and the caller keeps its hands off the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from gridloom.core.plans import ActionKind, Autonomy
from gridloom.core.units import NS_PER_S
from gridloom.ioe.frames import FrameKind
from gridloom.orchestrator.location import zones_of
from gridloom.orchestrator.prepared import (
    ACT,
    ADVISE,
    MOST_OPERATIONS,
    OBSERVE,
    Operation,
    PreparedRow,
    PreparedTable,
    Static,
    Zones,
    state_prefix,
)
from gridloom.orchestrator.restoration import plan_number
from gridloom.orchestrator.switching import BRANCH_TRIGGER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gridloom.core.plans import Plan, Verdict
    from gridloom.grid.instruments import Instruments
    from gridloom.grid.model import Grid
    from gridloom.orchestrator.agents import View
    from gridloom.orchestrator.gate import Gate
    from gridloom.orchestrator.restoration import RestorationAgent

HOLD_NS: Final = 2 * NS_PER_S
"""Longest time that a relay which moved keeps the table as it is [ns]."""
_LEVELS: Final = {Autonomy.OBSERVE: OBSERVE, Autonomy.ADVISE: ADVISE, Autonomy.ACT: ACT}
_KINDS: Final = {
    "switch": FrameKind.SWITCH,
    "indicator": FrameKind.INDICATOR,
    "relay": FrameKind.RELAY,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """One preparation: every plan with its verdict, and what the table needs."""

    view: View
    series: int
    plans: tuple[tuple[Plan, Verdict], ...]
    rows: dict[int, PreparedRow]
    zones: Zones

    @property
    def accepted(self) -> int:
        """Plans that the gate accepted."""
        return sum(verdict.accepted for _, verdict in self.plans)


def static_of(grid: Grid, instruments: Instruments, gateways: Mapping[str, str]) -> Static:
    """Return the fixed part of the table.

    Args:
        grid: The grid.
        instruments: The table of the birth; frames' rows are its rows.
        gateways: Cell path of each gateway, as the birth says.
    """
    paths = [""] * len(grid.switches)
    watching = (instruments.kind == "switch") & (instruments.element_kind == "switch")
    for row in np.flatnonzero(watching).tolist():
        paths[int(instruments.element[row])] = gateways.get(str(instruments.gateway[row]), "")
    return Static(
        grid_hash=grid.hash,
        line_ids=[str(id_) for id_ in grid.lines.id],
        switch_ids=[str(id_) for id_ in grid.switches.id],
        command_paths=paths,
        instrument_kind=bytes(int(_KINDS.get(str(kind), 0)) for kind in instruments.kind),
        instrument_element=[int(row) for row in instruments.element],
    )


class Preparation:
    """Keeps the table of prepared plans up to date; belongs to the platform."""

    def __init__(
        self,
        grid: Grid,
        instruments: Instruments,
        agent: RestorationAgent,
        gate: Gate,
        table: PreparedTable,
    ) -> None:
        """Go on counting where the table stands."""
        self._grid, self._instruments = grid, instruments
        self._agent, self._gate, self._table = agent, gate, table
        self._series = table.series
        self._moved_ns: dict[int, int] = {}
        self.zones: Zones | None = None
        """Where the indicators sit at the positions of the last batch; None before it."""

    def relay(self, breaker: int, state: int, now_ns: int) -> None:
        """Take a relay's report: anything but reset (0) holds the table until the event path has decided."""
        if state:
            self._moved_ns.setdefault(breaker, now_ns)
        else:
            self._moved_ns.pop(breaker, None)

    def decided(self, breaker: int) -> None:
        """Take from the ring that the event path has started or refused a plan for this breaker's fault."""
        # Kept as long past: the relay stays locked out and may not hold the table again.
        self._moved_ns[breaker] = -HOLD_NS

    def is_held(self, now_ns: int) -> bool:
        """Whether the table must stay as it is for now."""
        return any(
            0 <= now_ns - moved_ns < HOLD_NS
            for moved_ns in self._moved_ns.values()
            if moved_ns >= 0
        )

    def prepare(self, view: View) -> Batch:
        """Plan and verify for every medium-voltage line; change nothing."""
        self._series += 1
        plans = self._agent.prepare_all(view, series=self._series)
        judged = tuple((plan, self._gate.verify(plan, view)) for plan in plans)
        rows = {}
        for plan, verdict in judged:
            line = self._grid.lines.row(plan.trigger.removeprefix(BRANCH_TRIGGER))
            row = self._row(plan, verdict, line, self._agent.breaker_for(line, view))
            if row is not None:
                rows[line] = row
        basis = self._agent.basis(view)
        return Batch(
            view=view,
            series=self._series,
            plans=judged,
            rows=rows,
            zones=zones_of(basis, self._instruments),
        )

    def publish(self, batch: Batch, *, epoch: int) -> None:
        """Lay a batch ready, after its plans are in the journal."""
        self.zones = batch.zones
        self._table.write(
            batch.rows,
            positions=batch.view.positions,
            state_hash=batch.view.state_hash,
            zones=batch.zones,
            locked=[self._grid.switches.row(id_) for id_ in batch.view.locks],
            epoch=epoch,
            series=batch.series,
            now_ns=batch.view.now_ns,
        )

    def _row(
        self, plan: Plan, verdict: Verdict, line: int, breaker: int | None
    ) -> PreparedRow | None:
        """Return the row of an accepted plan that fits the table."""
        if breaker is None or not verdict.accepted or len(plan.actions) > MOST_OPERATIONS:
            return None
        operations = tuple(
            Operation(self._grid.switches.row(a.target), a.kind is ActionKind.CLOSE, a.step)
            for a in plan.actions
        )
        return PreparedRow(
            number=plan_number(self._series, line),
            expires_ns=plan.expires_ns,
            breaker=breaker,
            autonomy=_LEVELS[verdict.autonomy],
            state_hash=state_prefix(plan.state_hash),
            operations=operations,
        )
