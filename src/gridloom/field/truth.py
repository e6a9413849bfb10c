"""The grid as it really is: not quite what the utility's tables say.

The twin is given the nominal grid; the field computes with this one. How far the two differ is stated in
`Tolerances` and kept in the truth log, so that an estimator's error can be judged against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.grid.model import Grid
from gridloom.grid.tables import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """How far the world may be from its documents. Shares are of the nominal value, uniform within +-."""

    line_r: float = 0.10
    """Line resistance."""
    line_x: float = 0.10
    """Line reactance."""
    transformer_vk: float = 0.05
    """Short-circuit voltage (both parts together)."""
    load_z_share: tuple[float, float] = (0.0, 0.5)
    """Range of the constant-impedance share of a load."""
    load_i_share: tuple[float, float] = (0.0, 0.3)
    """Range of the constant-current share of a load."""
    demand_sigma: float = 0.05
    """Standard deviation of a load around its profile."""
    demand_tau_s: float = 300.0
    """Time constant of that deviation [s]."""
    source_sigma: float = 0.01
    """Standard deviation of a source's voltage around its documented value."""
    source_tau_s: float = 900.0
    """Time constant of that deviation [s]."""

    def __post_init__(self) -> None:
        """Check that nothing can turn negative."""
        for name in ("line_r", "line_x", "transformer_vk", "demand_sigma", "source_sigma"):
            if not 0.0 <= getattr(self, name) < 1.0:
                message = (
                    f"tolerance {name} is {getattr(self, name)}; give a share from 0 to below 1"
                )
                raise BadInput(message)
        z_low, z_high = self.load_z_share
        i_low, i_high = self.load_i_share
        if not (0.0 <= z_low <= z_high and 0.0 <= i_low <= i_high and z_high + i_high <= 1.0):
            message = (
                f"shares of the load model must lie in [0, 1] and sum to at most 1, got {self}"
            )
            raise BadInput(message)


def true_grid(grid: Grid, rng: np.random.Generator, tolerances: Tolerances) -> Grid:
    """Return `grid` with the parameters that the world has.

    Args:
        grid: The grid as documented.
        rng: Draws the deviations.
        tolerances: Their limits.

    Returns:
        A grid with the same rows and ids; only impedances and load models differ.
    """
    lines = grid.lines.with_columns(
        r_ohm=grid.lines.r_ohm * _factors(rng, len(grid.lines), tolerances.line_r),
        x_ohm=grid.lines.x_ohm * _factors(rng, len(grid.lines), tolerances.line_x),
    )
    vk = _factors(rng, len(grid.transformers), tolerances.transformer_vk)
    transformers = grid.transformers.with_columns(
        vk_pct=grid.transformers.vk_pct * vk, vkr_pct=grid.transformers.vkr_pct * vk
    )
    loads = grid.loads.with_columns(
        z_share=rng.uniform(*tolerances.load_z_share, len(grid.loads)),
        i_share=rng.uniform(*tolerances.load_i_share, len(grid.loads)),
    )
    return grid.with_tables(lines=lines, transformers=transformers, loads=loads)


def voltage_factor(v_pu: Floats, z_share: Floats, i_share: Floats) -> Floats:
    """Return what share of its rated-voltage power a load draws at `v_pu`.

    The ZIP model: z V^2 + i V + (1 - z - i). Dead loads (NaN voltage) draw nothing.

    Args:
        v_pu: Voltage at each load, shape (load,) [pu].
        z_share: Constant-impedance share, shape (load,).
        i_share: Constant-current share, shape (load,).

    Returns:
        Factor on the power at 1 pu, shape (load,).
    """
    factor = v_pu * (z_share * v_pu + i_share) + (1.0 - z_share - i_share)
    return np.where(np.isnan(v_pu), 0.0, factor)


def _factors(rng: np.random.Generator, n: int, tolerance: float) -> Floats:
    return 1.0 + rng.uniform(-tolerance, tolerance, n)
