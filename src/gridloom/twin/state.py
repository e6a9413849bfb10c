"""The state of the grid as the twin believes it: every figure with its uncertainty and its age."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gridloom.physics.arrays import Flags, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectReading:
    """A measurement that the rest of the grid contradicts."""

    instrument: str
    """Id of the instrument."""
    quantity: str
    """`v_pu`, `p_mw`, `q_mvar`, or `i_pu` on 1 MVA."""
    time_ns: int
    """When it was read."""
    measured: float
    estimated: float
    """What the rest of the grid says, in the same unit."""
    normalised_residual: float
    """Residual over its standard deviation; 3 is the usual alarm."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridState:
    """One estimate. Arrays follow the grid's tables; what is dead or unknown is NaN."""

    time_ns: int
    """Grid time that the estimate stands for."""
    state_hash: str
    """Hash of the model and of the switch positions it was made on."""
    positions: Flags
    """Shape (switch,), true for closed."""
    is_energised: Flags
    """Shape (bus,)."""
    v_pu: Floats
    """Shape (bus,)."""
    angle_rad: Floats
    v_sigma_pu: Floats
    """Standard deviation of `v_pu`, shape (bus,)."""
    freshness_s: Floats
    """Age of the newest reading near the bus, shape (bus,)."""
    is_observable: Flags
    """Whether telemetry and meters alone, without any pseudo-measurement, fix the bus, shape (bus,)."""
    line_p_mw: Floats
    """Flow into each line at its from side, shape (line,)."""
    line_q_mvar: Floats
    line_i_ka: Floats
    """The larger of both ends, shape (line,)."""
    line_loading_pct: Floats
    transformer_p_mw: Floats
    transformer_q_mvar: Floats
    transformer_loading_pct: Floats
    load_p_mw: Floats
    """Consumption, shape (load,)."""
    load_q_mvar: Floats
    generator_p_mw: Floats
    generator_q_mvar: Floats
    storage_p_mw: Floats
    storage_q_mvar: Floats
    source_vm_pu: Floats
    """Estimated voltage at the sources, shape (source,)."""
    converged: bool
    engine: str
    iterations: int
    measured_share: float
    """Share of the nodes with customers whose injection was read rather than guessed; 0 when all meters are silent."""
    redundancy: Floats
    """How much of an error in each instrument's least supported reading would show, from 0 to 1; NaN where none of its
    readings is in the estimate, shape (instrument,)."""
    is_critical: Flags
    """Instruments with a reading that the others could not contradict, were it off by ten standard deviations: such
    readings are believed and never named, shape (instrument,)."""
    chi_square: float
    """Sum of squared weighted residuals over its expectation: at most about 1 when model and readings agree."""
    chi_square_limit: float
    """What `chi_square` exceeds in one estimate of a hundred when all is well."""
    suspects: tuple[SuspectReading, ...]
    seconds: float
    """Wall time that the estimate took; 0 on a stepped clock."""

    @property
    def v_min_pu(self) -> float:
        """Lowest voltage of an energised bus."""
        return float(np.nanmin(self.v_pu)) if self.is_energised.any() else np.nan

    @property
    def v_max_pu(self) -> float:
        """Highest voltage of an energised bus."""
        return float(np.nanmax(self.v_pu)) if self.is_energised.any() else np.nan
