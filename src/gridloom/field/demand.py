"""What customers, generators and storages want at each second, and what voltage the grid above gives.

Loads follow their profiles, interpolated, and wander around them as a first-order autoregressive process (the sampled
Ornstein-Uhlenbeck process) with the spread and time constant that `Tolerances` state; the power factor stays. The
voltage of each source wanders around its documented value in the same way: nobody below knows it exactly.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import exp, sqrt

import numpy as np

from gridloom.core.units import NS_PER_S
from gridloom.field.truth import Tolerances
from gridloom.grid.model import Grid
from gridloom.grid.profiles import Profiles
from gridloom.grid.tables import Floats
from gridloom.physics import OperatingPoint


class Demand:
    """The operating point at any second, drawn from a year of profiles and a random walk."""

    def __init__(
        self, grid: Grid, profiles: Profiles, rng: np.random.Generator, tolerances: Tolerances
    ) -> None:
        """Start with every load at a likely distance from its profile."""
        self._still = OperatingPoint.of(grid)
        self._profiles, self._rng, self._tolerances = profiles, rng, tolerances
        self._unrest: Floats = tolerances.demand_sigma * rng.standard_normal(len(grid.loads))
        self._swell: Floats = tolerances.source_sigma * rng.standard_normal(len(grid.sources))
        self._last_ns: int | None = None

    def at(self, now_ns: int) -> OperatingPoint:
        """Return what is wanted at `now_ns` [ns since 1970 UTC]; times must not fall."""
        wanted = self._profiles.at(step_of_year(now_ns, self._profiles.step_s))
        self._walk(now_ns)
        factor = 1.0 + self._unrest
        return replace(
            self._still,
            load_p_mw=factor * wanted.load_p_mw,
            load_q_mvar=factor * wanted.load_q_mvar,
            generator_p_mw=wanted.generator_p_mw,
            generator_q_mvar=wanted.generator_q_mvar,
            storage_p_mw=wanted.storage_p_mw,
            source_vm_pu=self._still.source_vm_pu * (1.0 + self._swell),
        )

    def _walk(self, now_ns: int) -> None:
        passed_s = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / NS_PER_S
        self._last_ns = now_ns
        if passed_s > 0.0:
            limits = self._tolerances
            self._unrest = self._wander(
                self._unrest, limits.demand_sigma, passed_s / limits.demand_tau_s
            )
            self._swell = self._wander(
                self._swell, limits.source_sigma, passed_s / limits.source_tau_s
            )

    def _wander(self, value: Floats, sigma: float, time_constants: float) -> Floats:
        kept = exp(-time_constants)
        return kept * value + sigma * sqrt(1.0 - kept**2) * self._rng.standard_normal(len(value))


def step_of_year(now_ns: int, step_s: float) -> float:
    """Return the fractional step since New Year: profiles of one year serve the same day of any other."""
    seconds, rest_ns = divmod(now_ns, NS_PER_S)
    now = datetime.fromtimestamp(seconds, tz=UTC)
    since_s = (now - datetime(now.year, 1, 1, tzinfo=UTC)).total_seconds() + rest_ns / NS_PER_S
    return since_s / step_s
