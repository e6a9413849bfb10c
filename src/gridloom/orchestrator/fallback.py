"""When the event path cannot act by itself: plan again from where things stand.

The prepared plan may be stale, a switch may not have moved, two faults may have come together. The same agent then
plans from the present positions, and the same gate judges; only the hundred milliseconds are lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from gridloom.store.records import DecidedPlan

if TYPE_CHECKING:
    from gridloom.orchestrator.agents import View
    from gridloom.orchestrator.platform import Platform


class Fallback:
    """Plans for faults that have happened."""

    def __init__(self, platform: Platform) -> None:
        """Plan for `platform`."""
        self._platform = platform
        self.stuck: set[str] = set()
        """Switches that were told to move and did not: plans go around them until they are seen to move."""

    def plan(self, line_id: str, fault: str) -> DecidedPlan | None:
        """Return a plan for a fault on `line_id` with its verdict, or nothing if nothing can be done."""
        view = self._platform.view()
        view = replace(view, locks=view.locks | self.stuck)
        plan = self._platform.restoration.replan(view, self._before(view), line_id)
        if plan is None:
            return None
        plan = msgspec.structs.replace(plan, trigger=fault)
        return DecidedPlan(plan=plan, verdict=self._platform.gate.verify(plan, view))

    def _before(self, view: View) -> View:
        """Return the moment before the trip: breakers that are open now and normally closed stood closed."""
        switches = self._platform.grid.switches
        tripped = (switches.kind == "breaker") & switches.closed & ~view.positions
        return replace(view, positions=view.positions | tripped)
