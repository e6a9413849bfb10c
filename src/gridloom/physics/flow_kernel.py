"""Compiled flows at both ends of every branch from the voltages of the buses."""

# ruff: noqa: PLR0917 - compiled loops take plain arrays, and numba takes no keywords in their order
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
    series: Complexes,
    inverse_ratio: Complexes,
    y_from: Complexes,
    y_to: Complexes,
    y_open_from: Complexes,
    y_open_to: Complexes,
    base_ka: Floats,
    power: Complexes,
    current_ka: Floats,
) -> float:
    """Compute what enters each branch.

    Args:
        v: Complex voltage of each bus; NaN where dead [pu].
        from_bus: From bus of each branch.
        to_bus: To bus of each branch.
        ends: Connected ends, shape (branch, 2).
        series: One over the series impedance [pu].
        inverse_ratio: One over the ratio [pu].
        y_from: Shunt of the closed branch at its from end [pu].
        y_to: Shunt of the closed branch at its to end [pu].
        y_open_from: Branch seen from its from end while the other is open [pu].
        y_open_to: Branch seen from its to end while the other is open [pu].
        base_ka: Base current at each end, shape (branch, 2) [kA].
        power: Result, complex power into each end, shape (branch, 2) [pu]; 0 where nothing is connected.
        current_ka: Result, current at each end, shape (branch, 2) [kA].

    Returns:
        Active power that enters all branches together, which is their loss [pu].
    """
    loss = 0.0
    for e in range(from_bus.shape[0]):
        vf, vt = v[from_bus[e]], v[to_bus[e]]
        at_from = ends[e, 0] and not np.isnan(vf.real)
        at_to = ends[e, 1] and not np.isnan(vt.real)
        current_from, current_to = 0.0 + 0.0j, 0.0 + 0.0j
        if at_from and at_to:
            through = (vf * inverse_ratio[e] - vt) * series[e]
            current_from = through * inverse_ratio[e].conjugate() + y_from[e] * vf
            current_to = y_to[e] * vt - through
        elif at_from:
            current_from = y_open_from[e] * vf
        elif at_to:
            current_to = y_open_to[e] * vt
        power[e, 0] = vf * current_from.conjugate() if at_from else 0.0
        power[e, 1] = vt * current_to.conjugate() if at_to else 0.0
        current_ka[e, 0] = base_ka[e, 0] * np.sqrt(current_from.real**2 + current_from.imag**2)
        current_ka[e, 1] = base_ka[e, 1] * np.sqrt(current_to.real**2 + current_to.imag**2)
        loss += power[e, 0].real + power[e, 1].real
    return loss
