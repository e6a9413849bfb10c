"""Compiled search of the closed grid: which bus is fed from where, in breadth-first order.

Nodes are buses fused over closed switches. A node stands behind its parent in the numbering, so one pass down the
numbers is a forward sweep and one pass up is a backward sweep. Breadth first, neighbours in the numbering do not
wait for each other: a sweep takes half the time of one in depth-first order (docs/decisions/201-radial-sweep.md).
"""

# ruff: noqa: PLR0917 - compiled loops take plain arrays, and numba takes no keywords in their order
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
def open_ends(
    in_service: Flags, switch_end: Indices, closed: Flags, n_open: Indices, out: Flags
) -> None:
    """Write which edges conduct at each end into `out`, shape (edge, 2).

    Args:
        in_service: Ends with every switch closed, shape (edge, 2); bus ties are edges with both ends here.
        switch_end: Edge and side that each switch opens, shape (switch, 2).
        closed: Position of each switch, shape (switch,).
        n_open: Result, number of open switches at each end, shape (edge, 2).
        out: Result, shape (edge, 2).
    """
    out[:] = in_service
    n_open[:] = 0
    for s in range(closed.shape[0]):
        e, side = switch_end[s, 0], switch_end[s, 1]
        if e >= 0 and not closed[s]:
            out[e, side] = False
            n_open[e, side] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def grow_forest(
    start: Indices,
    edge: Indices,
    other: Indices,
    conducts: Flags,
    from_bus: Rows,
    branch: Floats,
    roots: Indices,
    node_of_bus: Indices,
    parent: Indices,
    parent_edge: Indices,
    scale: Complexes,
    inverse_scale: Complexes,
    r: Floats,
    x: Floats,
    chord: Indices,
    bus_list: Indices,
    first: Indices,
) -> tuple[int, int]:
    """Number the nodes that the roots reach and refer them to their roots, so that no ratio is left in the sweep.

    Args:
        start: First entry of each bus in `edge` and `other`.
        edge: Edge of each entry: branches first, then ties between two buses.
        other: Bus at the far end of each entry.
        conducts: Connected ends, shape (edge, 2).
        from_bus: From bus of each branch.
        branch: Of each branch, together in one row: resistance, reactance, ratio (real, imaginary), one over the
            ratio (real, imaginary), shape (branch, 6) [pu].
        roots: Bus of each source, in the order of preference.
        node_of_bus: Result, node of each bus, -1 where no root reaches.
        parent: Result, parent of each node, -1 for a root; this and what follows has room for every bus.
        parent_edge: Result, branch to the parent, -1 for a root.
        scale: Result, referred voltage over voltage of each node.
        inverse_scale: Result, one over it.
        r: Result, referred resistance to the parent.
        x: Result, referred reactance to the parent.
        chord: Result, branches that close a loop, be it within a tree, between two sources, or in parallel.
        bus_list: Result, the buses in the order of their nodes.
        first: Result, place of each node's first bus in it; one entry more than nodes.

    Returns:
        Number of nodes and number of chords.
    """
    n_branch = from_bus.shape[0]
    node_of_bus[:] = -1
    n_node, n_chord, n_listed = 0, 0, 0
    for source in range(roots.shape[0]):
        bus = roots[source]
        if node_of_bus[bus] >= 0:
            # Fused with an earlier source, whose root it shares.
            continue
        parent[n_node], parent_edge[n_node] = -1, -1
        scale[n_node], inverse_scale[n_node] = 1.0, 1.0
        r[n_node], x[n_node] = 0.0, 0.0
        first[n_node] = n_listed
        node_of_bus[bus] = n_node
        bus_list[n_listed] = bus
        n_listed = list_fused(
            n_node, n_branch, start, edge, other, conducts, node_of_bus, bus_list, n_listed + 1
        )
        n_node += 1
    first[n_node] = n_listed
    k = 0
    while k < n_node:
        for at in range(first[k], first[k + 1]):
            bus = bus_list[at]
            for i in range(start[bus], start[bus + 1]):
                e, far = edge[i], other[i]
                if e >= n_branch or not (conducts[e, 0] and conducts[e, 1]) or e == parent_edge[k]:
                    continue
                seen = node_of_bus[far]
                if seen >= 0:
                    # Each chord is met from both its ends.
                    if seen < k or (seen == k and far < bus):
                        chord[n_chord] = e
                        n_chord += 1
                    continue
                place_node(
                    n_node,
                    k,
                    e,
                    bus,
                    from_bus,
                    branch,
                    parent,
                    parent_edge,
                    scale,
                    inverse_scale,
                    r,
                    x,
                )
                node_of_bus[far] = n_node
                bus_list[n_listed] = far
                n_listed += 1
                if edge[start[far + 1] - 1] >= n_branch:
                    n_listed = list_fused(
                        n_node,
                        n_branch,
                        start,
                        edge,
                        other,
                        conducts,
                        node_of_bus,
                        bus_list,
                        n_listed,
                    )
                n_node += 1
                first[n_node] = n_listed
        k += 1
    return n_node, n_chord


