"""Measurement equations on a fixed layout: which row reads what, and where it enters the gain matrix.

The layout (network, quantities, places) changes only with the topology; values and weights change every cycle. A row
that has nothing to say in a cycle keeps its place with weight zero, so patterns are worked out once a topology.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from gridloom.physics.arrays import Complexes, Flags, Floats, Rows
from gridloom.twin.equations_kernel import (
    explained_variances,
    linearise,
    normal_equations,
    pair_keys,
)
from gridloom.twin.measurements import Quantity
from gridloom.twin.network import Network
from gridloom.twin.sparse import Factor, SelectedInverse, Symbolic

ANGLE_WEIGHT = 1e12
"""Pins the reference angle: a standard deviation of 1e-6 rad."""
PRIOR_WEIGHT = 1e-6
"""Keeps what nothing measures near its start: a standard deviation of 1000 pu, far above any real one."""


_ENDS = (
    (False, False, (Quantity.P_FROM, Quantity.Q_FROM)),
    (False, True, (Quantity.P_TO, Quantity.Q_TO)),
    (True, False, (Quantity.I_FROM,)),
    (True, True, (Quantity.I_TO,)),
)
"""Kinds of ports at branch ends: current or power, at the from or the to side, and the rows that read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linearisation:
    """The equations at one voltage."""

    voltage: Complexes
    magnitude: Floats
    power: Complexes
    """Of each port, or the magnitude of its current, shape (port,) [pu]."""
    slope: Floats
    """Shape (term, 4), see `equations_kernel.linearise`."""


