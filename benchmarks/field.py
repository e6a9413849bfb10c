"""What the simulated world costs: processor time per second of grid time, and per fault.

The peer in the same run is power-grid-model's power flow, its model built anew for each solve: what the field falls
back to while a loop is closed.

    python benchmarks/field.py [--smoke] [--json]
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gridloom.field import FaultPlace, FieldOptions, TelemetrySettings, World
from gridloom.field.fault_currents import fault_currents
from gridloom.grid import Grid, load
from gridloom.grid.profiles import Profiles, load_profiles
from gridloom.physics import powerflow

START_NS = 1_467_367_200 * 10**9
SECOND = 10**9
DISTRICT = "simbench:1-MVLV-urban-all-0-sw"
SMALL = "simbench:1-MV-urban--0-sw"
READINGS_PER_SECOND = 200_000.0
Figures = dict[str, float]


def main() -> int:
    """Measure, print, and return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="prove that it runs, in seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    grid = load(SMALL if arguments.smoke else DISTRICT)
    profiles = load_profiles(grid)
    seconds = 5 if arguments.smoke else 60
    figures: Figures = {"buses": len(grid.buses)}
    figures |= running(grid, profiles, seconds)
    figures |= faults(grid, profiles, 20 if arguments.smoke else 200)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<44} {value:>16,.3f}")
    return 0


def world_of(grid: Grid, profiles: Profiles, **telemetry: float) -> World:
    """Return a world that has been running for two seconds, so that everything is compiled."""
    options = FieldOptions(start_ns=START_NS)
    if telemetry:
        options = replace(options, telemetry=TelemetrySettings(**telemetry))
    world = World(grid, options, profiles=profiles)
    world.advance(START_NS + 2 * SECOND)
    return world


def cpu_ms(action: Callable[[], object]) -> float:
    """Return the processor time of one call [ms]."""
    start = time.process_time_ns()
    action()
    return (time.process_time_ns() - start) / 1e6


def running(grid: Grid, profiles: Profiles, seconds: int) -> Figures:
    """Let worlds run: as usual, at a high rate of readings, and with the peer's power flow."""
    usual = world_of(grid, profiles)
    before = usual.telemetry.readings
    end_ns = usual.now_ns + seconds * SECOND
    usual_ms = cpu_ms(lambda: usual.advance(end_ns)) / seconds
    loaded = world_of(grid, profiles, readings_per_second=READINGS_PER_SECOND)
    loaded_before = loaded.telemetry.readings
    loaded_end_ns = loaded.now_ns + min(seconds, 10) * SECOND
    loaded_ms = cpu_ms(lambda: loaded.advance(loaded_end_ns)) / min(seconds, 10)
    plant, point = usual.plant, usual.plant.point
    assert point is not None
    present = usual.true_grid.with_positions(plant.switchgear.closed)
    powerflow(present, point, engine="pgm")
    ours_ms = min(cpu_ms(lambda: plant.electrics.solve(point)) for _ in range(10))
    peer_ms = min(cpu_ms(lambda: powerflow(present, point, engine="pgm")) for _ in range(3))
    return {
        "instruments": len(usual.instruments),
        "usual_readings_per_s": (usual.telemetry.readings - before) / seconds,
        "usual_cpu_ms_per_grid_s": usual_ms,
        "loaded_readings_per_s": (loaded.telemetry.readings - loaded_before) / min(seconds, 10),
        "loaded_cpu_ms_per_grid_s": loaded_ms,
        "solve_cpu_ms": ours_ms,
        "looped_solve_cpu_ms": peer_ms,
        "looped_solve_ratio": peer_ms / ours_ms,
    }


def faults(grid: Grid, profiles: Profiles, count: int) -> Figures:
    """Study medium-voltage faults, and play one to lock-out with all that it brings."""
    world = world_of(grid, profiles)
    network = world.plant.fault_network()
    vn_kv = grid.buses.vn_kv[grid.lines.from_bus]
    lines = np.flatnonzero((vn_kv > 1.0) & (vn_kv < 60.0))
    pickup_ka = np.full(len(grid.switches), 0.4)
    places = [FaultPlace(line=int(lines[n % len(lines)]), fraction=0.5) for n in range(count)]
    study_ms = [cpu_ms(lambda p=place: fault_currents(network, p, pickup_ka)) for place in places]
    played_ms, cleared = [], 0
    for place in places[: count // 10]:
        world.plant.reset(world.now_ns)
        world.advance(world.now_ns + SECOND)
        world.plant.scheme.inject(place, world.now_ns)
        played_ms.append(cpu_ms(lambda: world.advance(world.now_ns + SECOND)))
        cleared += not world.plant.scheme.is_fed
    return {
        "fault_study_cpu_ms_p50": float(np.median(study_ms)),
        "fault_to_lock_out_cpu_ms_p50": float(np.median(played_ms)),
        "faults_played": len(played_ms),
        "faults_cleared": cleared,
    }


if __name__ == "__main__":
    raise SystemExit(main())
