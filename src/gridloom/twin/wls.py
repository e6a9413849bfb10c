"""Weighted least squares on the network equations: the state, its uncertainty, and what each row could contradict.

This is the estimator's own linear algebra. It gives what an engine that returns only voltages cannot: the variance
of every estimate, the variance of every residual, and with them the largest normalised residual.
Sources: Abur and Exposito, "Power System State Estimation", 2004, chapters 2 and 5; Handschin et al., 1975.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gridloom.physics.arrays import Complexes, Flags, Floats
from gridloom.twin.equations import Equations, Linearisation
from gridloom.twin.sparse import Factor

_LARGEST_STEP = 0.3
"""A damped step keeps a cold start from overshooting [pu or rad]."""

_NEAR = 1e-2
"""Powers lead the way; currents join once the voltages move by less than this [pu or rad]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonError:
    """An error that some rows share: thousands of alike readings say less about the level than their count suggests.

    It is one more unknown `b` with a prior; the rows read `h(x) + b`. It is eliminated by a rank-one correction, so
    the gain matrix stays sparse. (Sums here are no BLAS calls on purpose: its threads would fight for two cores.)
    """

    rows: Flags
    """The rows that share it, shape (m,)."""
    sigma: float
    """Standard deviation of the prior."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Where Gauss-Newton ended."""

    at: Linearisation
    """The equations at the estimate."""
    factor: Factor
    """Factor of the last gain matrix, common error left out."""
    border: Floats
    """G^-1 H' W c in elimination order: how the state follows the common error, shape (2 node,)."""
    border_pivot: float
    """One over the variance of the common error; infinite without one."""
    converged: bool
    iterations: int
    step: float
    """Largest change of the last iteration [pu or rad]."""
    residual: Floats
    """Measured minus estimated, shape (m,)."""
    objective: float
    """Sum of squared weighted residuals."""

    @property
    def voltage(self) -> Complexes:
        """Complex voltage of each node, shape (node,) [pu]."""
        return self.at.voltage


def solve_wls(
    equations: Equations,
    value: Floats,
    weight: Floats,
    start: Complexes,
    *,
    common: CommonError | None = None,
    tolerance: float = 1e-7,
    max_iterations: int = 20,
) -> Solution:
    """Estimate node voltages by Gauss-Newton.

    Args:
        equations: Rows on the network, n nodes and m rows.
        value: What each row reads, shape (m,).
        weight: One over its variance, 0 for a row without a say, shape (m,).
        start: Complex start voltage, shape (n,) [pu]; the last estimate makes a good one.
        common: Error that some rows share.
        tolerance: Largest change that counts as converged [pu or rad].
        max_iterations: Limit; beyond it the result says `converged=False`.

    Returns:
        The solution; without convergence that is an outcome, not an error.
    """
    at, step, iteration = equations.linearise(start), np.inf, 0
    shared = _Shared(weight, common)
    residual = shared.take_off(np.where(weight > 0, value - equations.predict(at), 0.0))
    # The magnitude of a current has no direction: far from the solution its derivative points anywhere.
    without_currents = bool((equations.is_current & (weight > 0)).any())
    while True:
        used = np.where(equations.is_current, 0.0, weight) if without_currents else weight
        factor, border, pivot, change = _newton(equations, at, used, residual, shared)
        step = float(np.abs(change).max(initial=0.0))
        if not np.isfinite(step):
            break
        change *= min(1.0, _LARGEST_STEP / max(step, 1e-12))
        at = equations.linearise(moved(equations, at, change))
        residual = shared.take_off(np.where(weight > 0, value - equations.predict(at), 0.0))
        iteration += 1
        if iteration >= max_iterations or (step <= tolerance and not without_currents):
            break
        without_currents = without_currents and step > _NEAR
    return Solution(
        at=at,
        factor=factor,
        border=border,
        border_pivot=pivot,
        converged=step <= tolerance,
        iterations=iteration,
        step=step,
        residual=residual,
        objective=float((weight * residual**2).sum()),
    )


