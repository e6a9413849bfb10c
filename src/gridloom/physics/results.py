"""What a power flow returns, whichever engine solved it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.units import KW_PER_MW
from gridloom.physics.arrays import Complexes, Flags, Floats
from gridloom.physics.flow_kernel import branch_flows

if TYPE_CHECKING:
    from gridloom.physics.per_unit import PerUnitModel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flows:
    """Power and current at both ends of the branches of one table; positive into the branch, shape (branch,)."""

    p_from_mw: Floats
    q_from_mvar: Floats
    p_to_mw: Floats
    q_to_mvar: Floats
    i_from_ka: Floats
    i_to_ka: Floats
    loading_pct: Floats
    """Larger current over rated current; NaN where no rating is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PowerFlowResult:
    """A solved (or not solved) operating point. Dead buses have NaN voltage, dead branches no flow."""

    converged: bool
    engine: str
    iterations: int
    """Sweeps of the radial engine; 0 where the engine does not tell."""
    residual_pu: float
    """Estimated distance of a voltage to the solution; NaN where the engine does not tell."""
    solve_ms: float
    """Wall time of solving and mapping back [ms]."""
    v: Complexes
    """Complex voltage of each bus, shape (bus,) [pu]."""
    power: Complexes
    """Power into each end of every branch of the model, shape (branch, 2) [MVA]."""
    current_ka: Floats
    """Current at each end, shape (branch, 2) [kA]."""
    loss_kw: float
    model: PerUnitModel

    @cached_property
    def v_pu(self) -> Floats:
        """Voltage magnitude of each bus, shape (bus,) [pu]."""
        return np.asarray(np.abs(self.v))

    @cached_property
    def angle_rad(self) -> Floats:
        """Voltage angle of each bus, shape (bus,) [rad]."""
        return np.asarray(np.angle(self.v))

    @cached_property
    def is_energised(self) -> Flags:
        """Whether each bus reaches a source, shape (bus,)."""
        return ~np.isnan(self.v.real)

    @cached_property
    def line_flow(self) -> Flows:
        """Flows of the lines."""
        return self._flows("line", len(self.model.grid.lines))

    @cached_property
    def transformer_flow(self) -> Flows:
        """Flows of the two-winding transformers; from is the high side."""
        return self._flows("transformer", len(self.model.grid.transformers))

    @cached_property
    def branch_flow(self) -> Flows:
        """Flows of the general branches."""
        return self._flows("branch", len(self.model.grid.branches))

    @cached_property
    def transformer3w_flow(self) -> tuple[Flows, Flows, Flows]:
        """Flows of the high, middle and low legs; the high leg's from side and the others' to side are terminals."""
        n = len(self.model.grid.transformers3w)
        return self._flows("hv", n), self._flows("mv", n), self._flows("lv", n)

    @property
    def line_loading_pct(self) -> Floats:
        """Loading of each line [%]."""
        return self.line_flow.loading_pct

    @property
    def transformer_loading_pct(self) -> Floats:
        """Loading of each two-winding transformer [%]."""
        return self.transformer_flow.loading_pct

    @property
    def branch_loading_pct(self) -> Floats:
        """Loading of each general branch [%]."""
        return self.branch_flow.loading_pct

    @cached_property
    def v_min_pu(self) -> float:
        """Lowest voltage of the live buses; NaN if none lives [pu]."""
        return float(np.nanmin(self.v_pu)) if self.is_energised.any() else float("nan")

    @cached_property
    def v_max_pu(self) -> float:
        """Highest voltage of the live buses; NaN if none lives [pu]."""
        return float(np.nanmax(self.v_pu)) if self.is_energised.any() else float("nan")

    @cached_property
    def max_loading_pct(self) -> float:
        """Highest loading of anything with a rating; NaN if nothing has one [%]."""
        legs = [flow.loading_pct for flow in self.transformer3w_flow]
        every = np.concatenate(
            [self.line_loading_pct, self.transformer_loading_pct, self.branch_loading_pct, *legs]
        )
        known = every[np.isfinite(every)]
        return float(known.max()) if len(known) else float("nan")

    def _flows(self, kind: str, n: int) -> Flows:
        rows = slice(self.model.offsets[kind], self.model.offsets[kind] + n)
        s, i = self.power[rows], self.current_ka[rows]
        share = i / self.model.rated_ka[rows]
        return Flows(
            p_from_mw=s[:, 0].real,
            q_from_mvar=s[:, 0].imag,
            p_to_mw=s[:, 1].real,
            q_to_mvar=s[:, 1].imag,
            i_from_ka=i[:, 0],
            i_to_ka=i[:, 1],
            loading_pct=100 * np.fmax(share[:, 0], share[:, 1]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchResult:
    """Many operating points on one topology."""

    engine: str
    v_pu: Floats
    """Voltage magnitude, shape (scenario, bus); NaN where dead or not converged [pu]."""
    loading_pct: Floats
    """Loading, shape (scenario, branch), branches in the order of the model; empty when not asked for [%]."""
    loss_kw: Floats
    """Shape (scenario,) [kW]."""
    converged: Flags
    """Shape (scenario,)."""
    iterations: int
    """Most sweeps that a block of scenarios needed; 0 where the engine does not tell."""
    solve_ms: float


def result_from_voltages(
    model: PerUnitModel,
    ends: Flags,
    v: Complexes,
    *,
    converged: bool,
    engine: str,
    iterations: int,
    residual_pu: float,
    solve_ms: float,
) -> PowerFlowResult:
    """Compute all flows from the voltages of the model's buses, shape (n_bus,), NaN where dead."""
    power = np.empty((model.n_branch, 2), dtype=np.complex128)
    current_ka = np.empty((model.n_branch, 2))
    sections, seen = model.sections, model.seen_from_ends
    loss = branch_flows(
        v, sections.from_bus, sections.to_bus, ends, seen.series, seen.inverse_ratio, seen.y_from, seen.y_to,
        seen.y_open_from, seen.y_open_to, model.current_base_ka, power, current_ka,
    )  # fmt: skip
    return PowerFlowResult(
        converged=converged,
        engine=engine,
        iterations=iterations,
        residual_pu=residual_pu,
        solve_ms=solve_ms,
        v=v[: len(model.grid.buses)],
        power=power,
        current_ka=current_ka,
        loss_kw=loss * KW_PER_MW,
        model=model,
    )
