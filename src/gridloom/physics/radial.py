"""The radial solver: AC power flow of a forest in about a millisecond at 10,000 buses.

Static arrays are made once; a switching change costs one compiled search of the closed grid. Sources are stiff.
A grid with a loop is refused by name (`NotRadial`); parallel branches of equal ratio are taken as one.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.physics.arrays import Complexes, Flags, Floats, Indices, unit_phasor
from gridloom.physics.errors import NotRadial
from gridloom.physics.forest import Forest, Layout
from gridloom.physics.forest_kernel import draw_at_nodes, start_flat, start_warm, to_buses
from gridloom.physics.operating_point import OperatingPoint
from gridloom.physics.per_unit import BusPowers, PerUnitModel, bus_powers
from gridloom.physics.results import BatchResult, PowerFlowResult, result_from_voltages
from gridloom.physics.sweep_kernel import sweep

if TYPE_CHECKING:
    from gridloom.grid.model import Grid

TOLERANCE_PU = 5e-10
"""Estimated distance to the solution at which a voltage counts as solved."""
MOST_SWEEPS = 200
_SAME_PU = 1e-12
_NOTHING = np.empty(0)


@dataclass(frozen=True, kw_only=True, eq=False)
class RadialSolution:
    """Voltages of a solved forest; flows are computed when asked for."""

    converged: bool
    iterations: int
    residual_pu: float
    """Estimated distance to the solution [pu]."""
    solve_ms: float
    v: Complexes
    """Complex voltage of each bus, star points included, NaN where dead, shape (n_bus,) [pu]."""
    model: PerUnitModel
    ends: Flags

    @cached_property
    def v_pu(self) -> Floats:
        """Voltage magnitude of each bus of the grid, shape (bus,) [pu]."""
        return np.asarray(np.abs(self.v[: len(self.model.grid.buses)]))

    @cached_property
    def is_energised(self) -> Flags:
        """Whether each bus reaches a source, shape (bus,)."""
        return ~np.isnan(self.v.real[: len(self.model.grid.buses)])

    @cached_property
    def result(self) -> PowerFlowResult:
        """Everything that a power flow tells, with the flows of all branches."""
        return result_from_voltages(
            self.model,
            self.ends,
            self.v,
            converged=self.converged,
            engine="radial",
            iterations=self.iterations,
            residual_pu=self.residual_pu,
            solve_ms=self.solve_ms,
        )


class RadialSolver:
    """Power flow of a radial grid whose switches move.

    Not for use by two threads at once; `with_switches` gives a sibling that shares the static arrays.
    """

    def __init__(self, grid: Grid, *, model: PerUnitModel | None = None) -> None:
        """Reduce `grid` to per unit and search it at its own switch positions.

        Raises:
            NotRadial: If the closed grid has a loop, or two sources feed one tree.
            BadInput: If a generator holds a voltage: that needs engine='pgm'.
        """
        self.model = PerUnitModel.of(grid) if model is None else model
        self.layout = Layout.of(self.model)
        _refuse_held_voltages(grid)
        self.forest = Forest.of(self.model, self.layout, grid.switches.closed)

    @property
    def grid(self) -> Grid:
        """The grid that the solver was made for; its switch positions may be older than the solver's."""
        return self.model.grid

    def update_switches(self, closed: Flags) -> Self:
        """Take new positions, shape (switch,); on `NotRadial` the old ones stay.

        A few moved switches cost what they cut off and join on; many, or a tie between buses, a search of the grid.
        """
        old = self.forest.room.closed
        try:
            moved = self.forest.moved(self.model, self.layout, closed)
            self.forest = Forest.of(self.model, self.layout, closed) if moved is None else moved
        except NotRadial:
            self.forest = Forest.of(self.model, self.layout, old)
            raise
        return self

    def with_switches(self, closed: Flags) -> Self:
        """Return a solver at other positions, shape (switch,); this one stays as it is."""
        sibling = copy.copy(self)
        sibling.forest = self.forest.copy()
        return sibling.update_switches(closed)

    def powerflow(self, state: OperatingPoint | None = None) -> PowerFlowResult:
        """Solve `state` (the grid's own by default) and compute all flows."""
        state = OperatingPoint.of(self.grid) if state is None else state
        started = time.perf_counter()
        solution = self.solve_powers(bus_powers(self.model, state), state.source_vm_pu)
        return result_from_voltages(
            self.model,
            self.forest.ends,
            solution.v,
            converged=solution.converged,
            engine="radial",
            iterations=solution.iterations,
            residual_pu=solution.residual_pu,
            solve_ms=(time.perf_counter() - started) * 1e3,
        )

    def solve(
        self,
        p_mw: Floats,
        q_mvar: Floats,
        *,
        source_vm_pu: Floats | None = None,
        start: Complexes | None = None,
    ) -> RadialSolution:
        """Solve injections given by bus.

        Args:
            p_mw: Active injection of each bus, whatever the voltage, shape (bus,) [MW].
            q_mvar: Reactive injection, shape (bus,) [Mvar].
            source_vm_pu: Voltage held by each source, shape (source,); the grid's own by default [pu].
            start: Complex voltages to start from, shape (n_bus,) as in `RadialSolution.v`; flat by default.

        Raises:
            BadInput: If an injection is no finite number; names the bus.
        """
        buses = self.grid.buses
        constant = np.zeros(self.model.n_bus, dtype=np.complex128)
        constant[: len(buses)] = p_mw + 1j * np.asarray(q_mvar)
        if not np.isfinite(constant.sum()):
            row = int(np.flatnonzero(~np.isfinite(constant))[0])
            raise BadInput(
                f"bus {buses.id[row]!r}: injection is {constant[row]} MVA; give finite numbers"
            )
        powers = BusPowers(constant=constant, current=None, impedance=None)
        return self.solve_powers(powers, source_vm_pu, start=start)

    def solve_powers(
        self,
        powers: BusPowers,
        source_vm_pu: Floats | None = None,
        *,
        start: Complexes | None = None,
    ) -> RadialSolution:
        """Solve injections that may depend on voltage; arguments as in `solve`."""
        started = time.perf_counter()
        forest = self.forest
        vr, vi = self._start(source_vm_pu, start)
        p, q = self._draw(powers.constant)
        g, b, p_current, q_current = forest.g, forest.b, _NOTHING, _NOTHING
        if powers.impedance is not None:
            p_z, q_z = self._draw(powers.impedance)
            square = np.abs(forest.inverse_scale) ** 2
            g, b = g + p_z * square, b - q_z * square
        if powers.current is not None:
            p_i, q_i = self._draw(powers.current)
            factor = np.abs(forest.inverse_scale)
            p_current, q_current = p_i * factor, q_i * factor
        sweeps, distance = sweep(
            forest.parent,
            forest.r,
            forest.x,
            p,
            q,
            g,
            b,
            p_current,
            q_current,
            vr,
            vi,
            TOLERANCE_PU,
            MOST_SWEEPS,
        )
        out = np.empty(self.model.n_bus, dtype=np.complex128)
        to_buses(forest.node_of_bus, forest.inverse_scale, vr, vi, out)
        return RadialSolution(
            converged=distance <= TOLERANCE_PU,
            iterations=sweeps,
            residual_pu=float(distance),
            solve_ms=(time.perf_counter() - started) * 1e3,
            v=out,
            model=self.model,
            # The next change of switches works on these very arrays.
            ends=forest.ends.copy(),
        )

    def solve_batch(
        self, state: OperatingPoint, *, with_loading: bool = True, n_threads: int = 1
    ) -> BatchResult:
        """Solve many scenarios at the solver's switch positions, as `batch.solve_batch`."""
        from gridloom.physics.batch import solve_batch

        return solve_batch(self, state, with_loading=with_loading, n_threads=n_threads)

    def source_voltages(self, source_vm_pu: Floats | None = None) -> Complexes:
        """Return the complex voltage held by each source in service, refusing two that disagree at one place."""
        sources, rows = self.grid.sources, self.model.source_rows
        magnitude = (sources.vm_pu if source_vm_pu is None else source_vm_pu)[rows]
        held = magnitude * unit_phasor(sources.va_deg[rows])
        node = self.forest.node_of_bus[self.layout.roots]
        for first, second in zip(*_pairs_at_one_node(node), strict=True):
            if abs(held[first] - held[second]) > _SAME_PU:
                ids = sources.id[rows[first]], sources.id[rows[second]]
                raise BadInput(
                    f"sources {ids[0]!r} and {ids[1]!r} stand at one bus and hold {held[first]} and {held[second]} pu"
                )
        return held

    def _start(self, source_vm_pu: Floats | None, start: Complexes | None) -> tuple[Floats, Floats]:
        forest = self.forest
        # Holes keep this voltage: it only has to be a number other than zero.
        vr, vi = np.ones(forest.n_nodes), np.zeros(forest.n_nodes)
        roots, held = forest.node_of_bus[self.layout.roots], self.source_voltages(source_vm_pu)
        vr[roots], vi[roots] = held.real, held.imag
        start_flat(forest.parent, vr, vi)
        if start is not None:
            start_warm(forest.node_of_bus, forest.parent, forest.scale, start, vr, vi)
        return vr, vi

    def _draw(self, injected: Complexes) -> tuple[Floats, Floats]:
        p, q = np.empty(self.forest.n_nodes), np.empty(self.forest.n_nodes)
        draw_at_nodes(self.forest.node_of_bus, injected, p, q)
        return p, q


def _pairs_at_one_node(node: Indices) -> tuple[list[int], list[int]]:
    seen: dict[int, int] = {}
    first, second = [], []
    for index, at in enumerate(node.tolist()):
        if at in seen:
            first.append(seen[at])
            second.append(index)
        seen.setdefault(at, index)
    return first, second


def _refuse_held_voltages(grid: Grid) -> None:
    held = np.isfinite(grid.generators.vm_pu) & grid.generators.in_service
    if held.any():
        id_ = grid.generators.id[int(np.flatnonzero(held)[0])]
        raise BadInput(
            f"generator {id_!r} holds a voltage; the radial engine takes PQ units only, use engine='pgm'"
        )
