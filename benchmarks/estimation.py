"""State estimation: accuracy, cost a cycle, and whether a lying instrument is named; ours beside power-grid-model.

The truth has line parameters off by up to 10 %, transformers by 5 %, voltage-dependent loads and a source voltage that
wanders and is unknown to the estimator. 5 % of the medium-voltage buses are measured (class 0.5), feeder heads and
transformers as well; meters of class 1 report once a minute, 2 % of the readings are missing.

Two power flows stand beside the estimate, both at the documented source voltage: on what the meters said last, and on
habits alone (40 % of every rating). A naming trial multiplies nothing and repeats nothing: one reading, drawn at random
among those that are not critical, is moved by ten of the standard deviations that the estimator gives it.
"""

# ruff: noqa: E402, SLF001 - thread counts come before numpy; a naming trial opens the estimator up

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from _district import Truth, synthetic_district

import gridloom.grid
from gridloom.grid.model import Grid
from gridloom.ioe.telemetry import Readings
from gridloom.physics import OperatingPoint, powerflow
from gridloom.twin import Estimator, GridState
from gridloom.twin.bad_data import Residuals, examine
from gridloom.twin.evidence import Evidence
from gridloom.twin.layout import Layout
from gridloom.twin.measurements import Origin, Quantity

DISTRICT = "simbench:1-MVLV-urban-all-0-sw"
KINDS = ("telemetry voltage", "telemetry flow", "meter voltage", "meter power")


@dataclass(frozen=True)
class Accuracy:
    """Errors of the voltages over a run, root mean square over buses and moments [%]."""

    what: str
    mv_pct: float
    lv_pct: float


@dataclass(frozen=True)
class Cost:
    """Time of one cycle, readings taken in and result mapped [ms]."""

    engine: str
    cpu_p50_ms: float
    cpu_p99_ms: float
    wall_p50_ms: float
    wall_p99_ms: float


@dataclass(frozen=True)
class Naming:
    """How often a planted error is named."""

    kind: str
    readings: int
    """Readings of the kind that are in use."""
    critical_pct: float
    """Share of them that nothing could contradict; not planted on."""
    trials: int
    named_pct: float
    others_named: int
    """Honest instruments named in those trials."""


