"""Compiled backward/forward sweep over a forest, one operating point.

Voltages are referred to the root. `p`, `q` are consumption, `g`, `b` the admittance to earth; a node's own current is
conj(S / V) + y V. Source: Shirmohammadi et al. 1988, doi 10.1109/59.192932, in its radial form. Ours on top of it: on
its way down the sweep lets the current of a branch follow the voltage at its end, as that of a constant power does,
which halves the number of sweeps and leaves the solution as it is.
"""

# ruff: noqa: PLR0917 - compiled loops take plain arrays, and numba takes no keywords in their order
from __future__ import annotations

import numpy as np
from numba import njit

from gridloom.physics.arrays import Floats, Indices

_SLOW = 0.95
"""A sweep that shrinks the change by less says nothing about how far the solution is."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def sweep(
    parent: Indices,
    r: Floats,
    x: Floats,
    p: Floats,
    q: Floats,
    g: Floats,
    b: Floats,
    p_current: Floats,
    q_current: Floats,
    vr: Floats,
    vi: Floats,
    tolerance: float,
    most: int,
) -> tuple[int, float]:
    """Sweep until the voltages are estimated to lie within `tolerance` of the solution.

    The change of each sweep shrinks by a nearly constant factor; what is still to come is the rest of that series.

    Args:
        parent: Parent of each node, -1 for a root; parents come first.
        r: Referred resistance to the parent [pu].
        x: Referred reactance to the parent [pu].
        p: Active consumption whatever the voltage [pu].
        q: Reactive consumption whatever the voltage [pu].
        g: Referred conductance to earth [pu].
        b: Referred susceptance to earth [pu].
        p_current: Active consumption per referred voltage; empty where there is none [pu].
        q_current: Reactive consumption per referred voltage [pu].
        vr: Start and result, real part; roots keep theirs [pu].
        vi: Start and result, imaginary part [pu].
        tolerance: Estimated distance to the solution at which the sweep stops [pu].
        most: Most sweeps.

    Returns:
        Number of sweeps and the estimated distance, infinite where the sweep got lost.
    """
    n = parent.shape[0]
    ir, ii, cr, ci = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    before, distance = 0.0, np.inf
    for sweeps in range(1, most + 1):
        for k in range(n):
            scale = 1.0 / (vr[k] * vr[k] + vi[k] * vi[k])
            pk, qk = p[k] * scale + g[k], q[k] * scale - b[k]
            ir[k] = pk * vr[k] + qk * vi[k]
            ii[k] = pk * vi[k] - qk * vr[k]
            cr[k], ci[k] = vr[k] * scale, vi[k] * scale
        for k in range(p_current.shape[0]):
            scale = 1.0 / np.sqrt(vr[k] * vr[k] + vi[k] * vi[k])
            pk, qk = p_current[k] * scale, q_current[k] * scale
            ir[k] += pk * vr[k] + qk * vi[k]
            ii[k] += pk * vi[k] - qk * vr[k]
        drawn = 0.0
        for k in range(n - 1, -1, -1):
            above = parent[k]
            if above >= 0:
                ir[above] += ir[k]
                ii[above] += ii[k]
            else:
                drawn += abs(ir[k]) + abs(ii[k])
        if not drawn < 1e30:
            return sweeps, np.inf
        for k in range(n):
            drop_r, drop_i = r[k] * ir[k] - x[k] * ii[k], r[k] * ii[k] + x[k] * ir[k]
            # The current follows conj(1 / V), so its drop does: c = drop / conj(V).
            over_r, over_i = cr[k], ci[k]
            cr[k], ci[k] = drop_r * over_r - drop_i * over_i, drop_r * over_i + drop_i * over_r
            ir[k], ii[k] = -drop_r - vr[k], -drop_i - vi[k]
        change = 0.0
        for k in range(n):
            above = parent[k]
            if above >= 0:
                off_r, off_i = vr[above] + ir[k], vi[above] + ii[k]
                step_r = off_r + cr[k] * off_r + ci[k] * off_i
                step_i = off_i + ci[k] * off_r - cr[k] * off_i
                change = max(change, abs(step_r) + abs(step_i))
                vr[k] += step_r
                vi[k] += step_i
        if before > 0.0 and change < _SLOW * before:
            distance = change * change / (before - change)
            if distance <= tolerance:
                return sweeps, distance
        elif change == 0.0:
            return sweeps, 0.0
        before = change
    return most, distance
