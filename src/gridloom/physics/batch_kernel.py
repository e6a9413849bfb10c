"""Compiled backward/forward sweep over a forest, many scenarios at once: one vector register holds one node's lanes.

Same equations as `sweep_kernel`, same stopping rule a lane; a block of lanes stops when its last lane does.
"""

# ruff: noqa: PLR0917 - compiled loops take plain arrays, and numba takes no keywords in their order
from __future__ import annotations

import numpy as np
from numba import njit

from gridloom.physics.arrays import Complexes, Flags, Floats, Indices, Rows

LANES = 16
"""Scenarios solved together: two vector registers a quantity, small enough for the cache at 10,000 buses."""
_SLOW = 0.95


@njit(cache=True, nogil=True, error_model="numpy")
def draw_block(
    column_p: Floats,
    column_q: Floats,
    node: Indices,
    weight: Floats,
    first: int,
    p: Floats,
    q: Floats,
) -> None:
    """Add what the rows of one table draw in a block of scenarios.

    Args:
        column_p: Active power, shape (scenario or 1, row) [MW].
        column_q: Reactive power, same shape [Mvar].
        node: Node of each row, -1 where dead.
        weight: Factor of each row; negative for what is injected.
        first: First scenario of the block; lanes beyond the last scenario repeat it.
        p: Consumption, shape (node, lane); changed [pu].
        q: Reactive consumption; changed [pu].
    """
    last_p, last_q = column_p.shape[0] - 1, column_q.shape[0] - 1
    for j in range(LANES):
        at_p, at_q = min(first + j, last_p), min(first + j, last_q)
        for row in range(node.shape[0]):
            k = node[row]
            if k >= 0:
                p[k, j] += weight[row] * column_p[at_p, row]
                q[k, j] += weight[row] * column_q[at_q, row]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def sweep_block(
    parent: Indices,
    r: Floats,
    x: Floats,
    g: Floats,
    b: Floats,
    p: Floats,
    q: Floats,
    p_current: Floats,
    q_current: Floats,
    vr: Floats,
    vi: Floats,
    ir: Floats,
    ii: Floats,
    tolerance: float,
    most: int,
    distance: Floats,
) -> int:
    """Sweep one block of lanes; arguments as in `sweep_kernel.sweep`, with a lane axis behind the node axis.

    Args:
        parent: Parent of each node, -1 for a root; parents come first.
        r: Referred resistance to the parent [pu].
        x: Referred reactance to the parent [pu].
        g: Referred conductance to earth, shape (node, lane or 1) [pu].
        b: Referred susceptance to earth, same shape [pu].
        p: Active consumption whatever the voltage, shape (node, lane) [pu].
        q: Reactive consumption whatever the voltage [pu].
        p_current: Active consumption per referred voltage; no rows where there is none [pu].
        q_current: Reactive consumption per referred voltage [pu].
        vr: Start and result, real part [pu].
        vi: Start and result, imaginary part [pu].
        ir: Room to work in.
        ii: Room to work in.
        tolerance: Estimated distance to the solution at which a lane is done [pu].
        most: Most sweeps.
        distance: Result, estimated distance of each lane, infinite where it got lost.

    Returns:
        Number of sweeps.
    """
    n, varies = parent.shape[0], g.shape[1] > 1
    has_current = p_current.shape[0] > 0
    before, change, drawn = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
    distance[:] = np.inf
    for sweeps in range(1, most + 1):
        ir[:] = 0.0
        ii[:] = 0.0
        drawn[:] = 0.0
        for k in range(n - 1, -1, -1):
            above = parent[k]
            for j in range(LANES):
                scale = 1.0 / (vr[k, j] * vr[k, j] + vi[k, j] * vi[k, j])
                pk, qk = p[k, j] * scale, q[k, j] * scale
                if varies:
                    pk, qk = pk + g[k, j], qk - b[k, j]
                else:
                    pk, qk = pk + g[k, 0], qk - b[k, 0]
                if has_current:
                    root = np.sqrt(scale)
                    pk, qk = pk + p_current[k, j] * root, qk + q_current[k, j] * root
                ir[k, j] += pk * vr[k, j] + qk * vi[k, j]
                ii[k, j] += pk * vi[k, j] - qk * vr[k, j]
            if above >= 0:
                for j in range(LANES):
                    ir[above, j] += ir[k, j]
                    ii[above, j] += ii[k, j]
            else:
                for j in range(LANES):
                    drawn[j] += abs(ir[k, j]) + abs(ii[k, j])
        change[:] = 0.0
        for k in range(n):
            above = parent[k]
            if above < 0:
                continue
            rk, xk = r[k], x[k]
            for j in range(LANES):
                scale = 1.0 / (vr[k, j] * vr[k, j] + vi[k, j] * vi[k, j])
                drop_r, drop_i = rk * ir[k, j] - xk * ii[k, j], rk * ii[k, j] + xk * ir[k, j]
                c_r = (drop_r * vr[k, j] - drop_i * vi[k, j]) * scale
                c_i = (drop_r * vi[k, j] + drop_i * vr[k, j]) * scale
                off_r = vr[above, j] - drop_r - vr[k, j]
                off_i = vi[above, j] - drop_i - vi[k, j]
                step_r = off_r + c_r * off_r + c_i * off_i
                step_i = off_i + c_i * off_r - c_r * off_i
                change[j] = max(change[j], abs(step_r) + abs(step_i))
                vr[k, j] += step_r
                vi[k, j] += step_i
        done = True
        for j in range(LANES):
            if not drawn[j] < 1e30:
                distance[j] = np.inf
            elif change[j] == 0.0:
                distance[j] = 0.0
            elif before[j] > 0.0 and change[j] < _SLOW * before[j]:
                distance[j] = change[j] * change[j] / (before[j] - change[j])
                done = done and distance[j] <= tolerance
            else:
                done = False
            before[j] = change[j]
        if done:
            return sweeps
    return most


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def read_voltages(
    node_of_bus: Indices,
    magnitude: Floats,
    vr: Floats,
    vi: Floats,
    distance: Floats,
    tolerance: float,
    first: int,
    out: Floats,
) -> None:
    """Write the voltage magnitude of each bus, NaN where dead or not converged.

    Args:
        node_of_bus: Node of each bus, -1 where dead; only as many as `out` has columns are read.
        magnitude: Voltage over referred voltage of each node.
        vr: Real part, shape (node, lane) [pu].
        vi: Imaginary part [pu].
        distance: Estimated distance to the solution of each lane [pu].
        tolerance: Largest distance that counts as converged [pu].
        first: First scenario of the block.
        out: Result, shape (scenario, bus) [pu].
    """
    lanes = min(LANES, out.shape[0] - first)
    for bus in range(out.shape[1]):
        k = node_of_bus[bus]
        for j in range(lanes):
            if k >= 0 and distance[j] <= tolerance:
                out[first + j, bus] = magnitude[k] * np.sqrt(
                    vr[k, j] * vr[k, j] + vi[k, j] * vi[k, j]
                )
            else:
                out[first + j, bus] = np.nan


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def read_branches(
    node_of_bus: Indices,
    inverse_scale: Complexes,
    from_bus: Rows,
    to_bus: Rows,
    ends: Flags,
    series: Complexes,
    inverse_ratio: Complexes,
    y_from: Complexes,
    y_to: Complexes,
    y_open_from: Complexes,
    y_open_to: Complexes,
    per_pu: Floats,
    vr: Floats,
    vi: Floats,
    first: int,
    loading: Floats,
    loss: Floats,
) -> None:
    """Write the loading of each branch and the loss of each lane.

    Args:
        node_of_bus: Node of each bus, -1 where dead.
        inverse_scale: Voltage over referred voltage of each node.
        from_bus: From bus of each branch.
        to_bus: To bus of each branch.
        ends: Connected ends, shape (branch, 2).
        series: One over the series impedance [pu].
        inverse_ratio: One over the ratio [pu].
        y_from: Shunt of the closed branch at its from end [pu].
        y_to: Shunt of the closed branch at its to end [pu].
        y_open_from: Branch seen from its from end while the other is open [pu].
        y_open_to: Branch seen from its to end while the other is open [pu].
        per_pu: Loading per current at each end, shape (branch, 2) [%/pu].
        vr: Real part, shape (node, lane) [pu].
        vi: Imaginary part [pu].
        first: First scenario of the block.
        loading: Result, shape (scenario, branch); without columns when not wanted [%].
        loss: Result, shape (scenario,) [pu].
    """
    lanes = min(LANES, loss.shape[0] - first)
    lost = np.zeros(LANES)
    wanted = loading.shape[1] > 0
    for e in range(from_bus.shape[0]):
        f, t = node_of_bus[from_bus[e]], node_of_bus[to_bus[e]]
        at_from, at_to = ends[e, 0] and f >= 0, ends[e, 1] and t >= 0
        if not (at_from or at_to):
            if wanted:
                for j in range(lanes):
                    loading[first + j, e] = 0.0
            continue
        f, t = max(f, 0), max(t, 0)
        closed = at_from and at_to
        from_self = y_open_from[e] if at_from else 0j
        to_self = y_open_to[e] if at_to else 0j
        mutual_from, mutual_to = 0j, 0j
        if closed:
            away = inverse_ratio[e]
            from_self = y_from[e] + series[e] * (away.real**2 + away.imag**2)
            to_self = y_to[e] + series[e]
            mutual_from = -series[e] * away.conjugate()
            mutual_to = -series[e] * away
        # All four admittances of the branch, seen from the referred voltages.
        sf, st = inverse_scale[f], inverse_scale[t]
        aff, aft = from_self * sf, mutual_from * st
        atf, att = mutual_to * sf, to_self * st
        rate_from, rate_to = per_pu[e, 0], per_pu[e, 1]
        for j in range(lanes):
            fr, fi, tr, ti = vr[f, j], vi[f, j], vr[t, j], vi[t, j]
            cfr = aff.real * fr - aff.imag * fi + aft.real * tr - aft.imag * ti
            cfi = aff.real * fi + aff.imag * fr + aft.real * ti + aft.imag * tr
            ctr = atf.real * fr - atf.imag * fi + att.real * tr - att.imag * ti
            cti = atf.real * fi + atf.imag * fr + att.real * ti + att.imag * tr
            # Real part of V conj(I), with V un-referred.
            vfr, vfi = sf.real * fr - sf.imag * fi, sf.real * fi + sf.imag * fr
            vtr, vti = st.real * tr - st.imag * ti, st.real * ti + st.imag * tr
            lost[j] += vfr * cfr + vfi * cfi + vtr * ctr + vti * cti
            if wanted:
                at_one = rate_from * np.sqrt(cfr * cfr + cfi * cfi)
                at_other = rate_to * np.sqrt(ctr * ctr + cti * cti)
                loading[first + j, e] = max(at_one, at_other)
    for j in range(lanes):
        loss[first + j] = lost[j]
