"""Power flow: the radial engine beside power-grid-model and lightsim2grid, in one process on one core.

Three questions, each answered in CPU time (all threads of the process) with the peers' own fastest settings that were
found, result mapping included on all sides:

1. one solve after a switching change, model update included, voltages and all branch flows wanted;
2. a batch of scenarios, node voltage and branch loading wanted;
3. cost against size, on synthetic radial grids.

Every figure is the best of some repetitions, taken in turns so that a busy machine hits all sides alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from _synthetic import radial_grid
from power_grid_model import CalculationMethod

import gridloom.grid
from gridloom.grid.model import Grid
from gridloom.physics import OperatingPoint, RadialSolver, random_scenarios
from gridloom.physics.lightsim import LightsimModel
from gridloom.physics.per_unit import bus_powers
from gridloom.physics.pgm import PgmModel

DISTRICT = "simbench:1-MVLV-urban-all-0-sw"
SMOKE = "synthetic:300"
TOLERANCE = 1e-8
type Outputs = tuple[np.ndarray, np.ndarray]
"""Voltages and branch flows or loadings."""
_METHODS = {
    "Newton-Raphson": CalculationMethod.newton_raphson,
    "iterative current": CalculationMethod.iterative_current,
}
_PGM_SINGLE = {
    "node": ["u_pu", "u_angle"],
    "generic_branch": ["p_from", "q_from", "i_from", "p_to", "q_to", "i_to"],
}
_PGM_BATCH = {"node": ["u_pu"], "generic_branch": ["loading"]}


@dataclass(frozen=True)
class Row:
    """One measured figure."""

    what: str
    grid: str
    buses: int
    scenarios: int
    radial_us: float
    peer: str
    peer_us: float
    ratio: float
    max_dv_pu: float


def main() -> int:
    """Measure, print a table, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--smoke", action="store_true", help="a few seconds on small grids; claims no figure"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--scenarios", type=int, default=1000)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    where = SMOKE if options.smoke else DISTRICT
    scenarios = 40 if options.smoke else options.scenarios
    sizes = (100, 300) if options.smoke else (100, 1_000, 10_000, 100_000)
    repeat = 3 if options.smoke else 15
    grid = _load(where)
    rows = [
        *switching(grid, where, repeat),
        *batch(grid, where, scenarios, 1 if options.smoke else 3),
    ]
    for size in sizes:
        rows += switching(radial_grid(size), f"synthetic:{size}", 5)
    if options.json:
        print(json.dumps({"smoke": options.smoke, "rows": [asdict(row) for row in rows]}))
    else:
        _table(rows)
    return 0


def switching(grid: Grid, name: str, repeat: int) -> list[Row]:
    """One branch is opened and closed in turn; each time everything is solved from a flat start."""
    moved = grid.switches.closed.copy()
    moved[_some_switch(grid)] = False
    opened = grid.with_positions(moved)
    solver, model = RadialSolver(grid), PgmModel(grid)
    powers = bus_powers(solver.model, OperatingPoint.of(grid))
    positions = [opened.switches.closed, grid.switches.closed]
    ends = [model.model.ends(opened.wiring.topology(opened.switches.closed)), model.ends]
    turn: dict[object, int] = {"radial": 0} | dict.fromkeys(_METHODS.values(), 0)

    def ours() -> Outputs:
        turn["radial"] ^= 1
        solver.update_switches(positions[1 - turn["radial"]])
        result = solver.solve_powers(powers).result
        return result.v, result.power

    def theirs(method: CalculationMethod) -> Callable[[], Outputs]:
        def solve() -> Outputs:
            turn[method] ^= 1
            model.set_ends(ends[1 - turn[method]])
            out = model.core.calculate_power_flow(
                error_tolerance=TOLERANCE,
                calculation_method=method,
                output_component_types=_PGM_SINGLE,
            )
            node, flow = out["node"], out["generic_branch"]
            v = (node["u_pu"] * np.exp(1j * node["u_angle"]))[model.node_of_bus]
            return v, np.stack(
                [flow["p_from"] + 1j * flow["q_from"], flow["p_to"] + 1j * flow["q_to"]], axis=1
            )

        return solve

    peers = {f"power-grid-model {word}": theirs(method) for word, method in _METHODS.items()}
    # An even number of turns leaves every side at the grid's own positions.
    times, outputs = _in_turns({"radial": ours, **peers}, repeat=2 * repeat)
    return [
        Row(
            what="solve after a switching change",
            grid=name,
            buses=len(grid.buses),
            scenarios=1,
            radial_us=times["radial"],
            peer=peer,
            peer_us=times[peer],
            ratio=times[peer] / times["radial"],
            max_dv_pu=_worst(outputs["radial"][0], outputs[peer][0][: len(grid.buses)]),
        )
        for peer in peers
    ]


