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


def as_complex(real: Floats, imag: Floats) -> Complexes:
    """Return `real + 1j * imag`; numpy's own types lose the `complex` on the way."""
    return np.asarray(real + 1j * imag, dtype=np.complex128)


def unit_phasor(angle_deg: Floats) -> Complexes:
    """Return phasors of magnitude 1 at `angle_deg`."""
    return np.asarray(np.exp(1j * np.deg2rad(angle_deg)), dtype=np.complex128)
