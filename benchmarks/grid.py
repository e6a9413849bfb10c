"""The grid room: loading a district from the cache, and the topology after a switching change, against pandapower.

Both sides answer the same question on the same grid in one process: which buses are fed after one switch has moved.
CPU time, the best of several rounds.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import gridloom.grid as gg
from gridloom.grid import simbench_import
from gridloom.grid.pandapower_export import to_pandapower
from gridloom.grid.topology import topology

DISTRICT, SMALL = "1-MVLV-urban-all-0-sw", "1-LV-rural1--0-sw"
SWITCH_KIND = "load_break_switch"


def best_cpu_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the shortest CPU time of `work` in `rounds` rounds [ms]."""
    times = []
    for _ in range(rounds):
        start = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - start)
    return min(times) / 1e6


def after_a_switch(
    grid: gg.Grid,
    net: Any,  # noqa: ANN401 - pandapower nets carry no types
    rounds: int,
) -> dict[str, float]:
    """Measure the topology after one switch has moved, ours and pandapower's."""
    import pandapower.topology as theirs

    row = int(np.flatnonzero(grid.switches.kind == SWITCH_KIND)[0])
    flags = np.array(grid.switches.closed)

    def ours() -> np.ndarray[Any, Any]:
        flags[row] = not flags[row]
        return topology(grid.with_positions(flags)).is_energised

    def peer() -> set[int]:
        net.switch.loc[row, "closed"] = not net.switch.closed.at[row]
        return set(theirs.unsupplied_buses(net))

    for _ in range(2):
        assert set(np.flatnonzero(~ours()).tolist()) == peer()
    return {
        "topology_ms": best_cpu_ms(ours, 20 * rounds),
        "pandapower_topology_ms": best_cpu_ms(peer, rounds),
    }


def main() -> None:
    """Measure, print a table, and one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small grid, few rounds")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    code, rounds = (SMALL, 2) if options.smoke else (DISTRICT, 5)
    warnings.simplefilter("ignore")
    grid = gg.load(f"simbench:{code}")
    net, _ = to_pandapower(grid)
    figures: dict[str, float | str] = {
        "grid": code,
        "buses": len(grid.buses),
        "switches": len(grid.switches),
        "load_from_cache_ms": best_cpu_ms(lambda: gg.load(f"simbench:{code}"), rounds),
        "load_from_source_ms": best_cpu_ms(lambda: simbench_import.simbench_net(code), 1),
        **after_a_switch(grid, net, rounds),
    }
    figures["load_ratio"] = float(figures["load_from_source_ms"]) / float(
        figures["load_from_cache_ms"]
    )
    figures["topology_ratio"] = float(figures["pandapower_topology_ms"]) / float(
        figures["topology_ms"]
    )
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:24} {value if isinstance(value, str) else format(value, '.3f')}")


if __name__ == "__main__":
    main()
