"""Weighted least squares on the network equations: the state, its uncertainty, and who disagrees.

This is the estimator's own linear algebra. It gives what an engine that returns only voltages cannot: the variance
of every estimate, the covariance of every residual, and with it the largest normalised residual.
Sources: Abur and Exposito, "Power System State Estimation", 2004, chapters 2 and 5; Handschin et al., 1975.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from gridloom.twin.network import jacobian, predict
from gridloom.twin.sparse import SelectedInverse, factorise, invert_selected, solve

if TYPE_CHECKING:
    from gridloom.grid.tables import Floats
    from gridloom.twin.measurements import Measurements
    from gridloom.twin.network import Complexes, Network

_ANGLE_WEIGHT = 1e12
"""Pins the reference angle: a standard deviation of 1e-6 rad."""
_PRIOR_WEIGHT = 1e-6
"""Keeps unobservable nodes near their start: a standard deviation of 1000 pu, far above any real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Where Gauss-Newton ended."""

    voltage: Complexes
    converged: bool
    iterations: int
    step: float
    """Largest change of the last iteration [pu or rad]."""
    objective: float
    """Sum of squared weighted residuals."""


def solve_wls(
    network: Network, rows: Measurements, start: Complexes, *, tolerance: float = 1e-7, max_iterations: int = 20
) -> Solution:
    """Estimate node voltages by Gauss-Newton.

    Args:
        network: The network, n nodes.
        rows: Measurements, m rows.
        start: Complex start voltage, shape (n,) [pu]; the last estimate makes a good one.
        tolerance: Largest change that counts as converged [pu or rad].
        max_iterations: Limit; beyond it the result says `converged=False`.

    Returns:
        The solution; without convergence that is an outcome, not an error.
    """
    voltage, step, iteration = start.copy(), np.inf, 0
    while step > tolerance and iteration < max_iterations:
        slope = jacobian(network, voltage, rows)
        weighted = slope.T @ ((rows.value - predict(network, voltage, rows)) / rows.sigma**2)
        weighted[network.reference] -= _ANGLE_WEIGHT * np.angle(voltage[network.reference])
        change = solve(factorise(gain(network, slope, rows), network.elimination_order), weighted)
        step = float(np.abs(change).max())
        if not np.isfinite(step):
            break
        change *= min(1.0, 0.5 / max(step, 1e-12))  # a damped first step keeps a cold start from overshooting
        magnitude = np.abs(voltage) + change[network.n_nodes :]
        voltage = magnitude * np.exp(1j * (np.angle(voltage) + change[: network.n_nodes]))
        iteration += 1
    objective = float((((rows.value - predict(network, voltage, rows)) / rows.sigma) ** 2).sum())
    return Solution(voltage=voltage, converged=step <= tolerance, iterations=iteration, step=step, objective=objective)


def gain(network: Network, slope: sparse.csr_matrix, rows: Measurements) -> sparse.csc_matrix:
    """Return H' R^-1 H with the reference angle pinned, shape (2 node, 2 node)."""
    pin = np.full(2 * network.n_nodes, _PRIOR_WEIGHT)
    pin[network.reference] = _ANGLE_WEIGHT
    return (slope.T @ sparse.diags(rows.sigma**-2.0) @ slope + sparse.diags(pin)).tocsc()


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariance:
    """How sure the estimate is, and how much each measurement could be contradicted."""

    v_sigma_pu: Floats
    """Standard deviation of the voltage magnitude, shape (node,)."""
    angle_sigma_rad: Floats
    residual_sigma: Floats
    """Standard deviation of each residual, shape (m,); near zero for a critical measurement."""
    inverse: SelectedInverse


def covariance(network: Network, rows: Measurements, voltage: Complexes) -> Covariance:
    """Return the uncertainty of the estimate at `voltage` and of each residual."""
    slope = jacobian(network, voltage, rows)
    inverse = invert_selected(factorise(gain(network, slope, rows), network.elimination_order))
    variances = np.maximum(inverse.variances(), 0.0)
    explained = inverse.quadratic_forms(slope.indptr, slope.indices, slope.data)
    return Covariance(
        v_sigma_pu=np.sqrt(variances[network.n_nodes :]),
        angle_sigma_rad=np.sqrt(variances[: network.n_nodes]),
        residual_sigma=np.sqrt(np.maximum(rows.sigma**2 - explained, 0.0)),
        inverse=inverse,
    )