def main() -> int:
    """Measure, print tables, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small synthetic grid, seconds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--grid", default=DISTRICT)
    parser.add_argument("--seconds", type=int, default=300, help="length of the accuracy run")
    parser.add_argument("--trials", type=int, default=100, help="naming trials of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.smoke:
        grid, options.seconds, options.trials = synthetic_district(), 90, 15
    else:
        grid = gridloom.grid.load(options.grid)
    run = Run(grid, options.seed)
    result = run.measure(options.seconds)
    namings = list(name_liars(run, options.trials, options.seed))
    result["naming"] = [asdict(one) for one in namings]
    trials = sum(one.trials for one in namings)
    share = sum(one.named_pct * one.trials for one in namings) / max(trials, 1)
    weights = [one.readings * (1 - one.critical_pct / 100) for one in namings]
    drawn = sum(w * one.named_pct for w, one in zip(weights, namings, strict=True)) / sum(weights)
    result |= {"named_pct_equal_kinds": share, "named_pct_drawn_from_all": drawn}
    print(json.dumps(result) if options.json else as_text(result))
    return 0


class Run:
    """A truth and the engines that follow it."""

    def __init__(self, grid: Grid, seed: int) -> None:
        self.grid, self.truth = grid, Truth(grid, seed)
        self.engines = {
            name: Estimator(grid, self.truth.instruments, engine=name) for name in ("wls", "pgm")
        }
        kv = grid.buses.vn_kv
        self.levels = {"mv": (kv >= 1) & (kv < 60), "lv": kv < 1}

    def measure(self, seconds: int) -> dict[str, object]:
        """Follow the truth and compare: the last two thirds count, when all meters have been heard."""
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in self.engines}
        errors: dict[str, list[list[float]]] = {}
        for second in range(seconds):
            readings = self.truth.step()
            # The reference engine takes its turn every tenth second: it is here to be compared.
            turn = [name for name in self.engines if name == "wls" or second % 10 == 9]
            states = {
                name: timed(self.engines[name], readings, self.truth, times[name]) for name in turn
            }
            if second >= seconds // 3 and second % 10 == 9:
                for what, v_pu in self.candidates(states).items():
                    off = v_pu - self.truth.result.v_pu
                    squares = [
                        float(np.nanmean(off[mask] ** 2)) if mask.any() else np.nan
                        for mask in self.levels.values()
                    ]
                    errors.setdefault(what, []).append(squares)
        accuracy = [
            Accuracy(what, *(100 * np.sqrt(np.mean(squares, axis=0))).tolist())
            for what, squares in errors.items()
        ]
        return {
            "grid": self.grid.name,
            "buses": len(self.grid.buses),
            "instruments": len(self.truth.instruments),
            "accuracy": [asdict(one) for one in accuracy],
            "cost": [asdict(cost(name, one)) for name, one in times.items()],
        }

    def candidates(self, states: dict[str, GridState]) -> dict[str, np.ndarray]:
        """Return the voltages to compare with the truth."""
        estimator = self.engines["wls"]
        elements, vm = estimator.elements, self.grid.sources.vm_pu
        known = estimator._book._model.at(self.truth.now_ns, np.zeros(len(elements), dtype=bool))
        return {
            "estimate (own)": states["wls"].v_pu,
            "estimate (power-grid-model)": states["pgm"].v_pu,
            "power flow on last meters": powerflow(
                self.grid, point_of(estimator, known.value, vm)
            ).v_pu,
            "power flow on habits": powerflow(
                self.grid, point_of(estimator, 0.4 * elements.rated, vm)
            ).v_pu,
        }


def timed(
    estimator: Estimator, readings: Readings, truth: Truth, into: list[tuple[float, float]]
) -> GridState:
    """Run one cycle and note its CPU and wall time [ms]."""
    cpu, wall = time.process_time(), time.perf_counter()
    estimator.read(readings, truth.now_ns)
    state = estimator.estimate(truth.grid.switches.closed, truth.now_ns)
    into.append((1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)))
    return state


def cost(engine: str, times: list[tuple[float, float]]) -> Cost:
    """Return quantiles; the first two cycles compile and build."""
    cpu, wall = np.array(times[2:]).T
    quantiles = [float(np.quantile(one, q)) for one in (cpu, wall) for q in (0.5, 0.99)]
    return Cost(engine, *quantiles)


def point_of(estimator: Estimator, injection: np.ndarray, vm: np.ndarray) -> OperatingPoint:
    """Return an operating point from injections, shape (2, element)."""
    a = estimator.elements.n_loads
    b = a + estimator.elements.n_generators
    (p, q) = injection
    return OperatingPoint(
        load_p_mw=-p[:a],
        load_q_mvar=-q[:a],
        generator_p_mw=p[a:b],
        generator_q_mvar=q[a:b],
        storage_p_mw=p[b:],
        storage_q_mvar=q[b:],
        source_vm_pu=vm,
    )


def name_liars(run: Run, trials: int, seed: int) -> Iterator[Naming]:
    """Plant one error a trial, always on the same honest past, and see who is named."""
    rng, estimator = np.random.default_rng(seed), run.engines["wls"]
    hits: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    others = dict.fromkeys(KINDS, 0)
    counts: dict[str, tuple[int, float]] = {}
    while min(len(one) for one in hits.values()) < trials:
        readings = run.truth.step()
        past = copy.deepcopy((estimator._book, estimator._suspects, estimator._voltage))
        look = Look.at(estimator, readings, run.truth)
        clean = estimator._book, estimator._suspects, estimator._voltage
        honest = {one.instrument for one in look.state.suspects}
        found_any = False
        for kind in KINDS:
            in_use = look.rows(kind)
            free = in_use[~look.residuals.is_critical[in_use]]
            counts[kind] = len(in_use), 100 * (1 - len(free) / max(len(in_use), 1))
            fresh = look.fresh(free, readings.time_ns == run.truth.now_ns)
            if not len(fresh) or len(hits[kind]) >= trials:
                continue
            found_any = True
            row, instrument = fresh[rng.integers(len(fresh))]
            lie = look.planted(readings, int(row), int(instrument), rng)
            estimator._book, estimator._suspects, estimator._voltage = copy.deepcopy(past)
            estimator.read(lie, run.truth.now_ns)
            state = estimator.estimate(run.grid.switches.closed, run.truth.now_ns)
            named = {one.instrument for one in state.suspects}
            liar = run.truth.instruments.id[instrument]
            hits[kind].append(liar in named)
            others[kind] += len(named - honest - {liar})
        estimator._book, estimator._suspects, estimator._voltage = clean
        done = [kind for kind in KINDS if len(hits[kind]) >= trials or counts[kind][1] == 100]
        if len(done) == len(KINDS) or (not found_any and run.truth._second > 3600):
            break
    for kind in KINDS:
        share = 100 * float(np.mean(hits[kind])) if hits[kind] else 0.0
        yield Naming(kind, *counts[kind], len(hits[kind]), share, others[kind])


@dataclass(frozen=True)
class Look:
    """An honest cycle, opened up: what each row weighs and whether an error in it could show."""

    estimator: Estimator
    state: GridState
    layout: Layout
    evidence: Evidence
    residuals: Residuals

    @classmethod
    def at(cls, estimator: Estimator, readings: Readings, truth: Truth) -> Look:
        """Run a cycle and keep its inner parts."""
        estimator.read(readings, truth.now_ns)
        state = estimator.estimate(truth.grid.switches.closed, truth.now_ns)
        layout = estimator._layout
        assert layout is not None
        evidence, solution, spread = estimator._solve(layout, truth.now_ns)
        return cls(estimator, state, layout, evidence, examine(evidence, solution, spread))

    def rows(self, kind: str) -> np.ndarray:
        """Return the rows in use of one kind of reading."""
        quantity, origin = self.layout.equations.quantity, self.evidence.origin
        of_telemetry = origin == Origin.TELEMETRY
        voltage, meter = quantity == Quantity.VOLTAGE, origin == Origin.METER
        flow = (quantity >= Quantity.P_FROM) & (quantity <= Quantity.Q_TO)
        power = (quantity == Quantity.P_INJECTION) | (quantity == Quantity.Q_INJECTION)
        masks = (of_telemetry & voltage, of_telemetry & flow, meter & voltage, meter & power)
        return np.flatnonzero(masks[KINDS.index(kind)] & (self.evidence.weight > 0))

    def fresh(self, rows: np.ndarray, is_fresh: np.ndarray) -> np.ndarray:
        """Return (row, instrument) of the readings that came in this second, shape (k, 2)."""
        pairs = []
        sensors, layout = self.estimator.sensors, self.layout
        meter_of = np.full(len(self.estimator.elements), -1)
        meter_of[sensors.meter_element] = sensors.meter_row
        own = layout.instrument[rows] >= 0
        pairs.append(np.stack([rows[own], layout.instrument[rows[own]]], axis=1))
        if not own.all():
            at_node = np.zeros((layout.n_nodes, 1), dtype=int) - 1
            at_node[layout.element_node, 0] = meter_of[layout.element_used]
            nodes = layout.equations.place[rows[~own]]
            pairs.append(np.stack([rows[~own], at_node[nodes, 0]], axis=1))
        every = np.concatenate(pairs)
        return every[is_fresh[every[:, 1]]]

    def planted(
        self, readings: Readings, row: int, instrument: int, rng: np.random.Generator
    ) -> Readings:
        """Return the readings with one of them off by ten standard deviations."""
        quantity = self.layout.equations.quantity[row]
        off = 10 * self.evidence.weight[row] ** -0.5 * rng.choice([-1, 1])
        values = readings.values.copy()
        is_bus = self.estimator.instruments.kind[instrument] == "bus"
        if quantity == Quantity.VOLTAGE:
            values[0 if is_bus else 2, instrument] += off
        else:
            is_q = quantity in {Quantity.Q_INJECTION, Quantity.Q_FROM, Quantity.Q_TO}
            values[int(is_q), instrument] += 1e3 * off
        return replace(readings, values=values)


def as_text(result: dict[str, object]) -> str:
    """Return the tables for people."""
    lines = [f"{result['grid']}: {result['buses']} buses, {result['instruments']} instruments", ""]
    for title in ("accuracy", "cost", "naming"):
        rows: list[dict[str, object]] = result[title]  # type: ignore[assignment] # a list of rows by construction
        lines.append("  ".join(f"{name:>18}" for name in rows[0]))
        for row in rows:
            shown = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()]
            lines.append("  ".join(f"{text:>18}" for text in shown))
        lines.append("")
    lines.append(f"named, each kind weighing alike: {result['named_pct_equal_kinds']:.1f} %")
    lines.append(f"named, drawn from all readings: {result['named_pct_drawn_from_all']:.1f} %")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
