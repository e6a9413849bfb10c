"""The estimator's view of the live grid: electrical nodes, two-port branches, admittances to ground.

Nodes are buses joined by closed switches; only what reaches a source in service is in it. Every number is per unit
on 1 MVA and the node's rated voltage. Admittances follow the pi section of `physics.per_unit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order

from gridloom.physics.arrays import Complexes, Floats, Rows

if TYPE_CHECKING:
    from gridloom.grid.topology import Topology
    from gridloom.physics.per_unit import PerUnitModel


@dataclass(frozen=True, kw_only=True)
class Network:
    """The energised grid as admittances, per unit; it may fall into several islands."""

    n_nodes: int
    from_node: Rows
    to_node: Rows
    y_ff: Complexes
    y_ft: Complexes
    y_tf: Complexes
    y_tt: Complexes
    shunt: Complexes
    """Admittance to ground at each node, shape (node,)."""
    reference: Rows
    """One node of each island; its angle is given."""
    reference_rad: Floats
    """The angle of each reference [rad]."""

    @cached_property
    def admittance(self) -> sparse.csr_matrix:
        """Node admittance matrix, shape (node, node)."""
        f, t, n = self.from_node, self.to_node, self.n_nodes
        nodes = np.arange(n)
        rows = np.concatenate([f, f, t, t, nodes])
        columns = np.concatenate([f, t, f, t, nodes])
        values = np.concatenate([self.y_ff, self.y_ft, self.y_tf, self.y_tt, self.shunt])
        matrix = sparse.csr_matrix((values, (rows, columns)), shape=(n, n))
        matrix.sum_duplicates()
        return matrix

    @cached_property
    def _walk(self) -> tuple[Rows, Rows]:
        """Nodes from the references outward, and each node's predecessor (-1 at a reference)."""
        n = self.n_nodes
        rows = np.concatenate([self.from_node, np.full(len(self.reference), n)])
        columns = np.concatenate([self.to_node, self.reference])
        links = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(n + 1, n + 1))
        outward, before = breadth_first_order(links, n, directed=False)
        parent = before[:n].astype(np.int64)
        parent[self.reference] = -1
        return outward[1:].astype(np.int64), parent

    @property
    def outward(self) -> Rows:
        """Nodes from the references outward."""
        return self._walk[0]

    @cached_property
    def is_forest(self) -> bool:
        """Whether no two paths join the same nodes; parallel branches count as one."""
        low = np.minimum(self.from_node, self.to_node)
        high = np.maximum(self.from_node, self.to_node)
        return len(np.unique(low * self.n_nodes + high)) == self.n_nodes - len(self.reference)

    @cached_property
    def elimination_order(self) -> Rows:
        """Order of the nodes in which the gain matrix factorises with little fill, shape (node,).

        On a forest leaves first gives none at all; elsewhere the minimum-degree order that SuperLU computes.
        """
        if self.is_forest:
            return self.outward[::-1].copy()
        pattern = abs(self.admittance) @ abs(self.admittance).T
        diagonal = np.asarray(pattern.sum(axis=1)).ravel() + 1.0
        dominant = (sparse.diags(diagonal) + pattern).tocsc()
        options = {"SymmetricMode": True}
        factor = sparse.linalg.splu(
            dominant, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options
        )
        return np.argsort(factor.perm_c).astype(np.int64)

    @cached_property
    def flat_start(self) -> Complexes:
        """Every node at 1 pu and at the angle that the phase shifts on the way to it give."""
        shift = np.angle(self.y_tf) - np.angle(-self.y_tt)
        n = self.n_nodes
        key = np.concatenate([self.from_node * n + self.to_node, self.to_node * n + self.from_node])
        order = np.argsort(key, kind="stable")
        outward, parent = self._walk
        child = outward[parent[outward] >= 0]
        # One branch of each parallel bundle is enough: the last of them.
        found = np.searchsorted(key[order], parent[child] * n + child, side="right") - 1
        step = np.concatenate([shift, -shift])[order[found]]
        angle = np.zeros(n)
        angle[self.reference] = self.reference_rad
        angles = angle.tolist()
        for node, before, by_rad in zip(
            child.tolist(), parent[child].tolist(), step.tolist(), strict=True
        ):
            angles[node] = angles[before] + by_rad
        start: Complexes = np.exp(1j * np.array(angles))
        return start


