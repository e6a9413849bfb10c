"""What customers, generators and storages want at each second: profiles, interpolated, plus their own unrest.

A load wanders around its profile as a first-order autoregressive process (the sampled Ornstein-Uhlenbeck process)
with the spread and time constant that `Tolerances` state; its power factor stays.
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
        self._last_ns: int | None = None

    def at(self, now_ns: int) -> OperatingPoint:
        """Return what is wanted at `now_ns` [ns since 1970 UTC]; times must not fall."""
        wanted = self._profiles.at(step_of_year(now_ns, self._profiles.step_s))
        factor = 1.0 + self._walk(now_ns)
        return replace(
            self._still,
            load_p_mw=factor * wanted.load_p_mw,
            load_q_mvar=factor * wanted.load_q_mvar,
            generator_p_mw=wanted.generator_p_mw,
            generator_q_mvar=wanted.generator_q_mvar,
            storage_p_mw=wanted.storage_p_mw,
        )

    def _walk(self, now_ns: int) -> Floats:
        passed_s = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / NS_PER_S
        self._last_ns = now_ns
        if passed_s > 0.0:
            kept = exp(-passed_s / self._tolerances.demand_tau_s)
            fresh = self._tolerances.demand_sigma * sqrt(1.0 - kept**2)
            self._unrest = kept * self._unrest + fresh * self._rng.standard_normal(
                len(self._unrest)
            )
        return self._unrest


def step_of_year(now_ns: int, step_s: float) -> float:
    """Return the fractional step since New Year: profiles of one year serve the same day of any other."""
    seconds, rest_ns = divmod(now_ns, NS_PER_S)
    now = datetime.fromtimestamp(seconds, tz=UTC)
    since_s = (now - datetime(now.year, 1, 1, tzinfo=UTC)).total_seconds() + rest_ns / NS_PER_S
    return since_s / step_s
