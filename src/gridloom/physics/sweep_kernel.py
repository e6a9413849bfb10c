"""Compiled backward/forward sweep over a forest, one operating point.

Voltages are referred to the root. `p`, `q` are consumption, `g`, `b` the admittance to earth; a node's own current is
conj(S / V) + y V. Source: Shirmohammadi et al. 1988, doi 10.1109/59.192932, in its plain radial form.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gridloom.physics.arrays import Floats, Indices


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def sweep(
    parent: Indices,
    r: Floats,
    x: Floats,
    p: Floats,
    q: Floats,
    g: Floats,
    b: Floats,
    has_current: bool,
    p_current: Floats,
    q_current: Floats,
    vr: Floats,
    vi: Floats,
    ir: Floats,
    ii: Floats,
    tolerance: float,
    most: int,
) -> tuple[int, float]:
    """Sweep until no voltage moves by more than `tolerance`.

    Args:
        parent: Parent of each node, -1 for a root; parents come first.
        r, x: Referred impedance to the parent [pu].
        p, q: Consumption whatever the voltage [pu].
        g, b: Referred admittance to earth [pu].
        has_current: Whether the next two count.
        p_current, q_current: Consumption per referred voltage [pu].
        vr, vi: Start and result; roots keep theirs [pu].
        ir, ii: Result, current into each node from its parent [pu].
        tolerance: Largest change of |Re| + |Im| at which the sweep stops [pu].
        most: Most iterations.

    Returns:
        Iterations and the last largest change; the change is infinite where a current is no number.
    """
    n = parent.shape[0]
    change = np.inf
    for iteration in range(most):
        for k in range(n):
            scale = 1.0 / (vr[k] * vr[k] + vi[k] * vi[k])
            pk, qk = p[k] * scale, q[k] * scale
            ir[k] = (pk + g[k]) * vr[k] + (qk - b[k]) * vi[k]
            ii[k] = (pk + g[k]) * vi[k] - (qk - b[k]) * vr[k]
        if has_current:
            for k in range(n):
                scale = 1.0 / np.sqrt(vr[k] * vr[k] + vi[k] * vi[k])
                pk, qk = p_current[k] * scale, q_current[k] * scale
                ir[k] += pk * vr[k] + qk * vi[k]
                ii[k] += pk * vi[k] - qk * vr[k]
        total = 0.0
        for k in range(n - 1, -1, -1):
            above = parent[k]
            if above >= 0:
                ir[above] += ir[k]
                ii[above] += ii[k]
            else:
                total += abs(ir[k]) + abs(ii[k])
        if not total < 1e30:
            return iteration + 1, np.inf
        change = 0.0
        for k in range(n):
            above = parent[k]
            if above >= 0:
                vr_new = vr[above] - r[k] * ir[k] + x[k] * ii[k]
                vi_new = vi[above] - r[k] * ii[k] - x[k] * ir[k]
                moved = abs(vr_new - vr[k]) + abs(vi_new - vi[k])
                change = max(change, moved)
                vr[k] = vr_new
                vi[k] = vi_new
        if change <= tolerance:
            return iteration + 1, change
    return most, change