def evaluate_at(
    equations: Equations,
    value: Floats,
    weight: Floats,
    voltage: Complexes,
    *,
    common: CommonError | None = None,
    converged: bool = True,
) -> Solution:
    """Return residuals and factor at a voltage that another engine found; `step` is what ours would still change."""
    at, shared = equations.linearise(voltage), _Shared(weight, common)
    residual = shared.take_off(np.where(weight > 0, value - equations.predict(at), 0.0))
    factor, border, pivot, change = _newton(equations, at, weight, residual, shared)
    return Solution(
        at=at,
        factor=factor,
        border=border,
        border_pivot=pivot,
        converged=converged,
        iterations=1,
        step=float(np.abs(change).max(initial=0.0)),
        residual=residual,
        objective=float((weight * residual**2).sum()),
    )


def _newton(
    equations: Equations, at: Linearisation, weight: Floats, residual: Floats, shared: _Shared
) -> tuple[Factor, Floats, float, Floats]:
    """Return factor, border, its pivot, and the change of the state in elimination order."""
    entry, right = equations.gain(at, weight, residual)
    factor = equations.factorise(entry)
    border, pivot = shared.border(equations, at, factor)
    change = factor.solve(right)
    change += border * (shared.row_sum(equations, at, change) / pivot)
    return factor, border, pivot, change


class _Shared:
    """The bordering row and column of the common error."""

    def __init__(self, weight: Floats, common: CommonError | None) -> None:
        rows = np.zeros(len(weight), dtype=np.bool_) if common is None else common.rows
        self.weight: Floats = np.where(rows, weight, 0.0)
        self.is_used = bool(self.weight.any())
        self.indicator = rows.astype(np.float64)
        self.total = self.weight.sum() + (1.0 / common.sigma**2 if common else np.inf)

    def take_off(self, residual: Floats) -> Floats:
        """Return the residuals without the common error that fits them best."""
        if not self.is_used:
            return residual
        left: Floats = residual - self.indicator * ((self.weight * residual).sum() / self.total)
        return left

    def border(
        self, equations: Equations, at: Linearisation, factor: Factor
    ) -> tuple[Floats, float]:
        """Return G^-1 g with g = H' W c, and the pivot that it leaves to the common error."""
        if not self.is_used:
            return np.zeros(len(factor.pivot)), np.inf
        pulled = equations.pull(at, self.weight)
        border = factor.solve(pulled)
        return border, float(self.total - (pulled * border).sum())

    def row_sum(self, equations: Equations, at: Linearisation, change: Floats) -> float:
        """Return g' x of a change x in elimination order."""
        return float((self.weight * equations.push(at, change)).sum()) if self.is_used else 0.0


def moved(equations: Equations, at: Linearisation, change: Floats) -> Complexes:
    """Return the voltages after a change of angles and magnitudes in elimination order."""
    by_angle = change[2 * equations.position]
    magnitude = at.magnitude + change[2 * equations.position + 1]
    voltage: Complexes = magnitude * at.voltage / at.magnitude * np.exp(1j * by_angle)
    return voltage


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariance:
    """How sure an estimate is, and how much each row could be contradicted."""

    v_sigma_pu: Floats
    """Standard deviation of the voltage magnitude, shape (node,)."""
    angle_sigma_rad: Floats
    explained: Floats
    """Variance of the estimated value of each row, weightless ones included, shape (m,)."""

    def residual_sigma(self, weight: Floats) -> Floats:
        """Return the standard deviation of the residual of each row with a weight, shape (m,); 0 where critical."""
        own = np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0)
        result: Floats = np.sqrt(np.maximum(own - self.explained, 0.0))
        return result


def covariance(
    equations: Equations, solution: Solution, common: CommonError | None = None
) -> Covariance:
    """Return the uncertainty of the estimate and of each residual, by the gain matrix of the last iteration."""
    inverse = solution.factor.invert_selected()
    border, pivot = solution.border, solution.border_pivot
    variance = np.maximum(inverse.diagonal, 0.0) + border**2 / pivot
    follows = equations.push(solution.at, border)
    lag = follows if common is None else common.rows - follows
    return Covariance(
        v_sigma_pu=np.sqrt(variance[2 * equations.position + 1]),
        angle_sigma_rad=np.sqrt(variance[2 * equations.position]),
        explained=np.maximum(equations.explained(solution.at, inverse), 0.0) + lag**2 / pivot,
    )