def batch(grid: Grid, name: str, n: int, repeat: int) -> list[Row]:
    """The same scenarios on all engines; loads go in as they stand in the table, voltages and loadings come out."""
    state = random_scenarios(grid, n, np.random.default_rng(0))
    solver, pgm, lightsim = RadialSolver(grid), PgmModel(grid), LightsimModel(grid)

    node = pgm.node_of_bus[: len(grid.buses)]

    def newton() -> Outputs:
        out = pgm.core.calculate_power_flow(
            error_tolerance=TOLERANCE,
            update_data=pgm.update_data(state),
            output_component_types=_PGM_BATCH,
            threading=-1,
        )
        return out["node"]["u_pu"][:, node], out["generic_branch"]["loading"]

    def time_series() -> Outputs:
        series = lightsim.time_series(state)
        # Currents at one end only, in kA, is what it computes by itself; a column more stands for dead buses.
        v = np.abs(np.asarray(series.get_voltages()))[:, lightsim.node_of_bus[: len(grid.buses)]]
        return v, np.asarray(series.compute_flows()) / rated_ka

    rated_ka = lightsim.model.rated_ka[lightsim.closed, 0]

    def ours() -> Outputs:
        result = solver.solve_batch(state)
        return result.v_pu, result.loading_pct

    candidates: dict[str, Callable[[], Outputs]] = {
        "radial": ours,
        "power-grid-model Newton-Raphson": newton,
        "lightsim2grid TimeSeries": time_series,
    }
    times, outputs = _in_turns(candidates, repeat=repeat)
    return [
        Row(
            what="scenario of a batch",
            grid=name,
            buses=len(grid.buses),
            scenarios=n,
            radial_us=times["radial"] / n,
            peer=peer,
            peer_us=times[peer] / n,
            ratio=times[peer] / times["radial"],
            max_dv_pu=_worst(outputs["radial"][0], outputs[peer][0]),
        )
        for peer in list(candidates)[1:]
    ]


def _in_turns(
    candidates: dict[str, Callable[[], Outputs]], repeat: int
) -> tuple[dict[str, float], dict[str, Outputs]]:
    """Run all candidates once unmeasured, then in turns; return the least CPU time [us] and the last outputs."""
    outputs = {name: run() for name, run in candidates.items()}
    # The unmeasured turn counts as one of the pairs that come back to where they started.
    least = dict.fromkeys(candidates, np.inf)
    for _ in range(repeat - 1):
        for name, run in candidates.items():
            started = time.process_time()
            outputs[name] = run()
            least[name] = min(least[name], (time.process_time() - started) * 1e6)
    return least, outputs


def _worst(ours: np.ndarray, theirs: np.ndarray) -> float:
    live = ~np.isnan(ours)
    return float(np.abs(ours[live] - theirs[live]).max())


def _load(name: str) -> Grid:
    kind, _, rest = name.partition(":")
    return radial_grid(int(rest)) if kind == "synthetic" else gridloom.grid.load(name)


def _some_switch(grid: Grid) -> int:
    """Return a closed line switch in the middle of the table."""
    closed = np.flatnonzero(grid.switches.closed & (grid.switches.element_kind == "line"))
    return int(closed[len(closed) // 2])


def _table(rows: list[Row]) -> None:
    print(
        f"{'what':31} {'grid':31} {'buses':>7} {'radial us':>10} {'peer us':>10} {'ratio':>6} {'max dv':>8}  peer"
    )
    for row in rows:
        print(
            f"{row.what:31} {row.grid:31} {row.buses:7d} {row.radial_us:10.1f} {row.peer_us:10.1f} "
            f"{row.ratio:6.1f} {row.max_dv_pu:8.1e}  {row.peer}"
        )


if __name__ == "__main__":
    sys.exit(main())
