"""Compiled search of the closed grid: which bus is fed from where, in depth-first order.

Nodes are buses fused over closed switches. A node stands behind its parent in the numbering and its whole subtree
follows it without a gap, so one pass down the numbers is a forward sweep and one pass up is a backward sweep.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gridloom.physics.arrays import Complexes, Flags, Floats, Indices, Rows


@njit(cache=True, nogil=True, error_model="numpy")
def incidence(n_bus: int, ends: Indices) -> tuple[Indices, Indices, Indices]:
    """List the edges at each bus: `start[b]:start[b + 1]` slices `edge` and `other` (the bus at the far end).

    Args:
        n_bus: Number of buses.
        ends: Bus at both ends of each edge, shape (edge, 2).
    """
    start = np.zeros(n_bus + 1, np.int32)
    for e in range(ends.shape[0]):
        start[ends[e, 0] + 1] += 1
        start[ends[e, 1] + 1] += 1
    for b in range(n_bus):
        start[b + 1] += start[b]
    fill = start[:-1].copy()
    edge = np.empty(2 * ends.shape[0], np.int32)
    other = np.empty(2 * ends.shape[0], np.int32)
    for e in range(ends.shape[0]):
        for side in range(2):
            at = fill[ends[e, side]]
            edge[at] = e
            other[at] = ends[e, 1 - side]
            fill[ends[e, side]] = at + 1
    return start, edge, other


@njit(cache=True, nogil=True, error_model="numpy")
def open_ends(in_service: Flags, switch_end: Indices, closed: Flags, out: Flags) -> None:
    """Write which edges conduct at each end into `out`, shape (edge, 2).

    Args:
        in_service: Ends with every switch closed, shape (edge, 2); bus ties are edges with both ends here.
        switch_end: Edge and side that each switch can open, shape (switch, 2); side 2 means both.
        closed: Position of each switch, shape (switch,).
        out: Result, same shape as `in_service`.
    """
    out[:] = in_service
    for s in range(closed.shape[0]):
        e = switch_end[s, 0]
        if e >= 0 and not closed[s]:
            side = switch_end[s, 1]
            if side != 1:
                out[e, 0] = False
            if side != 0:
                out[e, 1] = False


@njit(cache=True, nogil=True, error_model="numpy")
def grow_forest(
    start: Indices,
    edge: Indices,
    other: Indices,
    conducts: Flags,
    n_branch: int,
    roots: Indices,
    node_of_bus: Indices,
    parent: Indices,
    parent_edge: Indices,
    chord: Indices,
) -> tuple[int, int]:
    """Number the nodes that the roots reach.

    Args:
        start, edge, other: Incidence of the buses; edges from `n_branch` on are ties between two buses.
        conducts: Both ends of each edge connected, shape (edge,).
        n_branch: Number of branches.
        roots: Bus of each source, in the order of preference.
        node_of_bus: Result, node of each bus, -1 where no root reaches.
        parent: Result, parent node of each node, -1 for a root.
        parent_edge: Result, branch to the parent, -1 for a root.
        chord: Result, branches that close a loop (parallel branches included), or `-2 - source` for a source that
            is reached from another one through a branch.

    Returns:
        Number of nodes and number of chords.
    """
    n_bus = node_of_bus.shape[0]
    node_of_bus[:] = -1
    seen = np.zeros(conducts.shape[0], np.bool_)
    stack_bus = np.empty(n_bus + edge.shape[0] + 1, np.int32)
    stack_edge = np.empty(n_bus + edge.shape[0] + 1, np.int32)
    stack_parent = np.empty(n_bus + edge.shape[0] + 1, np.int32)
    cluster = np.empty(n_bus, np.int32)
    n_node, n_chord = 0, 0
    for r in range(roots.shape[0]):
        if node_of_bus[roots[r]] >= 0:
            # Fused with, or fed by, an earlier source; a fused one shares its root.
            if parent[node_of_bus[roots[r]]] >= 0:
                chord[n_chord] = -2 - r
                n_chord += 1
            continue
        stack_bus[0], stack_edge[0], stack_parent[0] = roots[r], -1, -1
        top = 1
        while top > 0:
            top -= 1
            bus, via, above = stack_bus[top], stack_edge[top], stack_parent[top]
            if via >= 0:
                if seen[via]:
                    continue
                seen[via] = True
                if node_of_bus[bus] >= 0:
                    chord[n_chord] = via
                    n_chord += 1
                    continue
            node = n_node
            n_node += 1
            parent[node], parent_edge[node] = above, via
            # All buses behind closed ties are this node.
            cluster[0], size = bus, 1
            node_of_bus[bus] = node
            at = 0
            while at < size:
                b = cluster[at]
                at += 1
                for i in range(start[b], start[b + 1]):
                    e = edge[i]
                    if not conducts[e]:
                        continue
                    if e >= n_branch:
                        if node_of_bus[other[i]] < 0:
                            node_of_bus[other[i]] = node
                            cluster[size] = other[i]
                            size += 1
                    elif not seen[e]:
                        stack_bus[top], stack_edge[top], stack_parent[top] = other[i], e, node
                        top += 1
    return n_node, n_chord


@njit(cache=True, nogil=True, error_model="numpy")
def refer_to_roots(
    n_node: int,
    parent: Indices,
    parent_edge: Indices,
    from_bus: Rows,
    node_of_bus: Indices,
    z: Complexes,
    ratio: Complexes,
    scale: Complexes,
    z_ref: Complexes,
) -> None:
    """Refer every node to its root, so that no ratio is left inside the sweep.

    Args:
        n_node: Number of nodes.
        parent, parent_edge: The forest.
        from_bus, node_of_bus: To see which end of the branch is nearer to the root.
        z, ratio: Of each branch.
        scale: Result, referred voltage over voltage of each node.
        z_ref: Result, referred impedance to the parent.
    """
    for k in range(n_node):
        p, e = parent[k], parent_edge[k]
        if p < 0:
            scale[k] = 1.0
            z_ref[k] = 0.0
            continue
        if node_of_bus[from_bus[e]] == p:
            scale[k] = scale[p] * ratio[e]
            to_side = scale[k]
        else:
            scale[k] = scale[p] / ratio[e]
            to_side = scale[p]
        z_ref[k] = z[e] * (to_side.real**2 + to_side.imag**2)


@njit(cache=True, nogil=True, error_model="numpy")
def gather_shunts(
    node_of_bus: Indices,
    from_bus: Rows,
    to_bus: Rows,
    ends: Flags,
    y_half: Complexes,
    ratio2: Floats,
    y_open_from: Complexes,
    y_open_to: Complexes,
    bus_y: Complexes,
    y: Complexes,
) -> None:
    """Sum all admittances to earth at each node, in per unit of the node itself.

    Args:
        node_of_bus: Node of each bus, -1 where dead.
        from_bus, to_bus, ends: Branches and their connected ends.
        y_half: Half the shunt of each branch, behind the ratio.
        ratio2: Squared ratio.
        y_open_from, y_open_to: Admittance of the whole branch, seen from the named end while the other is open.
        bus_y: Shunts at each bus.
        y: Result, shape (node,).
    """
    y[:] = 0.0
    for b in range(node_of_bus.shape[0]):
        if node_of_bus[b] >= 0:
            y[node_of_bus[b]] += bus_y[b]
    for e in range(from_bus.shape[0]):
        f, t = node_of_bus[from_bus[e]], node_of_bus[to_bus[e]]
        if ends[e, 0] and ends[e, 1]:
            if f >= 0:
                y[f] += y_half[e] / ratio2[e]
                y[t] += y_half[e]
        elif ends[e, 0] and f >= 0:
            y[f] += y_open_from[e]
        elif ends[e, 1] and t >= 0:
            y[t] += y_open_to[e]


@njit(cache=True, nogil=True, error_model="numpy")
def merge_parallel(
    chord: Indices,
    parent: Indices,
    from_bus: Rows,
    to_bus: Rows,
    node_of_bus: Indices,
    z: Complexes,
    ratio: Complexes,
    scale: Complexes,
    z_ref: Complexes,
) -> Indices:
    """Fold chords that are parallel to a branch of the forest, with the same ratio, into its impedance.

    Args:
        chord: Branches that close a loop; negative entries are sources.
        parent, from_bus, to_bus, node_of_bus, z, ratio, scale: The forest and its branches.
        z_ref: Referred impedances; changed.

    Returns:
        The chords that are left.
    """
    left = np.empty(chord.shape[0], np.int32)
    n = 0
    for i in range(chord.shape[0]):
        e = chord[i]
        left[n] = e
        n += 1
        if e < 0:
            continue
        f, t = node_of_bus[from_bus[e]], node_of_bus[to_bus[e]]
        mismatch = abs(scale[f] * ratio[e] - scale[t])
        if mismatch > 1e-9 * abs(scale[t]):
            continue
        if f == t:
            # Shorted by closed ties: it carries nothing but its shunts.
            n -= 1
        elif parent[f] == t or parent[t] == f:
            child = f if parent[f] == t else t
            referred = z[e] * (scale[t].real ** 2 + scale[t].imag ** 2)
            z_ref[child] = 1.0 / (1.0 / z_ref[child] + 1.0 / referred)
            n -= 1
    return left[:n]


@njit(cache=True, nogil=True, error_model="numpy")
def sum_to_nodes(node_of_bus: Indices, values: Complexes, out: Complexes) -> None:
    """Add complex `values` of shape (bus,) to their nodes in `out`, shape (node,), which is cleared first."""
    out[:] = 0.0
    for b in range(node_of_bus.shape[0]):
        if node_of_bus[b] >= 0:
            out[node_of_bus[b]] += values[b]


@njit(cache=True, nogil=True, error_model="numpy")
def fill_from_roots(parent: Indices, v: Complexes) -> None:
    """Give every node the voltage of its root; `v` holds the roots' and is changed."""
    for k in range(parent.shape[0]):
        if parent[k] >= 0:
            v[k] = v[parent[k]]


@njit(cache=True, nogil=True, error_model="numpy")
def to_buses(node_of_bus: Indices, scale: Complexes, v: Complexes, out: Complexes) -> None:
    """Write the voltage of each bus into `out`: NaN where dead, un-referred elsewhere."""
    for b in range(node_of_bus.shape[0]):
        k = node_of_bus[b]
        out[b] = v[k] / scale[k] if k >= 0 else complex(np.nan, np.nan)


@njit(cache=True, nogil=True, error_model="numpy")
def subtree_sizes(parent: Indices) -> Indices:
    """Return the number of nodes in the subtree of each node, itself included."""
    size = np.ones(parent.shape[0], np.int32)
    for k in range(parent.shape[0] - 1, 0, -1):
        if parent[k] >= 0:
            size[parent[k]] += size[k]
    return size
