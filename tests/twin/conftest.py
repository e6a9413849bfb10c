"""Small worlds for the estimator's tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from benchmarks._district import Truth, synthetic_district

from gridloom.grid.model import Grid
from gridloom.ioe.telemetry import Readings
from gridloom.twin import Estimator, GridState


@dataclass
class House:
    """A truth and an estimator that listens to it."""

    truth: Truth
    estimator: Estimator
    state: GridState | None = None

    def run(self, seconds: int, closed: np.ndarray | None = None) -> GridState:
        """Go on second by second and return the last estimate."""
        positions = self.truth.grid.switches.closed if closed is None else closed
        for _ in range(seconds):
            self.hear(self.truth.step(closed=closed), positions)
        assert self.state is not None
        return self.state

    def hear(self, readings: Readings, positions: np.ndarray) -> GridState:
        """Read and estimate once."""
        self.estimator.read(readings, self.truth.now_ns)
        self.state = self.estimator.estimate(positions, self.truth.now_ns)
        return self.state

    def rmse_pct(self, kv: float) -> float:
        """Return the error of the voltages at one level."""
        assert self.state is not None
        level = self.truth.grid.buses.vn_kv == kv
        off = (self.state.v_pu - self.truth.result.v_pu)[level]
        return 100 * float(np.sqrt(np.mean(off**2)))


@pytest.fixture(scope="session")
def grid() -> Grid:
    """A district of 3 feeders, 18 stations and 144 houses."""
    return synthetic_district()


@pytest.fixture
def house(grid: Grid) -> House:
    """A world around the district and our estimator."""
    truth = Truth(grid, seed=4)
    return House(truth, Estimator(grid, truth.instruments, is_timed=False))
