"""Compiled power equations of the estimator, their derivatives, and the gain matrix they build.

A *port* is anywhere that complex power is measured: a node, or one end of a branch. Its power is
`S = V_i conj(sum_j Y_j V_j)` over its few terms j; P and Q of a port share their derivatives' pattern, so both rows
are treated at once. Derivatives: Zimmerman, MATPOWER Technical Note 2 (2018), equations 35 to 52, polar voltages.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gridloom.physics.arrays import Complexes, Flags, Floats, Rows


@njit(cache=True, nogil=True)
def linearise(
    v: Complexes,
    port_node: Rows,
    is_current: Flags,
    port_start: Rows,
    term_node: Rows,
    term_y: Complexes,
    power: Complexes,
    slope: Floats,
) -> None:
    """Compute the power of every port and its derivatives.

    Args:
        v: Complex voltage of each node [pu].
        port_node: Node of each port.
        is_current: Whether the port measures the magnitude of its current, which then stands in place of P.
        port_start: First term of each port, and the end of the last.
        term_node: Node of each term.
        term_y: Admittance of each term [pu].
        power: Result, complex power of each port [pu].
        slope: Result, shape (term, 4): dP/dangle, dP/dmagnitude, dQ/dangle, dQ/dmagnitude of the term's node.
    """
    for port in range(port_node.shape[0]):
        i = port_node[port]
        first, last = port_start[port], port_start[port + 1]
        if is_current[port]:
            power[port] = _current(v, first, last, term_node, term_y, slope)
            continue
        total = 0.0 + 0.0j
        for t in range(first, last):
            total += v[i] * np.conj(term_y[t] * v[term_node[t]])
        power[port] = total
        for t in range(first, last):
            j = term_node[t]
            part = v[i] * np.conj(term_y[t] * v[j])
            by_angle = -1j * part
            by_magnitude = part / abs(v[j])
            if j == i:
                by_angle += 1j * total
                by_magnitude += total / abs(v[i])
            slope[t, 0], slope[t, 1] = by_angle.real, by_magnitude.real
            slope[t, 2], slope[t, 3] = by_angle.imag, by_magnitude.imag


@njit(cache=True, nogil=True)
def _current(
    v: Complexes, first: int, last: int, term_node: Rows, term_y: Complexes, slope: Floats
) -> complex:
    total = 0.0 + 0.0j
    for t in range(first, last):
        total += term_y[t] * v[term_node[t]]
    size = abs(total)
    # Without any current its direction, and with it the derivative, is undefined.
    direction = np.conj(total) / max(size, 1e-9)
    for t in range(first, last):
        part = direction * term_y[t] * v[term_node[t]]
        slope[t, 0], slope[t, 1] = -part.imag, part.real / abs(v[term_node[t]])
        slope[t, 2] = slope[t, 3] = 0.0
    return complex(size, 0.0)


@njit(cache=True, nogil=True)
def normal_equations(  # noqa: PLR0917 - compiled code takes plain arrays
    position: Rows,
    port_start: Rows,
    term_node: Rows,
    slope: Floats,
    weight: Floats,
    weighted_residual: Floats,
    pair_start: Rows,
    pair_block: Rows,
    block_first: Rows,
    block_second: Rows,
    entry: Floats,
    right: Floats,
) -> None:
    """Add every port's rows to the gain matrix and the right side.

    Args:
        position: Elimination number of each node.
        port_start: As in `linearise`.
        term_node: As in `linearise`.
        slope: As in `linearise`.
        weight: Of the P and Q row of each port, shape (port, 2); 0 where there is none.
        weighted_residual: Residual times weight, shape (port, 2).
        pair_start: First pair of each port.
        pair_block: Block of the gain matrix for each pair of terms of a port, in the loop's order.
        block_first: Where a 2 by 2 block stands in its first column.
        block_second: Where it stands in its second.
        entry: Gain matrix, upper triangle by columns; added to.
        right: Right side in elimination order; added to.
    """
    for port in range(port_start.shape[0] - 1):
        w_p, w_q = weight[port, 0], weight[port, 1]
        if w_p == 0.0 and w_q == 0.0:
            continue
        first, last = port_start[port], port_start[port + 1]
        r_p, r_q = weighted_residual[port, 0], weighted_residual[port, 1]
        pair = pair_start[port]
        for a in range(first, last):
            at = 2 * position[term_node[a]]
            right[at] += slope[a, 0] * r_p + slope[a, 2] * r_q
            right[at + 1] += slope[a, 1] * r_p + slope[a, 3] * r_q
            for b in range(first, a + 1):
                block = pair_block[pair]
                pair += 1
                # Column of the block is the term that is eliminated later.
                col, row = (a, b) if position[term_node[a]] >= position[term_node[b]] else (b, a)
                p0, p1 = w_p * slope[col, 0], w_p * slope[col, 1]
                q0, q1 = w_q * slope[col, 2], w_q * slope[col, 3]
                one, two = block_first[block], block_second[block]
                entry[one] += p0 * slope[row, 0] + q0 * slope[row, 2]
                if a != b:
                    entry[one + 1] += p0 * slope[row, 1] + q0 * slope[row, 3]
                entry[two] += p1 * slope[row, 0] + q1 * slope[row, 2]
                entry[two + 1] += p1 * slope[row, 1] + q1 * slope[row, 3]


@njit(cache=True, nogil=True)
def pair_keys(position: Rows, port_start: Rows, term_node: Rows, n_nodes: int) -> Rows:
    """Return the key `column * n + row` of the block of every pair of terms, in the order of `normal_equations`."""
    count = 0
    for port in range(port_start.shape[0] - 1):
        width = port_start[port + 1] - port_start[port]
        count += width * (width + 1) // 2
    keys = np.empty(count, dtype=np.int64)
    at = 0
    for port in range(port_start.shape[0] - 1):
        for a in range(port_start[port], port_start[port + 1]):
            pa = position[term_node[a]]
            for b in range(port_start[port], a + 1):
                pb = position[term_node[b]]
                keys[at] = max(pa, pb) * n_nodes + min(pa, pb)
                at += 1
    return keys


@njit(cache=True, nogil=True)
def explained_variances(  # noqa: PLR0917 - compiled code takes plain arrays
    position: Rows,
    port_start: Rows,
    term_node: Rows,
    slope: Floats,
    wanted: Rows,
    column_start: Rows,
    row: Rows,
    inverse: Floats,
    diagonal: Floats,
    result: Floats,
) -> None:
    """Compute h Z h' of the P and Q row of each wanted port from the selected inverse Z.

    Args:
        position: As in `normal_equations`.
        port_start: As in `linearise`.
        term_node: As in `linearise`.
        slope: As in `linearise`.
        wanted: Ports to compute.
        column_start: Columns of the selected inverse.
        row: Its rows.
        inverse: Its entries below the diagonal.
        diagonal: Its diagonal.
        result: Shape (port, 2).
    """
    weight = np.zeros((diagonal.shape[0], 2))
    for port in wanted:
        first, last = port_start[port], port_start[port + 1]
        for t in range(first, last):
            at = 2 * position[term_node[t]]
            for part in range(2):
                weight[at, part] += slope[t, 2 * part]
                weight[at + 1, part] += slope[t, 2 * part + 1]
        p, q = 0.0, 0.0
        for t in range(first, last):
            for j in range(2 * position[term_node[t]], 2 * position[term_node[t]] + 2):
                cross_p, cross_q = 0.0, 0.0
                for e in range(column_start[j], column_start[j + 1]):
                    cross_p += weight[row[e], 0] * inverse[e]
                    cross_q += weight[row[e], 1] * inverse[e]
                p += weight[j, 0] * (weight[j, 0] * diagonal[j] + 2.0 * cross_p)
                q += weight[j, 1] * (weight[j, 1] * diagonal[j] + 2.0 * cross_q)
        for t in range(first, last):
            at = 2 * position[term_node[t]]
            weight[at, 0] = weight[at, 1] = weight[at + 1, 0] = weight[at + 1, 1] = 0.0
        result[port, 0], result[port, 1] = p, q
