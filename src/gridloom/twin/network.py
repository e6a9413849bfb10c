"""The estimator's network equations: flows, injections and their derivatives at a voltage.

Nodes are electrical nodes (buses joined by closed switches), branches are two-ports in per unit. Source of the
derivatives: Zimmerman, MATPOWER Technical Note 2 (2018), equations 35 to 52, in polar voltage coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gridloom.twin.measurements import Quantity

if TYPE_CHECKING:
    from gridloom.grid.tables import Floats, Rows
    from gridloom.twin.measurements import Measurements

type Complexes = NDArray[np.complex128]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A connected part of the grid as admittances, per unit."""

    n_nodes: int
    from_node: Rows
    to_node: Rows
    y_ff: Complexes
    y_ft: Complexes
    y_tf: Complexes
    y_tt: Complexes
    shunt: Complexes
    """Admittance to ground at each node, shape (node,)."""
    reference: int
    """Node whose angle is zero."""

    @cached_property
    def from_matrix(self) -> sparse.csr_matrix:
        """Branch currents at the from side per node voltage, shape (branch, node)."""
        return self._side(self.y_ff, self.y_ft)

    @cached_property
    def to_matrix(self) -> sparse.csr_matrix:
        """Branch currents at the to side per node voltage, shape (branch, node)."""
        return self._side(self.y_tf, self.y_tt)

    def _side(self, at_from: Complexes, at_to: Complexes) -> sparse.csr_matrix:
        rows = np.arange(len(self.from_node))
        entries = (np.concatenate([at_from, at_to]), (np.tile(rows, 2), np.concatenate([self.from_node, self.to_node])))
        return sparse.csr_matrix(entries, shape=(len(rows), self.n_nodes))

    @cached_property
    def admittance(self) -> sparse.csr_matrix:
        """Node admittance matrix, shape (node, node)."""
        rows = np.arange(len(self.from_node))
        ones, shape = np.ones(len(rows)), (self.n_nodes, len(rows))
        at_from = sparse.csr_matrix((ones, (self.from_node, rows)), shape=shape)
        at_to = sparse.csr_matrix((ones, (self.to_node, rows)), shape=shape)
        return (at_from @ self.from_matrix + at_to @ self.to_matrix + sparse.diags(self.shunt)).tocsr()

    @cached_property
    def elimination_order(self) -> Rows:
        """Leaves first: on a radial grid the gain matrix then factorises without fill, shape (2 node,)."""
        ones = np.ones(len(self.from_node))
        links = sparse.csr_matrix((ones, (self.from_node, self.to_node)), shape=(self.n_nodes, self.n_nodes))
        outward = sparse.csgraph.breadth_first_order(links, self.reference, directed=False, return_predecessors=False)
        missing = np.setdiff1d(np.arange(self.n_nodes), outward)
        inward = np.concatenate([outward, missing])[::-1].astype(np.int64)
        return np.stack([inward, inward + self.n_nodes], axis=1).ravel()


def _matrices(network: Network) -> tuple[sparse.csr_matrix, ...]:
    return network.admittance, network.from_matrix, network.to_matrix


def predict(network: Network, voltage: Complexes, rows: Measurements) -> Floats:
    """Return what each row of `rows` would read at `voltage`, shape (m,)."""
    powers = np.concatenate(
        [
            voltage * np.conj(network.admittance @ voltage),
            voltage[network.from_node] * np.conj(network.from_matrix @ voltage),
            voltage[network.to_node] * np.conj(network.to_matrix @ voltage),
        ]
    )
    result = np.abs(voltage)[np.where(rows.quantity == Quantity.VOLTAGE, rows.place, 0)]
    is_p, is_q, place = _power_rows(network, rows)
    result[is_p] = powers[place[is_p]].real
    result[is_q] = powers[place[is_q]].imag
    return result


def jacobian(network: Network, voltage: Complexes, rows: Measurements) -> sparse.csr_matrix:
    """Return the derivative of `predict` by (angles, magnitudes), shape (m, 2 node)."""
    n, direction = network.n_nodes, voltage / np.abs(voltage)
    at = [np.arange(n), network.from_node, network.to_node]
    by_angle, by_magnitude = [], []
    for matrix, end in zip(_matrices(network), at, strict=True):
        conjugate_current = np.conj(matrix @ voltage)
        incidence = sparse.csr_matrix((np.ones(len(end)), (np.arange(len(end)), end)), shape=(len(end), n))
        through = sparse.diags(voltage[end]) @ matrix.conj()
        by_angle.append(1j * (sparse.diags(conjugate_current * voltage[end]) @ incidence - through @ sparse.diags(voltage.conj())))
        by_magnitude.append(through @ sparse.diags(direction.conj()) + sparse.diags(conjugate_current * direction[end]) @ incidence)
    powers = sparse.hstack([sparse.vstack(by_angle), sparse.vstack(by_magnitude)]).tocsr()
    is_p, is_q, place = _power_rows(network, rows)
    is_v = ~(is_p | is_q)
    magnitudes = sparse.csr_matrix(
        (np.ones(is_v.sum()), (np.arange(is_v.sum()), n + rows.place[is_v])), shape=(is_v.sum(), 2 * n)
    )
    stacked = sparse.vstack([magnitudes, powers[place[is_p]].real, powers[place[is_q]].imag]).tocsr()
    origin = np.concatenate([np.flatnonzero(is_v), np.flatnonzero(is_p), np.flatnonzero(is_q)])
    return stacked[np.argsort(origin)]


def _power_rows(network: Network, rows: Measurements) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Rows]:
    n, b, quantity = network.n_nodes, len(network.from_node), rows.quantity
    offset = np.zeros(len(rows), dtype=np.int64)
    offset[(quantity == Quantity.P_FROM) | (quantity == Quantity.Q_FROM)] = n
    offset[(quantity == Quantity.P_TO) | (quantity == Quantity.Q_TO)] = n + b
    is_p = (quantity == Quantity.P_INJECTION) | (quantity == Quantity.P_FROM) | (quantity == Quantity.P_TO)
    is_q = (quantity == Quantity.Q_INJECTION) | (quantity == Quantity.Q_FROM) | (quantity == Quantity.Q_TO)
    return is_p, is_q, rows.place + offset
