"""Who disagrees with everybody else: largest normalised residuals, and readings that nobody could contradict.

The residual of a row, over the standard deviation that the estimate leaves it, is a standard normal number while model
and instruments are what they claim to be. Thresholds leave about one false name in 10,000 estimates for each kind.
Sources: Handschin et al., 1975; Abur and Exposito, "Power System State Estimation", 2004, chapter 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.physics.arrays import Flags, Floats, Rows
from gridloom.twin.measurements import Origin

if TYPE_CHECKING:
    from gridloom.twin.evidence import Evidence
    from gridloom.twin.wls import Covariance, Solution

TELEMETRY_LIMIT, METER_LIMIT = 4.5, 5.5
"""Normalised residual that names a reading: a few hundred rows of telemetry, tens of thousands of meters."""
GROSS_ERROR = 10.0
"""The error that must show, in standard deviations of the reading. Where it would not move the normalised residual to
the limit, no alarm could tell it from chance: such a reading is critical, listed as such and never named."""
_AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """Every row's residual and what it is worth, shape (m,)."""

    normalised: Floats
    """Absolute residual over its standard deviation; 0 where the row is critical or no instrument's."""
    redundancy: Floats
    """Standard deviation that is left in the residual over the row's own, from 0 to 1; NaN without a reading."""
    is_critical: Flags
    """Readings in which a gross error would not show."""


def examine(evidence: Evidence, solution: Solution, spread: Covariance) -> Residuals:
    """Return the normalised residuals of an estimate."""
    is_read = np.isin(evidence.origin, (Origin.TELEMETRY, Origin.METER)) & (evidence.weight > 0)
    redundancy = np.sqrt(np.clip(1.0 - evidence.weight * spread.explained, 0.0, 1.0))
    is_critical = is_read & (redundancy * GROSS_ERROR < _limits(evidence))
    own = np.sqrt(np.where(is_read, evidence.weight, 1.0))
    sigma = np.where(is_read & ~is_critical, redundancy / own, np.inf)
    return Residuals(
        normalised=np.abs(solution.residual) / sigma,
        redundancy=np.where(is_read, redundancy, np.nan),
        is_critical=is_critical,
    )


def _limits(evidence: Evidence) -> Floats:
    return np.where(evidence.origin == Origin.TELEMETRY, TELEMETRY_LIMIT, METER_LIMIT)


def worst_rows(evidence: Evidence, residuals: Residuals, cell: Rows) -> Rows:
    """Return the rows to stop believing before the next estimate; empty where all is well.

    A lying reading pulls its neighbours' residuals up as well, so only the worst goes: of all rows where telemetry
    is the worst, else of each cell, since one neighbourhood's meters hardly touch another's.

    Args:
        evidence: The rows and what they weigh.
        residuals: Of the estimate.
        cell: Cell of each row, shape (m,).
    """
    is_telemetry = evidence.origin == Origin.TELEMETRY
    excess = residuals.normalised / _limits(evidence)
    over = np.flatnonzero(excess > 1.0)
    if not len(over):
        return over
    over = over[np.argsort(-excess[over])]
    telemetry = over[is_telemetry[over]]
    # Telemetry is few and reaches far: while any of it is in doubt, meters wait for the next round.
    if len(telemetry) and excess[telemetry[0]] > 0.5 * excess[over[0]]:
        only: Rows = telemetry[:1]
        return only
    _, first = np.unique(cell[over], return_index=True)
    each: Rows = over[np.sort(first)]
    return each[:_AT_ONCE]


def liar_of_node(residual: float, reading: Floats, expected: Floats, variance: Floats) -> int:
    """Return which of a node's elements most likely has the false reading.

    The one whose reading comes closer to what was expected once the residual is taken off it: a likelihood ratio, one
    element at a time.

    Args:
        residual: Of the node's sum.
        reading: Of each element at the node, shape (k,).
        expected: What was expected of it.
        variance: How far it may have strayed from that.
    """
    off = reading - expected
    gain = (off**2 - (off - residual) ** 2) / variance
    return int(np.argmax(gain))
