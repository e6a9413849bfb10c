"""Compiled change of a forest by a few switches: only what was cut off or joined on is searched again.

Nodes that lose their feed stay behind as holes (roots that draw nothing); nodes that gain one are appended, so that
parents still come first. Whatever is not that simple (ties between buses, parallel branches, loops) is left to
`forest_kernel.grow_forest`, which searches the whole grid.
"""

# ruff: noqa: PLR0911, PLR0917 - compiled loops take plain arrays and leave as soon as they know
from __future__ import annotations

import numpy as np
from numba import njit

from gridloom.physics.arrays import Complexes, Flags, Floats, Indices, Rows
from gridloom.physics.forest_kernel import list_fused, place_node

SEARCH_ALL = -1
"""The change is not of the simple kind: search the whole grid; the arrays are spoilt."""


@njit(cache=True, nogil=True, error_model="numpy")
def move_switches(
    changed: Rows,
    closed: Flags,
    switch_end: Indices,
    in_service: Flags,
    n_open: Indices,
    conducts: Flags,
    start: Indices,
    edge: Indices,
    other: Indices,
    from_bus: Rows,
    to_bus: Rows,
    branch: Floats,
    node_of_bus: Indices,
    parent: Indices,
    parent_edge: Indices,
    scale: Complexes,
    inverse_scale: Complexes,
    r: Floats,
    x: Floats,
    g: Floats,
    b: Floats,
    bus_list: Indices,
    first: Indices,
    count: Indices,
    n: int,
    n_listed: int,
) -> tuple[int, int]:
    """Move the `changed` switches to their places in `closed`; arrays of the forest have room behind its `n` nodes.

    Args:
        changed: Rows of the switches that move.
        closed: New position of every switch.
        switch_end: Edge and side that each switch opens, shape (switch, 2).
        in_service: Ends with every switch closed, shape (edge, 2).
        n_open: Number of open switches at each end, shape (edge, 2); changed.
        conducts: Connected ends, shape (edge, 2); changed.
        start: First entry of each bus in `edge` and `other`.
        edge: Edge of each entry.
        other: Bus at the far end of each entry.
        from_bus: From bus of each branch.
        to_bus: To bus of each branch.
        branch: Parameters of each branch, as in `grow_forest`.
        node_of_bus: Node of each bus; this and the following are changed.
        parent: Parent of each node.
        parent_edge: Branch to the parent.
        scale: Referred voltage over voltage.
        inverse_scale: One over it.
        r: Referred resistance to the parent.
        x: Referred reactance to the parent.
        g: Referred conductance; cleared in holes, of new nodes see `local_shunts`.
        b: Referred susceptance.
        bus_list: Buses of the nodes.
        first: Place of each node's first bus in it.
        count: Number of each node's buses.
        n: Number of nodes.
        n_listed: Length of `bus_list` in use.

    Returns:
        New number of nodes, or `SEARCH_ALL`, and the new length of `bus_list`.
    """
    n_branch = from_bus.shape[0]
    cut = np.zeros(n, np.bool_)
    lowest = n
    for s in changed:
        e, side = switch_end[s, 0], switch_end[s, 1]
        if e < 0:
            continue
        if e >= n_branch:
            return SEARCH_ALL, n_listed
        fed = conducts[e, 0] and conducts[e, 1]
        n_open[e, side] += -1 if closed[s] else 1
        conducts[e, side] = in_service[e, side] and n_open[e, side] == 0
        if not fed or (conducts[e, 0] and conducts[e, 1]):
            continue
        f, t = node_of_bus[from_bus[e]], node_of_bus[to_bus[e]]
        if f < 0:
            continue
        child = f if parent_edge[f] == e else t
        if parent_edge[child] != e:
            return SEARCH_ALL, n_listed
        cut[child] = True
        lowest = min(lowest, child)
    for k in range(lowest, n):
        if cut[k]:
            # Another branch to the same parent may go on feeding it.
            for at in range(first[k], first[k] + count[k]):
                for i in range(start[bus_list[at]], start[bus_list[at] + 1]):
                    e = edge[i]
                    if (
                        e < n_branch
                        and conducts[e, 0]
                        and conducts[e, 1]
                        and node_of_bus[other[i]] == parent[k]
                    ):
                        return SEARCH_ALL, n_listed
        elif parent[k] >= 0:
            cut[k] = cut[parent[k]]
    for k in range(lowest, n):
        if cut[k]:
            for at in range(first[k], first[k] + count[k]):
                node_of_bus[bus_list[at]] = -1
            parent[k], parent_edge[k], count[k] = -1, -1, 0
            r[k], x[k], g[k], b[k] = 0.0, 0.0, 0.0, 0.0
    head, tail, room = n, n, parent.shape[0]
    for s in changed:
        e = switch_end[s, 0]
        if e < 0 or not (conducts[e, 0] and conducts[e, 1]):
            continue
        near, far = from_bus[e], to_bus[e]
        if node_of_bus[near] < 0:
            near, far = far, near
        k = node_of_bus[near]
        if k < 0 or parent_edge[max(node_of_bus[far], 0)] == e or parent_edge[k] == e:
            # Dead on both sides for now, or joined on already.
            continue
        if node_of_bus[far] >= 0:
            return SEARCH_ALL, n_listed
        if tail == room:
            return SEARCH_ALL, n_listed
        place_node(
            tail, k, e, near, from_bus, branch, parent, parent_edge, scale, inverse_scale, r, x
        )
        first[tail] = n_listed
        node_of_bus[far], bus_list[n_listed] = tail, far
        n_listed = list_fused(
            tail, n_branch, start, edge, other, conducts, node_of_bus, bus_list, n_listed + 1
        )
        count[tail] = n_listed - first[tail]
        tail += 1
        while head < tail:
            for at in range(first[head], first[head] + count[head]):
                bus = bus_list[at]
                for i in range(start[bus], start[bus + 1]):
                    e, far = edge[i], other[i]
                    if (
                        e >= n_branch
                        or not (conducts[e, 0] and conducts[e, 1])
                        or e == parent_edge[head]
                    ):
                        continue
                    if node_of_bus[far] >= 0 or tail == room:
                        return SEARCH_ALL, n_listed
                    place_node(
                        tail,
                        head,
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
                    first[tail] = n_listed
                    node_of_bus[far], bus_list[n_listed] = tail, far
                    n_listed = list_fused(
                        tail,
                        n_branch,
                        start,
                        edge,
                        other,
                        conducts,
                        node_of_bus,
                        bus_list,
                        n_listed + 1,
                    )
                    count[tail] = n_listed - first[tail]
                    tail += 1
            head += 1
    return tail, n_listed


@njit(cache=True, nogil=True, error_model="numpy")
def local_shunts(
    nodes: Rows,
    bus_list: Indices,
    first: Indices,
    count: Indices,
    start: Indices,
    edge: Indices,
    conducts: Flags,
    from_bus: Rows,
    y_from: Complexes,
    y_to: Complexes,
    y_open_from: Complexes,
    y_open_to: Complexes,
    bus_y: Complexes,
    inverse_scale: Complexes,
    g: Floats,
    b: Floats,
) -> None:
    """Sum the admittances to earth of some nodes anew; arguments as in `forest_kernel.gather_shunts`.

    Args:
        nodes: The nodes; negative ones are left out.
        bus_list: Buses of all nodes.
        first: Place of each node's first bus in it.
        count: Number of each node's buses.
        start: First entry of each bus in `edge`.
        edge: Edge of each entry.
        conducts: Connected ends, shape (edge, 2).
        from_bus: From bus of each branch.
        y_from: Shunt of the closed branch at its from end.
        y_to: Shunt of the closed branch at its to end.
        y_open_from: The whole branch, seen from its from end while the other is open.
        y_open_to: The whole branch, seen from its to end while the other is open.
        bus_y: Shunts at each bus.
        inverse_scale: Voltage over referred voltage of each node.
        g: Conductance; changed.
        b: Susceptance; changed.
    """
    for k in nodes:
        if k < 0:
            continue
        total = 0j
        for at in range(first[k], first[k] + count[k]):
            bus = bus_list[at]
            total += bus_y[bus]
            for i in range(start[bus], start[bus + 1]):
                e = edge[i]
                if e >= from_bus.shape[0]:
                    continue
                if from_bus[e] == bus:
                    if conducts[e, 0]:
                        total += y_from[e] if conducts[e, 1] else y_open_from[e]
                elif conducts[e, 1]:
                    total += y_to[e] if conducts[e, 0] else y_open_to[e]
        square = inverse_scale[k].real ** 2 + inverse_scale[k].imag ** 2
        g[k], b[k] = total.real * square, total.imag * square
