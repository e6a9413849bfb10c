"""From blocks of voltages to what a batch returns; the same for every engine."""

from __future__ import annotations

import numpy as np

from gridloom.physics.arrays import Complexes, Flags, Floats, Indices, Rows
from gridloom.physics.batch_kernel import LANES, read_branches, read_voltages
from gridloom.physics.per_unit import PerUnitModel


class Readout:
    """Outputs of a batch, filled block by block."""

    def __init__(
        self,
        model: PerUnitModel,
        ends: Flags,
        node_of_bus: Indices,
        inverse_scale: Complexes,
        n: int,
        *,
        with_loading: bool,
    ) -> None:
        """Make room for `n` scenarios; `inverse_scale` turns the voltage of a node into that of its buses."""
        self.model, self.ends = model, ends
        self.node_of_bus, self.inverse_scale = node_of_bus, inverse_scale
        self.magnitude = np.abs(inverse_scale)
        rate = 100 * model.current_base_ka / model.rated_ka
        known = ~np.isnan(rate)
        # An end without a rating counts for nothing beside one that has it.
        self.rate = np.where(known.any(axis=1, keepdims=True) & ~known, 0.0, rate)
        self.v_pu = np.empty((n, len(model.grid.buses)))
        self.loading_pct = np.empty((n, model.n_branch if with_loading else 0))
        self.loss, self.distance = np.empty(n), np.empty(n)

    def block(self, first: int, vr: Floats, vi: Floats, distance: Floats, tolerance: float) -> None:
        """Read the block that starts at scenario `first`.

        Args:
            first: First scenario.
            vr: Real part, shape (node, lane) [pu].
            vi: Imaginary part [pu].
            distance: Estimated distance to the solution of each lane [pu].
            tolerance: Largest distance that counts as solved [pu].
        """
        sections, seen = self.model.sections, self.model.seen_from_ends
        lanes = min(LANES, len(self.distance) - first)
        self.distance[first : first + lanes] = distance[:lanes]
        read_voltages(
            self.node_of_bus, self.magnitude, vr, vi, distance, tolerance, first, self.v_pu
        )
        read_branches(
            self.node_of_bus, self.inverse_scale, sections.from_bus, sections.to_bus, self.ends, seen.series,
            seen.inverse_ratio, seen.y_from, seen.y_to, seen.y_open_from, seen.y_open_to, self.rate, vr, vi, first,
            self.loading_pct, self.loss,
        )  # fmt: skip


def read_all(
    model: PerUnitModel,
    ends: Flags,
    node_of_bus: Rows,
    v: Complexes,
    solved: Flags,
    *,
    with_loading: bool,
) -> Readout:
    """Read voltages that another engine solved.

    Args:
        model: The grid in per unit.
        ends: Connected ends, shape (branch, 2).
        node_of_bus: Node of each bus, -1 where dead.
        v: Complex voltage, shape (scenario, node) [pu].
        solved: Which scenarios count, shape (scenario,).
        with_loading: Whether branch loadings are wanted.
    """
    n, n_nodes = v.shape
    nodes = node_of_bus.astype(np.int32)
    out = Readout(
        model, ends, nodes, np.ones(n_nodes, dtype=np.complex128), n, with_loading=with_loading
    )
    distance = np.where(solved, 0.0, np.inf)
    for first in range(0, n, LANES):
        rows = np.minimum(first + np.arange(LANES), n - 1)
        block = v[rows].T
        out.block(
            first,
            np.ascontiguousarray(block.real),
            np.ascontiguousarray(block.imag),
            distance[rows],
            0.0,
        )
    return out