@njit(inline="always")
def place_node(
    node: int,
    above: int,
    e: int,
    bus_above: int,
    from_bus: Rows,
    branch: Floats,
    parent: Indices,
    parent_edge: Indices,
    scale: Complexes,
    inverse_scale: Complexes,
    r: Floats,
    x: Floats,
) -> None:
    """Hang `node` below the node `above` by branch `e`, whose end at that node is `bus_above`."""
    parent[node], parent_edge[node] = above, e
    to_side = scale[above]
    if branch[e, 2] == 1.0 and branch[e, 3] == 0.0:
        scale[node], inverse_scale[node] = to_side, inverse_scale[above]
    else:
        ratio = complex(branch[e, 2], branch[e, 3])
        inverse = complex(branch[e, 4], branch[e, 5])
        if from_bus[e] == bus_above:
            scale[node] = scale[above] * ratio
            inverse_scale[node] = inverse_scale[above] * inverse
            to_side = scale[node]
        else:
            scale[node] = scale[above] * inverse
            inverse_scale[node] = inverse_scale[above] * ratio
    square = to_side.real**2 + to_side.imag**2
    r[node], x[node] = branch[e, 0] * square, branch[e, 1] * square


@njit(cache=True, nogil=True, error_model="numpy")
def list_fused(
    node: int,
    n_branch: int,
    start: Indices,
    edge: Indices,
    other: Indices,
    conducts: Flags,
    node_of_bus: Indices,
    bus_list: Indices,
    n_listed: int,
) -> int:
    """Append all buses that closed ties join to the last one of the list; return the list's new length."""
    at, end = n_listed - 1, n_listed
    while at < end:
        near = bus_list[at]
        at += 1
        # Ties stand behind the branches at each bus.
        for i in range(start[near + 1] - 1, start[near] - 1, -1):
            e = edge[i]
            if e < n_branch:
                break
            if conducts[e, 0] and conducts[e, 1] and node_of_bus[other[i]] < 0:
                node_of_bus[other[i]] = node
                bus_list[end] = other[i]
                end += 1
    return end


@njit(cache=True, nogil=True, error_model="numpy")
def gather_shunts(
    node_of_bus: Indices,
    from_bus: Rows,
    to_bus: Rows,
    ends: Flags,
    y_from: Complexes,
    y_to: Complexes,
    y_open_from: Complexes,
    y_open_to: Complexes,
    bus_y: Complexes,
    inverse_scale: Complexes,
    g: Floats,
    b: Floats,
) -> None:
    """Sum all admittances to earth at each node, referred to the root.

    Args:
        node_of_bus: Node of each bus, -1 where dead.
        from_bus: From bus of each branch.
        to_bus: To bus of each branch.
        ends: Connected ends, shape (branch, 2); rows beyond the branches are not looked at.
        y_from: Shunt of the closed branch at its from end.
        y_to: Shunt of the closed branch at its to end.
        y_open_from: The whole branch, seen from its from end while the other is open.
        y_open_to: The whole branch, seen from its to end while the other is open.
        bus_y: Shunts at each bus.
        inverse_scale: Voltage over referred voltage of each node.
        g: Result, conductance of each node.
        b: Result, susceptance of each node.
    """
    g[:] = 0.0
    b[:] = 0.0
    for bus in range(node_of_bus.shape[0]):
        k = node_of_bus[bus]
        if k >= 0:
            g[k] += bus_y[bus].real
            b[k] += bus_y[bus].imag
    for e in range(from_bus.shape[0]):
        f, t = node_of_bus[from_bus[e]], node_of_bus[to_bus[e]]
        at_from, at_to = ends[e, 0] and f >= 0, ends[e, 1] and t >= 0
        if at_from and at_to:
            g[f] += y_from[e].real
            b[f] += y_from[e].imag
            g[t] += y_to[e].real
            b[t] += y_to[e].imag
        elif at_from:
            g[f] += y_open_from[e].real
            b[f] += y_open_from[e].imag
        elif at_to:
            g[t] += y_open_to[e].real
            b[t] += y_open_to[e].imag
    for k in range(g.shape[0]):
        square = inverse_scale[k].real ** 2 + inverse_scale[k].imag ** 2
        g[k] *= square
        b[k] *= square


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
    r: Floats,
    x: Floats,
) -> Indices:
    """Fold chords that are parallel to a branch of the forest, with the same ratio, into its impedance.

    Args:
        chord: Branches that close a loop.
        parent: Parent of each node.
        from_bus: From bus of each branch.
        to_bus: To bus of each branch.
        node_of_bus: Node of each bus.
        z: Series impedance of each branch.
        ratio: Ratio of each branch.
        scale: Referred voltage over voltage of each node.
        r: Referred resistance to the parent; changed.
        x: Referred reactance to the parent; changed.

    Returns:
        The chords that are left.
    """
    left = np.empty(chord.shape[0], np.int32)
    n = 0
    for i in range(chord.shape[0]):
        e = chord[i]
        f, t = node_of_bus[from_bus[e]], node_of_bus[to_bus[e]]
        same = abs(scale[f] * ratio[e] - scale[t]) <= 1e-9 * abs(scale[t])
        if same and (parent[f] == t or parent[t] == f):
            child = f if parent[f] == t else t
            tree = complex(r[child], x[child])
            referred = z[e] * (scale[t].real ** 2 + scale[t].imag ** 2)
            together = tree * referred / (tree + referred)
            r[child], x[child] = together.real, together.imag
        elif not (same and f == t):
            # Between two buses of one node, without a ratio, a branch carries nothing but its shunts.
            left[n] = e
            n += 1
    return left[:n]


