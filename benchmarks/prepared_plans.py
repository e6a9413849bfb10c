"""What it costs to have a verified plan ready for every medium-voltage line, and how much load they serve.

CPU time of one preparation after a change of state: planning, verification at the gate, and the indicators' zones.
The peer is one power flow of the same grid by power-grid-model, model update included, since a plan checked that way
would need at least one per candidate; the ratio says how many of its power flows fit into the whole preparation.

    python benchmarks/prepared_plans.py [--smoke] [--json] [--grid URI]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from gridloom.core.clock import SteppedClock
from gridloom.grid import load
from gridloom.grid.instruments import place_instruments
from gridloom.orchestrator.agents import View
from gridloom.orchestrator.autonomy import AutonomyLevels
from gridloom.orchestrator.book import CapacityBook
from gridloom.orchestrator.gate import Gate
from gridloom.orchestrator.location import zones_of
from gridloom.orchestrator.locks import Locks
from gridloom.orchestrator.restoration import RestorationAgent
from gridloom.physics import powerflow

Figures = dict[str, float | int | str]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="cost of preparing a plan for every line")
    parser.add_argument("--grid", default="")
    parser.add_argument("--smoke", action="store_true", help="a small grid, once")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    small, big = "simbench:1-MV-urban--0-sw", "simbench:1-MVLV-urban-all-0-sw"
    uri = options.grid or (small if options.smoke else big)
    figures = _measure(uri, repeats=1 if options.smoke else 5)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for name, value in figures.items():
        print(f"{name:28} {value if isinstance(value, str) else format(value, '.5g')}")


def _measure(uri: str, *, repeats: int) -> Figures:
    grid = load(uri)
    gate = Gate(
        grid, SteppedClock(0), CapacityBook(), Locks(grid.switches.id), AutonomyLevels(grid.cells)
    )
    agent, instruments = (
        RestorationAgent(grid),
        place_instruments(grid, rng=np.random.default_rng(1)),
    )
    views = [View(grid=grid, positions=np.array(grid.switches.closed)) for _ in range(repeats + 1)]
    agent.prepare_all(views.pop())  # compiles
    verdicts = [gate.verify(plan, views[0]) for plan in agent.prepare_all(views[0])]
    views[0] = View(grid=grid, positions=np.array(grid.switches.closed))
    plan_ms = _best_ms(agent.prepare_all, views)
    plans = agent.prepare_all(views[-1])
    gate_ms = _best_ms(lambda view: [gate.verify(plan, view) for plan in plans], views)
    zones_ms = _best_ms(lambda view: zones_of(agent.basis(view), instruments), views[-1:])
    powerflow(grid, engine="pgm")
    peer_ms = _best_ms(lambda _: powerflow(grid, engine="pgm"), views)
    dead_mw = sum(plan.expectation["dead_mw"] for plan in plans)
    served_mw = sum(plan.expectation["restored_mw"] for plan in plans)
    return {
        "grid": uri,
        "buses": len(grid.buses),
        "lines": len(agent.medium_voltage_lines()),
        "plans": len(plans),
        "accepted": sum(verdict.accepted for verdict in verdicts),
        "ac_checks": int(sum(plan.expectation["ac_checks"] for plan in plans)),
        "plan_cpu_ms": plan_ms,
        "gate_cpu_ms": gate_ms,
        "zones_cpu_ms": zones_ms,
        "total_cpu_ms": plan_ms + gate_ms + zones_ms,
        "pgm_power_flow_cpu_ms": peer_ms,
        "total_in_pgm_power_flows": (plan_ms + gate_ms + zones_ms) / peer_ms,
        "served_share": served_mw / dead_mw if dead_mw else float("nan"),
    }


def _best_ms(work: Callable[[View], object], views: list[View]) -> float:
    """Return the least CPU time over the views: other work on the machine only ever adds."""
    spent = []
    for view in views:
        started = time.process_time()
        work(view)
        spent.append((time.process_time() - started) * 1e3)
    return min(spent)


if __name__ == "__main__":
    main()
