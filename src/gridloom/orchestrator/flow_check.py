"""Exact AC check of a switching state against voltage limits and ratings.

The radial solver answers; where the grid is meshed or a generator holds a voltage, power-grid-model does. A
limit that is broken already before the plan does not count against the plan unless it gets worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.physics import NotRadial, OperatingPoint, PowerFlowResult, RadialSolver, powerflow
from gridloom.physics.per_unit import BusPowers, bus_powers
from gridloom.physics.results import result_from_voltages

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags, Floats, Texts

_WORSE_PU = 1e-4
_WORSE_PCT = 0.1
# Below what anybody can measure: a limit that is broken already counts as no more broken within this.
_KINDS = ("line", "transformer", "branch")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Limits:
    """What the grid must keep, element by element."""

    v_min_pu: Floats
    """Shape (bus,)."""
    v_max_pu: Floats
    loading_pct: Floats
    """Highest loading of lines, transformers and branches, in this order [% of the tables' rating]."""

    @classmethod
    def of(cls, grid: Grid, *, line_rating_share: Floats | None = None) -> Self:
        """Return the limits of the tables; `line_rating_share` is today's rating over the tables', shape (line,)."""
        n = len(grid.transformers) + len(grid.branches)
        lines = np.ones(len(grid.lines)) if line_rating_share is None else line_rating_share
        return cls(
            v_min_pu=grid.buses.v_min_pu,
            v_max_pu=grid.buses.v_max_pu,
            loading_pct=100 * np.append(lines, np.ones(n)),
        )

    def excusing(self, base: PowerFlowResult) -> Limits:
        """Return limits that what is broken in `base` already does not break, as long as it gets no worse."""
        v, loading = base.v_pu, loadings_pct(base)
        v_low = np.where(v < self.v_min_pu, v - _WORSE_PU, self.v_min_pu)
        v_high = np.where(v > self.v_max_pu, v + _WORSE_PU, self.v_max_pu)
        most = np.where(loading > self.loading_pct, loading + _WORSE_PCT, self.loading_pct)
        return Limits(v_min_pu=v_low, v_max_pu=v_high, loading_pct=most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The element that is nearest to its limit, or farthest beyond it."""

    value: float
    limit: float
    margin: float
    """Negative where the limit is broken; in the unit of the value."""
    where: str

    @property
    def passed(self) -> bool:
        """Whether the limit is kept; what is not a number is not kept."""
        return self.margin >= 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a check found."""

    converged: bool
    v_low: Worst
    v_high: Worst
    loading: Worst

    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return self.converged and self.v_low.passed and self.v_high.passed and self.loading.passed

    def why_not(self) -> str:
        """Return the first broken limit in words, or an empty text."""
        if not self.converged:
            return "the power flow does not converge"
        if not self.loading.passed:
            return (
                f"{self.loading.where} at {self.loading.value:.0f} % of {self.loading.limit:.0f} %"
            )
        if not self.v_low.passed:
            return f"bus {self.v_low.where} at {self.v_low.value:.4f} pu below {self.v_low.limit:.4f} pu"
        if not self.v_high.passed:
            return f"bus {self.v_high.where} at {self.v_high.value:.4f} pu above {self.v_high.limit:.4f} pu"
        return ""


class FlowChecker:
    """Solves one grid at many switch positions."""

    def __init__(self, grid: Grid) -> None:
        """Make the solver's static arrays once; a grid that is not radial goes to power-grid-model."""
        self.grid = grid
        self._solver: RadialSolver | None = None
        try:
            self._solver = RadialSolver(grid)
        except BadInput:
            # Meshed in its normal positions, or with held voltages: the reference engine takes it.
            self._solver = None
        self._powers: tuple[OperatingPoint, BusPowers] | None = None

    def solve(self, positions: Flags, state: OperatingPoint) -> PowerFlowResult:
        """Return the power flow at `positions`, shape (switch,)."""
        if self._solver is not None:
            try:
                self._solver.update_switches(positions)
            except NotRadial:
                return powerflow(self.grid.with_positions(positions), state, engine="pgm")
            return self._radial(self._solver, state)
        return powerflow(self.grid.with_positions(positions), state, engine="pgm")

    def _radial(self, solver: RadialSolver, state: OperatingPoint) -> PowerFlowResult:
        if self._powers is None or self._powers[0] is not state:
            self._powers = state, bus_powers(solver.model, state)
        solution = solver.solve_powers(self._powers[1], state.source_vm_pu)
        return result_from_voltages(
            solver.model,
            solver.forest.ends,
            solution.v,
            converged=solution.converged,
            engine="radial",
            iterations=solution.iterations,
            residual_pu=solution.residual_pu,
            solve_ms=solution.solve_ms,
        )


def loadings_pct(result: PowerFlowResult) -> Floats:
    """Return the loading of lines, transformers and branches, in this order [%]; NaN where nothing is rated."""
    return np.concatenate(
        [result.line_loading_pct, result.transformer_loading_pct, result.branch_loading_pct]
    )


def assess(
    result: PowerFlowResult,
    limits: Limits,
    *,
    among: Flags | None = None,
    among_branches: Flags | None = None,
) -> Findings:
    """Compare a power flow with the limits of its live elements.

    Args:
        result: The power flow.
        limits: The limits of the same grid.
        among: Buses to look at, shape (bus,); all without it.
        among_branches: Lines, transformers and branches to look at, shape (branch,); all without it.
    """
    grid, v = result.model.grid, result.v_pu
    live = np.isfinite(v) if among is None else np.isfinite(v) & among
    low = _worst(v, limits.v_min_pu, np.where(live, v - limits.v_min_pu, np.inf), grid.buses.id)
    high = _worst(v, limits.v_max_pu, np.where(live, limits.v_max_pu - v, np.inf), grid.buses.id)
    loading = loadings_pct(result)
    margin = limits.loading_pct - loading
    if among_branches is not None:
        margin = np.where(among_branches, margin, np.inf)
    # No rating known means nothing to compare with; a flow that is no number where there is one is caught by
    # `converged`.
    at = int(np.argmin(np.where(np.isfinite(margin), margin, np.inf))) if len(margin) else -1
    return Findings(
        converged=result.converged,
        v_low=low,
        v_high=high,
        loading=_loading(grid, loading, limits.loading_pct, at),
    )


def _worst(values: Floats, limit: Floats, margin: Floats, ids: Texts) -> Worst:
    at = int(np.argmin(margin)) if len(margin) else -1
    if at < 0 or not np.isfinite(margin[at]):
        return Worst(value=float("nan"), limit=float("nan"), margin=np.inf, where="")
    return Worst(
        value=float(values[at]),
        limit=float(limit[at]),
        margin=float(margin[at]),
        where=str(ids[at]),
    )


def _loading(grid: Grid, loading: Floats, limit: Floats, at: int) -> Worst:
    if at < 0 or not np.isfinite(loading[at]):
        return Worst(value=float("nan"), limit=float("nan"), margin=np.inf, where="")
    row = at
    for kind, table in zip(_KINDS, (grid.lines, grid.transformers, grid.branches), strict=True):
        if row < len(table):
            where = f"{kind} {table.id[row]}"
            break
        row -= len(table)
    value, most = float(loading[at]), float(limit[at])
    return Worst(value=value, limit=most, margin=most - value, where=where)
