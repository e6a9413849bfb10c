"""Many scenarios on one radial topology: Monte Carlo, hosting capacity, a year of profiles.

Scenarios run in blocks of vector lanes. One thread by default, so that CPU time compares with other engines; more
threads share the blocks.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.units import KW_PER_MW
from gridloom.physics.batch_kernel import LANES, draw_block, sweep_block
from gridloom.physics.forest_kernel import depth_first
from gridloom.physics.radial import MOST_SWEEPS, TOLERANCE_PU, RadialSolver
from gridloom.physics.readout import Readout
from gridloom.physics.results import BatchResult

if TYPE_CHECKING:
    from gridloom.grid.model import Generators, Loads, Storages
    from gridloom.physics.arrays import Complexes, Floats, Indices, Rows
    from gridloom.physics.operating_point import OperatingPoint


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Column:
    """Power of one table, ready for a block: what its rows draw, and at which node."""

    p: Floats
    q: Floats
    node: Indices
    weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tree:
    """The forest in depth-first order: a block's rows stay in the cache between a node and its parent."""

    node_of_bus: Indices
    parent: Indices
    r: Floats
    x: Floats
    g: Floats
    b: Floats
    inverse_scale: Complexes
    source: Rows
    """Source that feeds each node, as a position among those in service."""


def solve_batch(
    solver: RadialSolver, state: OperatingPoint, *, with_loading: bool = True, n_threads: int = 1
) -> BatchResult:
    """Solve every scenario of `state` at the solver's switch positions.

    Args:
        solver: The solver; its switch positions count.
        state: Columns of shape (scenario, n), or (n,) where all scenarios share them.
        with_loading: Whether branch loadings are wanted.
        n_threads: Threads that share the blocks.

    Raises:
        BadInput: If a value is no number; names the element and the scenario.
    """
    started = time.perf_counter()
    state.check(solver.grid)
    n = state.n_scenarios or 1
    work = _Batch(solver, state, n, with_loading=with_loading)
    firsts = range(0, n, LANES)
    if n_threads > 1:
        parts = [firsts[i::n_threads] for i in range(n_threads)]
        with ThreadPoolExecutor(n_threads) as pool:
            sweeps = max(pool.map(work.run, parts))
    else:
        sweeps = work.run(firsts)
    converged = work.out.distance <= TOLERANCE_PU
    return BatchResult(
        engine="radial",
        v_pu=work.out.v_pu,
        loading_pct=work.out.loading_pct,
        loss_kw=np.where(converged, work.out.loss, np.nan) * KW_PER_MW,
        converged=converged,
        iterations=sweeps,
        solve_ms=(time.perf_counter() - started) * 1e3,
    )


class _Batch:
    def __init__(
        self, solver: RadialSolver, state: OperatingPoint, n: int, *, with_loading: bool
    ) -> None:
        self.tree = _depth_first(solver)
        self.constant, self.current, self.impedance = _columns(solver, state, self.tree.node_of_bus)
        self.held = _held_voltages(solver, state)
        forest = solver.forest
        self.out = Readout(
            solver.model,
            forest.ends,
            self.tree.node_of_bus,
            self.tree.inverse_scale,
            n,
            with_loading=with_loading,
        )

    def run(self, firsts: range) -> int:
        """Solve the blocks that start at `firsts` and return the most sweeps that one took."""
        tree, shape = self.tree, (len(self.tree.parent), LANES)
        p, q, vr, vi, ir, ii = (np.empty(shape) for _ in range(6))
        distance, most = np.empty(LANES), 0
        for first in firsts:
            self._fill(self.constant, first, p, q)
            p_current, q_current = self._current(first)
            g, b = self._admittance(first)
            self._start(first, vr, vi)
            sweeps = sweep_block(
                tree.parent, tree.r, tree.x, g, b, p, q, p_current, q_current, vr, vi, ir, ii,
                TOLERANCE_PU, MOST_SWEEPS, distance,
            )  # fmt: skip
            most = max(most, sweeps)
            self.out.block(first, vr, vi, distance, TOLERANCE_PU)
        return most

    def _fill(self, columns: list[_Column], first: int, p: Floats, q: Floats) -> None:
        p[:], q[:] = 0.0, 0.0
        for column in columns:
            draw_block(column.p, column.q, column.node, column.weight, first, p, q)

    def _current(self, first: int) -> tuple[Floats, Floats]:
        shape = (len(self.tree.parent) if self.current else 0, LANES)
        p, q = np.empty(shape), np.empty(shape)
        self._fill(self.current, first, p, q)
        factor = np.abs(self.tree.inverse_scale[: shape[0], None])
        return p * factor, q * factor

    def _admittance(self, first: int) -> tuple[Floats, Floats]:
        g, b = self.tree.g[:, None], self.tree.b[:, None]
        if not self.impedance:
            return g, b
        p, q = np.empty((len(g), LANES)), np.empty((len(g), LANES))
        self._fill(self.impedance, first, p, q)
        square = np.abs(self.tree.inverse_scale[:, None]) ** 2
        return g + p * square, b - q * square

    def _start(self, first: int, vr: Floats, vi: Floats) -> None:
        lanes = np.minimum(first + np.arange(LANES), len(self.held) - 1)
        held = self.held[lanes]
        v = held[:, self.tree.source].T
        vr[:], vi[:] = v.real, v.imag


