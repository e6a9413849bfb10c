"""Compiled flows at both ends of every branch from the voltages of the buses."""

from __future__ import annotations

import numpy as np
from numba import njit

from gridloom.physics.arrays import Complexes, Flags, Floats, Rows


@njit(cache=True, nogil=True, error_model="numpy")
def branch_flows(
    v: Complexes,
    from_bus: Rows,
    to_bus: Rows,
    ends: Flags,
    z: Complexes,
    y_half: Complexes,
    ratio: Complexes,
    y_open_from: Complexes,
    y_open_to: Complexes,
    base_ka: Floats,
    s: Complexes,
    i_ka: Floats,
) -> complex:
    """Compute what enters each branch.

    Args:
        v: Complex voltage of each bus; NaN where dead [pu].
        from_bus, to_bus, ends: Branches and their connected ends.
        z, y_half, ratio, y_open_from, y_open_to: Of each branch [pu].
        base_ka: Base current at each end, shape (branch, 2) [kA].
        s: Result, complex power into each end, shape (branch, 2) [pu]; 0 where nothing is connected.
        i_ka: Result, current at each end, shape (branch, 2) [kA].

    Returns:
        Sum of what enters all branches, which is their loss [pu].
    """
    loss = 0.0 + 0.0j
    for e in range(from_bus.shape[0]):
        current_from, current_to = 0.0 + 0.0j, 0.0 + 0.0j
        vf, vt = v[from_bus[e]], v[to_bus[e]]
        live_from = ends[e, 0] and not np.isnan(vf.real)
        live_to = ends[e, 1] and not np.isnan(vt.real)
        if ends[e, 0] and ends[e, 1]:
            if live_from:
                behind = vf / ratio[e]
                series = (behind - vt) / z[e]
                current_from = (series + y_half[e] * behind) / np.conj(ratio[e])
                current_to = y_half[e] * vt - series
        elif live_from:
            current_from = y_open_from[e] * vf
        elif live_to:
            current_to = y_open_to[e] * vt
        s[e, 0] = vf * np.conj(current_from) if live_from else 0.0
        s[e, 1] = vt * np.conj(current_to) if live_to else 0.0
        i_ka[e, 0] = abs(current_from) * base_ka[e, 0]
        i_ka[e, 1] = abs(current_to) * base_ka[e, 1]
        loss += s[e, 0] + s[e, 1]
    return loss