@dataclass(frozen=True, kw_only=True)
class LiveNetwork:
    """A network and how the tables of the grid map to it."""

    network: Network
    node_of_bus: Rows
    """Node of each bus of the per-unit model, star points included; -1 where dead, shape (n_bus,)."""
    branch_of_row: Rows
    """Branch in the network of each branch of the per-unit model; -1 unless live at both ends."""


def live_network(model: PerUnitModel, topology: Topology) -> LiveNetwork:
    """Reduce `model` at a topology to its energised part.

    Args:
        model: The grid in per unit.
        topology: What is connected now.

    Returns:
        The network of all energised islands together, each with a reference at one of its sources.
    """
    ends, sections = model.ends(topology), model.sections
    fused = np.concatenate(
        [
            topology.node_of_bus,
            topology.n_nodes + np.arange(model.n_bus - len(topology.node_of_bus)),
        ]
    )
    is_live = _live_nodes(model, topology, fused, ends)
    number = np.full(len(is_live) + 1, -1, dtype=np.int64)
    number[np.flatnonzero(is_live)] = np.arange(int(is_live.sum()))
    node_of_bus = number[fused]
    n = int(is_live.sum())
    from_node, to_node = node_of_bus[sections.from_bus], node_of_bus[sections.to_bus]
    at_from, at_to = ends[:, 0] & (from_node >= 0), ends[:, 1] & (to_node >= 0)
    joins = at_from & at_to & (from_node != to_node)
    branch_of_row = np.full(len(joins), -1, dtype=np.int64)
    branch_of_row[joins] = np.arange(int(joins.sum()))
    reference, reference_rad = _references(model, topology, node_of_bus)
    seen, turn = model.seen_from_ends, model.seen_from_ends.inverse_ratio[joins]
    series = seen.series[joins]
    network = Network(
        n_nodes=n,
        from_node=from_node[joins],
        to_node=to_node[joins],
        y_ff=series * np.abs(turn) ** 2 + seen.y_from[joins],
        y_ft=-series * turn.conj(),
        y_tf=-series * turn,
        y_tt=series + seen.y_to[joins],
        shunt=_shunts(model, node_of_bus, at_from, at_to, n),
        reference=reference,
        reference_rad=reference_rad,
    )
    return LiveNetwork(network=network, node_of_bus=node_of_bus, branch_of_row=branch_of_row)


def _live_nodes(
    model: PerUnitModel,
    topology: Topology,
    fused: Rows,
    ends: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    is_live = np.zeros(topology.n_nodes + model.n_bus - len(topology.node_of_bus), dtype=np.bool_)
    is_live[: topology.n_nodes] = topology.is_energised_node
    # A star point lives where one of its connected legs leads to a live terminal.
    both = ends.all(axis=1)
    for end, other in (
        (model.sections.from_bus, model.sections.to_bus),
        (model.sections.to_bus, model.sections.from_bus),
    ):
        is_star = both & (fused[end] >= topology.n_nodes)
        is_live[fused[end[is_star]]] |= is_live[fused[other[is_star]]]
    return is_live


def _references(model: PerUnitModel, topology: Topology, node_of_bus: Rows) -> tuple[Rows, Floats]:
    """Return the first source's node of each energised island, and its angle."""
    sources = model.grid.sources
    bus = sources.bus[model.source_rows]
    island = topology.island_of_node[topology.node_of_bus[bus]]
    _, first = np.unique(island, return_index=True)
    rows = model.source_rows[np.sort(first)]
    return node_of_bus[sources.bus[rows]], np.deg2rad(sources.va_deg[rows])


def _shunts(
    model: PerUnitModel, node_of_bus: Rows, at_from: Rows, at_to: Rows, n: int
) -> Complexes:
    sections, seen = model.sections, model.seen_from_ends
    shunt = np.zeros(n, dtype=np.complex128)
    live = node_of_bus >= 0
    np.add.at(shunt, node_of_bus[live], model.shunt_y[live])
    from_node, to_node = node_of_bus[sections.from_bus], node_of_bus[sections.to_bus]
    shorted = at_from & at_to & (from_node == to_node)
    for mask, node, value in (
        (at_from & ~at_to, from_node, seen.y_open_from),
        (at_to & ~at_from, to_node, seen.y_open_to),
        (shorted, from_node, seen.y_from + seen.y_to),
    ):
        np.add.at(shunt, node[mask], value[mask])
    return shunt
