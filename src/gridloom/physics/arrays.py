"""Types of the arrays that the solvers hand around."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

type Complexes = NDArray[np.complex128]
type Flags = NDArray[np.bool_]
type Floats = NDArray[np.float64]
type Indices = NDArray[np.int32]
"""Nodes and edges inside the solvers: 32 bits keep more of a big grid in the cache."""
type Rows = NDArray[np.int64]