def _depth_first(solver: RadialSolver) -> _Tree:
    forest = solver.forest
    place, root = depth_first(forest.parent)
    order = np.argsort(place)
    above = forest.parent[order]
    node_of_bus = np.where(forest.node_of_bus >= 0, place[forest.node_of_bus], -1).astype(np.int32)
    source_at = np.full(forest.n_nodes, -1)
    # The first of several sources at one place wins; they were checked to agree.
    roots = forest.node_of_bus[solver.layout.roots]
    source_at[roots[::-1]] = np.arange(len(roots))[::-1]
    return _Tree(
        node_of_bus=node_of_bus,
        parent=np.where(above >= 0, place[above], -1).astype(np.int32),
        r=forest.r[order],
        x=forest.x[order],
        g=forest.g[order],
        b=forest.b[order],
        inverse_scale=forest.inverse_scale[order],
        source=source_at[root[order]],
    )


def _columns(
    solver: RadialSolver, state: OperatingPoint, node_of_bus: Indices
) -> tuple[list[_Column], list[_Column], list[_Column]]:
    """Return what is drawn whatever the voltage, with it, and with its square."""
    grid = solver.grid
    loads, stiff = grid.loads, 1 - grid.loads.z_share - grid.loads.i_share

    def column(
        table: Loads | Generators | Storages, p: Floats, q: Floats, weight: Floats
    ) -> _Column:
        return _Column(
            p=_rows(p),
            q=_rows(q),
            node=np.where(table.in_service, node_of_bus[table.bus], -1).astype(np.int32),
            weight=weight,
        )

    constant = [
        column(loads, state.load_p_mw, state.load_q_mvar, stiff),
        column(
            grid.generators,
            state.generator_p_mw,
            state.generator_q_mvar,
            -np.ones(len(grid.generators)),
        ),
        column(
            grid.storages, state.storage_p_mw, state.storage_q_mvar, -np.ones(len(grid.storages))
        ),
    ]
    by_current, by_impedance = (
        [column(loads, state.load_p_mw, state.load_q_mvar, share)] if share.any() else []
        for share in (loads.i_share, loads.z_share)
    )
    return constant, by_current, by_impedance


def _rows(column: Floats) -> Floats:
    """Return a column with a scenario axis; a read-only one is copied, or the kernel is compiled for it anew."""
    rows = np.atleast_2d(column)
    return rows if rows.flags.writeable and rows.flags.c_contiguous else rows.copy()


def _held_voltages(solver: RadialSolver, state: OperatingPoint) -> Complexes:
    """Return the voltage of each source in service, shape (scenario or 1, source)."""
    return np.stack([solver.source_voltages(row) for row in np.atleast_2d(state.source_vm_pu)])
