"""The live double of the grid: estimation, bad data, uncertainty, forks.

`Estimator` turns the last readings and switch positions into a `GridState` once a second; `Twin` holds the grid and the
latest state, and its forks answer "what if". Deciding is not done here.
"""

from __future__ import annotations

from gridloom.twin.estimation import Estimator
from gridloom.twin.state import GridState, SuspectReading
from gridloom.twin.twin import Fork, Twin, operating_point

__all__ = ["Estimator", "Fork", "GridState", "SuspectReading", "Twin", "operating_point"]