@njit(cache=True, nogil=True, error_model="numpy")
def draw_at_nodes(node_of_bus: Indices, injected: Complexes, p: Floats, q: Floats) -> None:
    """Sum what the buses draw from each node.

    Args:
        node_of_bus: Node of each bus, -1 where dead.
        injected: Injection of each bus.
        p: Result, active consumption of each node.
        q: Result, reactive consumption of each node.
    """
    p[:] = 0.0
    q[:] = 0.0
    for bus in range(node_of_bus.shape[0]):
        k = node_of_bus[bus]
        if k >= 0:
            p[k] -= injected[bus].real
            q[k] -= injected[bus].imag


@njit(cache=True, nogil=True, error_model="numpy")
def start_flat(parent: Indices, vr: Floats, vi: Floats) -> None:
    """Give every node the voltage of its root; `vr` and `vi` hold the roots' and are changed."""
    for k in range(parent.shape[0]):
        p = parent[k]
        if p >= 0:
            vr[k], vi[k] = vr[p], vi[p]


@njit(cache=True, nogil=True, error_model="numpy")
def start_warm(
    node_of_bus: Indices,
    parent: Indices,
    scale: Complexes,
    known: Complexes,
    vr: Floats,
    vi: Floats,
) -> None:
    """Start live nodes from `known`, shape (bus,), where that is a number; roots keep theirs."""
    for bus in range(node_of_bus.shape[0]):
        k = node_of_bus[bus]
        if k >= 0 and parent[k] >= 0 and not np.isnan(known[bus].real):
            v = known[bus] * scale[k]
            vr[k], vi[k] = v.real, v.imag


@njit(cache=True, nogil=True, error_model="numpy")
def to_buses(
    node_of_bus: Indices, inverse_scale: Complexes, vr: Floats, vi: Floats, out: Complexes
) -> None:
    """Write the voltage of each bus into `out`: NaN where dead, un-referred elsewhere."""
    for bus in range(node_of_bus.shape[0]):
        k = node_of_bus[bus]
        out[bus] = complex(vr[k], vi[k]) * inverse_scale[k] if k >= 0 else complex(np.nan, np.nan)


@njit(cache=True, nogil=True, error_model="numpy")
def depth_first(parent: Indices) -> tuple[Indices, Indices]:
    """Return the place of each node in depth-first order, and the root of each node."""
    n = parent.shape[0]
    size, place, free, root = (
        np.ones(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
    )
    for k in range(n - 1, -1, -1):
        if parent[k] >= 0:
            size[parent[k]] += size[k]
    roots_end = 0
    for k in range(n):
        above = parent[k]
        if above < 0:
            place[k], root[k] = roots_end, k
            roots_end += size[k]
        else:
            place[k], root[k] = free[above], root[above]
            free[above] += size[k]
        free[k] = place[k] + 1
    return place, root