class Equations:
    """Rows of evidence on a network, ready to be linearised again and again."""

    def __init__(self, network: Network, quantity: Rows, place: Rows) -> None:
        """Work out ports, patterns and the symbolic factor.

        Args:
            network: The network, n nodes.
            quantity: `Quantity` of each row, shape (m,).
            place: Node or branch of each row, shape (m,).
        """
        self.network, self.quantity, self.place = network, quantity, place
        self.is_voltage: Flags = quantity == Quantity.VOLTAGE
        self.is_current: Flags = np.isin(quantity, (Quantity.I_FROM, Quantity.I_TO))
        self._add_ports()
        order = network.elimination_order
        self.position = np.empty_like(order)
        self.position[order] = np.arange(len(order))
        self._add_pattern()

    def linearise(self, voltage: Complexes) -> Linearisation:
        """Return powers and derivatives at `voltage`, shape (node,)."""
        power = np.empty(len(self.port_node), dtype=np.complex128)
        slope = np.empty((len(self.term_node), 4))
        linearise(
            voltage,
            self.port_node,
            self.port_is_current,
            self.port_start,
            self.term_node,
            self.term_y,
            power,
            slope,
        )
        return Linearisation(voltage=voltage, magnitude=np.abs(voltage), power=power, slope=slope)

    def predict(self, at: Linearisation) -> Floats:
        """Return what each row would read, shape (m,)."""
        read = np.stack([at.power.real, at.power.imag], axis=1).ravel()
        values = np.empty(len(self.quantity))
        values[self.is_voltage] = at.magnitude[self.place[self.is_voltage]]
        values[~self.is_voltage] = read[self.port_part]
        return values

    def push(self, at: Linearisation, change: Floats) -> Floats:
        """Return H x: how each row follows a change x of the state in elimination order, shape (m,)."""
        angle = change[2 * self.position][self.term_node]
        magnitude = change[2 * self.position + 1]
        by_magnitude = magnitude[self.term_node]
        parts = np.stack(
            [
                np.add.reduceat(
                    at.slope[:, 0] * angle + at.slope[:, 1] * by_magnitude, self.port_start[:-1]
                ),
                np.add.reduceat(
                    at.slope[:, 2] * angle + at.slope[:, 3] * by_magnitude, self.port_start[:-1]
                ),
            ],
            axis=1,
        ).ravel()
        values = np.empty(len(self.quantity))
        values[self.is_voltage] = magnitude[self.place[self.is_voltage]]
        values[~self.is_voltage] = parts[self.port_part]
        return values

    def pull(self, at: Linearisation, value: Floats) -> Floats:
        """Return H' y of one value y per row, in elimination order, shape (2 node,)."""
        n, by_row = self.network.n_nodes, value[~self.is_voltage]
        result = np.zeros(2 * n)
        voltages = np.bincount(self.place[self.is_voltage], value[self.is_voltage], n)
        if by_row.any():
            port = _by_port(self.port_part, by_row, 2 * len(self.port_node))
            y = np.repeat(port, np.diff(self.port_start), axis=0)
            angle = at.slope[:, 0] * y[:, 0] + at.slope[:, 2] * y[:, 1]
            magnitude = at.slope[:, 1] * y[:, 0] + at.slope[:, 3] * y[:, 1]
            result[2 * self.position] = np.bincount(self.term_node, angle, n)
            voltages = voltages + np.bincount(self.term_node, magnitude, n)
        result[2 * self.position + 1] = voltages
        return result

    def steepest(self, at: Linearisation) -> Floats:
        """Return the largest derivative in each row, shape (m,)."""
        largest = np.abs(at.slope)
        parts = np.maximum(largest[:, ::2], largest[:, 1::2])
        ports = np.maximum.reduceat(parts, self.port_start[:-1], axis=0).ravel()
        values = np.ones(len(self.quantity))
        values[~self.is_voltage] = ports[self.port_part]
        return values

    def gain(
        self, at: Linearisation, weight: Floats, residual: Floats, *, prior: float = PRIOR_WEIGHT
    ) -> tuple[Floats, Floats]:
        """Return the gain matrix's entries and the right side, both in elimination order.

        Args:
            at: The equations at a voltage.
            weight: Of each row, shape (m,).
            residual: Measured minus predicted, shape (m,).
            prior: Weight on every angle and magnitude to stay where it is.
        """
        entry, right = np.zeros(self.symbolic.n_entries), np.zeros(2 * self.network.n_nodes)
        ports, flow = 2 * len(self.port_node), ~self.is_voltage
        weighted = weight * residual
        normal_equations(
            self.position,
            self.port_start,
            self.term_node,
            at.slope,
            _by_port(self.port_part, weight[flow], ports),
            _by_port(self.port_part, weighted[flow], ports),
            self._pair_start,
            self._pair_block,
            self._block_first,
            self._block_second,
            entry,
            right,
        )
        node, n = self.place[self.is_voltage], self.network.n_nodes
        entry[self._diagonal[:, 1]] += np.bincount(node, weight[self.is_voltage], n) + prior
        entry[self._diagonal[:, 0]] += prior
        right[2 * self.position + 1] += np.bincount(node, weighted[self.is_voltage], n)
        reference = self.network.reference
        entry[self._diagonal[reference, 0]] += ANGLE_WEIGHT
        off = np.angle(at.voltage[reference] * np.exp(-1j * self.network.reference_rad))
        right[2 * self.position[reference]] -= ANGLE_WEIGHT * off
        return entry, right

    def explained(self, at: Linearisation, inverse: SelectedInverse) -> Floats:
        """Return h Z h' of each row h, the part of a row's variance that the estimate takes up, shape (m,)."""
        result = np.zeros((len(self.port_node), 2))
        wanted = np.unique(self.port_part // 2)
        factor = inverse.factor
        explained_variances(
            self.position,
            self.port_start,
            self.term_node,
            at.slope,
            wanted,
            factor.column_start,
            factor.row,
            inverse.value,
            inverse.diagonal,
            result,
        )
        values = np.empty(len(self.quantity))
        node = self.place[self.is_voltage]
        values[self.is_voltage] = inverse.diagonal[2 * self.position[node] + 1]
        values[~self.is_voltage] = result.ravel()[self.port_part]
        return values

    def jacobian(self, at: Linearisation) -> sparse.csr_matrix:
        """Return the derivative of `predict` by (angles, magnitudes), shape (m, 2 node): for checks, not for speed."""
        n, m = self.network.n_nodes, len(self.quantity)
        port, part = self.port_part // 2, self.port_part % 2
        width = self.port_start[port + 1] - self.port_start[port]
        row = np.repeat(np.flatnonzero(~self.is_voltage), width)
        start = np.repeat(self.port_start[port] - np.cumsum(width) + width, width)
        term = start + np.arange(len(row))
        side = 2 * np.repeat(part, width)
        v_row = np.flatnonzero(self.is_voltage)
        values = np.concatenate(
            [at.slope[term, side], at.slope[term, side + 1], np.ones(len(v_row))]
        )
        columns = np.concatenate(
            [self.term_node[term], n + self.term_node[term], n + self.place[v_row]]
        )
        return sparse.csr_matrix(
            (values, (np.concatenate([row, row, v_row]), columns)), shape=(m, 2 * n)
        )

    def _add_ports(self) -> None:
        """Number the ports: all nodes, then the measured ends of branches, powers and currents apart."""
        net, admittance = self.network, self.network.admittance
        nodes, starts = [np.arange(net.n_nodes)], [np.diff(admittance.indptr).astype(np.int64)]
        terms = [admittance.indices.astype(np.int64)]
        values, port_part, taken = [admittance.data], 2 * self.place, net.n_nodes
        port_part[self.quantity == Quantity.Q_INJECTION] += 1
        for is_current, at_to, kinds in _ENDS:
            rows = np.isin(self.quantity, kinds)
            branch = np.unique(self.place[rows])
            port_part[rows] = 2 * (taken + np.searchsorted(branch, self.place[rows]))
            port_part[rows] += (self.quantity[rows] == kinds[-1]) & (not is_current)
            nodes.append((net.to_node if at_to else net.from_node)[branch])
            starts.append(np.full(len(branch), 2, dtype=np.int64))
            terms.append(np.stack([net.from_node, net.to_node], axis=1)[branch].ravel())
            y = (net.y_tf, net.y_tt) if at_to else (net.y_ff, net.y_ft)
            values.append(np.stack(y, axis=1)[branch].ravel())
            taken += len(branch)
        self.port_node: Rows = np.concatenate(nodes)
        self.port_is_current: Flags = np.arange(taken) >= taken - len(nodes[-1]) - len(nodes[-2])
        self.port_start: Rows = np.concatenate([[0], np.cumsum(np.concatenate(starts))]).astype(
            np.int64
        )
        self.term_node: Rows = np.concatenate(terms).astype(np.int64)
        self.term_y: Complexes = np.concatenate(values)
        self.port_part: Rows = port_part[~self.is_voltage]
        """Twice the port, plus one for reactive power, of each row that is no voltage."""

    def _add_pattern(self) -> None:
        n = self.network.n_nodes
        widths = np.diff(self.port_start)
        self._pair_start: Rows = np.concatenate([[0], np.cumsum(widths * (widths + 1) // 2)])
        keys = pair_keys(self.position, self.port_start, self.term_node, n)
        blocks, inverse = np.unique(keys, return_inverse=True)
        self._pair_block: Rows = inverse.astype(np.int64)
        column, row = blocks // n, blocks % n
        count = np.bincount(column, minlength=n)
        rank = np.arange(len(blocks)) - (np.cumsum(count) - count)[column]
        lengths = np.stack([2 * count - 1, 2 * count], axis=1).ravel()
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # Keys rise, so the diagonal block, the largest row, comes last in its column.
        self._block_first: Rows = start[2 * column] + 2 * rank
        self._block_second: Rows = start[2 * column + 1] + 2 * rank
        index = np.empty(start[-1], dtype=np.int64)
        off = row != column
        index[self._block_first], index[self._block_second] = 2 * row, 2 * row
        index[self._block_first[off] + 1] = 2 * row[off] + 1
        index[self._block_second + 1] = 2 * row + 1
        on = np.flatnonzero(~off)
        self._diagonal: Rows = np.stack(
            [self._block_first[on], self._block_second[on] + 1], axis=1
        )[self.position]
        self.symbolic = Symbolic.of(start, index)

    def factorise(self, entry: Floats) -> Factor:
        """Return the factor of a gain matrix from `gain`."""
        return self.symbolic.factorise(entry)


def _by_port(port_part: Rows, values: Floats, n: int) -> Floats:
    """Sum values by port and part, shape (port, 2)."""
    return np.bincount(port_part, values, n).astype(np.float64).reshape(-1, 2)
