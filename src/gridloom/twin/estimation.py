"""State estimation once a second: from the last readings and the switch positions to a `GridState`.

An `Estimator` belongs to one thread. What it takes in is copied; what it gives out is never changed again. The heavy
parts are compiled and release the interpreter.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.grid.model import Grid
from gridloom.physics.arrays import Complexes, Flags, Rows
from gridloom.physics.per_unit import PerUnitModel
from gridloom.twin.bad_data import examine, liar_of_node, worst_rows
from gridloom.twin.evidence import CURRENT, JUMP_NS, Evidence, EvidenceBook, P, Q, V
from gridloom.twin.layout import Layout, layout_of
from gridloom.twin.measurements import NAMES, Quantity
from gridloom.twin.observability import observable_nodes
from gridloom.twin.report import Estimate, grid_state
from gridloom.twin.sensors import Elements, Sensors
from gridloom.twin.state import GridState, SuspectReading
from gridloom.twin.wls import Covariance, Solution, covariance, solve_wls

if TYPE_CHECKING:
    from gridloom.grid.instruments import Instruments
    from gridloom.ioe.telemetry import Readings
    from gridloom.twin.pgm_engine import PgmEngine

type EstimatorEngine = Literal["wls", "pgm"]

_LOG = logging.getLogger(__name__)
_ROUNDS = 12
"""Estimates that one cycle may take to get rid of lying readings."""
_TOPOLOGIES = 8
"""Layouts kept: switching often goes back to where it came from."""
_TOLERANCE = 1e-6
_OBSERVABILITY_EVERY = 10
"""Cycles between two looks at what readings alone would fix."""


class Estimator:
    """Estimates the state of one grid from its instruments."""

    def __init__(
        self,
        grid: Grid,
        instruments: Instruments,
        *,
        engine: EstimatorEngine = "wls",
        is_timed: bool = True,
    ) -> None:
        """Prepare everything that does not depend on switch positions.

        Args:
            grid: The grid as documented.
            instruments: What is measured in it.
            engine: `wls` (ours) or `pgm` (power-grid-model); both see the same rows.
            is_timed: Whether states carry the wall time they took; no on a stepped clock.

        Raises:
            BadInput: If an instrument points outside its table, or the grid cannot be reduced to per unit.
        """
        if engine not in {"wls", "pgm"}:
            raise BadInput(f"no estimation engine {engine!r}; choose wls or pgm")
        self.grid, self.instruments, self.engine = grid, instruments, engine
        self._is_timed = is_timed
        self.model = PerUnitModel.of(grid)
        self.elements = Elements.of(grid)
        self.sensors = Sensors.of(grid, instruments, self.model, self.elements)
        self._book = EvidenceBook(instruments, self.sensors, self.elements, grid.sources.vm_pu)
        self._layouts: OrderedDict[bytes, Layout] = OrderedDict()
        self._layout: Layout | None = None
        self._voltage: Complexes = np.full(self.model.n_bus, np.nan, dtype=np.complex128)
        self._last_ns: int | None = None
        self._suspects: dict[tuple[int, Quantity], SuspectReading] = {}
        self._observable: Flags | None = None
        self._cycle = 0
        self._positions: Flags = grid.switches.closed
        self._pgm: tuple[Layout, PgmEngine] | None = None

    @property
    def refused(self) -> int:
        """Readings passed over so far: from the future, of the wrong kind, no numbers."""
        return self._book.refused

    def read(self, readings: Readings, now_ns: int) -> None:
        """Take in the last values of all instruments; the arrays are copied.

        Args:
            readings: A snapshot of `ioe.telemetry.LatestValues`, one column per instrument.
            now_ns: Grid time; readings from further ahead than 5 s are passed over.

        Raises:
            BadInput: If the table has another length than the instruments.
        """
        self._watch_clock(now_ns)
        self._book.read(readings, now_ns)

    def estimate(self, positions: Flags, now_ns: int) -> GridState:
        """Estimate the state at `now_ns`.

        Args:
            positions: Whether each switch is closed, as last reported, shape (switch,).
            now_ns: Grid time [ns since 1970 UTC].

        Returns:
            The state. Without any usable reading it rests on habits alone and says so by its standard deviations
            and `measured_share`; without convergence it says `converged=False`.

        Raises:
            BadInput: If `positions` has another length than the switches.
        """
        started = time.perf_counter()
        if positions.shape != (len(self.grid.switches),):
            raise BadInput(
                f"positions has shape {positions.shape}; the grid has {len(self.grid.switches)} switches"
            )
        self._watch_clock(now_ns)
        positions = self._positions = np.array(positions, dtype=np.bool_)
        layout = self._layout_at(positions, now_ns)
        self._book.follow_voltage(now_ns)
        evidence, solution, spread = self._solve(layout, now_ns)
        self._remember(layout, solution)
        residuals = examine(evidence, solution, spread)
        if self._observable is None or self._cycle % _OBSERVABILITY_EVERY == 0:
            self._observable = observable_nodes(layout.equations, evidence, solution)
        self._cycle += 1
        estimate = Estimate(
            layout=layout,
            evidence=evidence,
            solution=solution,
            spread=spread,
            residuals=residuals,
            observable=self._observable,
            suspects=self._standing_suspects(),
        )
        return grid_state(
            self.model,
            self.elements,
            self.instruments,
            self.sensors,
            estimate,
            positions=positions,
            now_ns=now_ns,
            engine=self.engine,
            seconds=time.perf_counter() - started if self._is_timed else 0.0,
        )

    def _watch_clock(self, now_ns: int) -> None:
        """Forget everything if the clock fell back: no age would be right."""
        if self._last_ns is not None and now_ns < self._last_ns - JUMP_NS:
            _LOG.warning("clock_fell_back from_ns=%d to_ns=%d", self._last_ns, now_ns)
            self._book.forget()
            self._suspects.clear()
        self._last_ns = now_ns

    def _layout_at(self, positions: Flags, now_ns: int) -> Layout:
        key = np.packbits(positions).tobytes()
        layout = self._layouts.get(key)
        if layout is None:
            topology = self.grid.wiring.topology(positions)
            layout = layout_of(self.model, topology, self.sensors, self.elements)
            self._layouts[key] = layout
            if len(self._layouts) > _TOPOLOGIES:
                self._layouts.popitem(last=False)
        self._layouts.move_to_end(key)
        if self._layout is not None and layout is not self._layout:
            was = self._layout.live.node_of_bus[self.elements.bus] >= 0
            now = layout.live.node_of_bus[self.elements.bus] >= 0
            self._book.switched(now_ns, now & ~was)
            self._observable = None
        self._layout = layout
        return layout

    def _solve(self, layout: Layout, now_ns: int) -> tuple[Evidence, Solution, Covariance]:
        """Estimate, stop believing the worst readings, estimate again until all agree."""
        start = self._start(layout)
        for last in range(_ROUNDS - 1, -1, -1):
            evidence = self._book.evidence(layout, now_ns)
            solution = self._run(layout, evidence, start)
            spread = covariance(layout.equations, solution, layout.common)
            if not solution.converged or last == 0:
                break
            residuals = examine(evidence, solution, spread)
            worst = worst_rows(evidence, residuals, self._cell_of_row(layout))
            if not len(worst):
                break
            for row in worst.tolist():
                self._doubt(layout, evidence, solution, row, float(residuals.normalised[row]))
            start = solution.voltage
        return evidence, solution, spread

    def _run(self, layout: Layout, evidence: Evidence, start: Complexes) -> Solution:
        if self.engine == "pgm":
            return self._reference(layout).solve(evidence)
        solution = self._run_wls(layout, evidence, start)
        if solution.converged:
            return solution
        # The last state was no good start: begin from scratch.
        return self._run_wls(layout, evidence, layout.live.network.flat_start)

    def _reference(self, layout: Layout) -> PgmEngine:
        """Return power-grid-model at this topology; built once a topology."""
        from gridloom.twin.pgm_engine import PgmEngine

        if self._pgm is None or self._pgm[0] is not layout:
            grid = self.grid.with_positions(self._positions)
            self._pgm = layout, PgmEngine(self.model, grid, layout)
        return self._pgm[1]

    @staticmethod
    def _run_wls(layout: Layout, evidence: Evidence, start: Complexes) -> Solution:
        return solve_wls(
            layout.equations,
            evidence.value,
            evidence.weight,
            start,
            common=layout.common,
            tolerance=_TOLERANCE,
        )

    def _start(self, layout: Layout) -> Complexes:
        """Return the last voltages where there are any."""
        live = layout.live.node_of_bus >= 0
        start = layout.live.network.flat_start.copy()
        node, voltage = layout.live.node_of_bus[live], self._voltage[live]
        known = np.isfinite(voltage)
        if known.sum() == live.sum():
            start[node] = voltage
        return start

    def _remember(self, layout: Layout, solution: Solution) -> None:
        self._voltage[:] = np.nan
        if solution.converged:
            live = layout.live.node_of_bus >= 0
            self._voltage[live] = solution.voltage[layout.live.node_of_bus[live]]

    def _cell_of_row(self, layout: Layout) -> Rows:
        cell_of_node = np.zeros(layout.n_nodes, dtype=np.int64)
        node_of_bus = layout.live.node_of_bus[: len(self.grid.buses)]
        live = node_of_bus >= 0
        cell_of_node[node_of_bus[live]] = self.grid.buses.cell[live]
        of_row = np.append(self.instruments.cell, 0)[layout.instrument]
        nodes = np.concatenate([layout.free_node, layout.free_node])
        of_row[: len(nodes)] = cell_of_node[nodes]
        return of_row

    def _doubt(
        self, layout: Layout, evidence: Evidence, solution: Solution, row: int, normalised: float
    ) -> None:
        """Stop believing what stands in `row` and keep the name of its instrument."""
        quantity = Quantity(int(layout.equations.quantity[row]))
        instrument, measured = int(layout.instrument[row]), float(evidence.value[row])
        residual = float(solution.residual[row])
        if instrument < 0:
            part = P if quantity is Quantity.P_INJECTION else Q
            node = int(layout.equations.place[row])
            element = self._liar(layout, evidence, node, part, residual)
            meters = np.flatnonzero(self.sensors.meter_element == element)
            instrument = int(self.sensors.meter_row[meters[0]])
            measured = float(evidence.injections.reading[part, element])
            columns: tuple[int, ...] = (P, Q)
        elif quantity is Quantity.VOLTAGE:
            columns = (V,)
        else:
            # Power and current of one device contradict each other: which of them lies cannot be told.
            columns = (P, Q, CURRENT)
        self._book.doubt(instrument, columns)
        suspect = SuspectReading(
            instrument=self.instruments.id[instrument],
            quantity=NAMES[quantity],
            time_ns=self._book.time_of(instrument),
            measured=measured,
            estimated=measured - residual,
            normalised_residual=normalised,
        )
        self._suspects[instrument, quantity] = suspect

    def _liar(
        self, layout: Layout, evidence: Evidence, node: int, part: int, residual: float
    ) -> int:
        elements = layout.element_used[layout.element_node == node]
        injections = evidence.injections
        worst = liar_of_node(
            residual,
            injections.reading[part, elements],
            injections.expected[part, elements],
            injections.expected_variance[part, elements],
        )
        return int(elements[worst])

    def _standing_suspects(self) -> tuple[SuspectReading, ...]:
        """Return the suspects whose reading still is the instrument's last, the worst first."""
        self._suspects = {
            key: suspect
            for key, suspect in self._suspects.items()
            if self._book.time_of(key[0]) == suspect.time_ns
        }
        return tuple(sorted(self._suspects.values(), key=lambda one: -one.normalised_residual))
