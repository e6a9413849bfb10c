"""Which nodes readings alone would fix, without any habit.

A node counts as observable when telemetry, meters and zero injections by themselves leave its voltage a standard
deviation below 5 %. Where they leave it free, the estimate's tiny prior gives more than 100 %: nothing lies between
but very long and weakly measured feeders. Source: ours; the classical question is rank, as in Monticelli and Wu,
"Network observability: theory", IEEE Transactions on Power Apparatus and Systems 104(5), 1985.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gridloom.physics.arrays import Flags
from gridloom.twin.measurements import Origin

if TYPE_CHECKING:
    from gridloom.twin.equations import Equations
    from gridloom.twin.evidence import Evidence
    from gridloom.twin.wls import Solution

_FIXED_PU = 0.05
_PRIOR = 1e-3
"""So weak that a whole grid without any voltage reading stays loose, so strong that rounding stays below it."""
_SHARPEST = 1e10
"""Largest weight of a row in terms of the state: beyond it rounding would hide a free direction."""


def observable_nodes(equations: Equations, evidence: Evidence, solution: Solution) -> Flags:
    """Return whether readings fix each node, shape (node,)."""
    is_real = np.isin(evidence.origin, (Origin.TELEMETRY, Origin.METER, Origin.ZERO))
    weight = np.where(is_real, evidence.weight, 0.0)
    weight = np.minimum(weight, _SHARPEST / equations.steepest(solution.at) ** 2)
    entry, _ = equations.gain(solution.at, weight, np.zeros_like(weight), prior=_PRIOR)
    inverse = equations.factorise(entry).invert_selected()
    observable: Flags = inverse.diagonal[2 * equations.position + 1] < _FIXED_PU**2
    return observable
