"""Compiled sums of many columns into few, scenario by scenario."""

from __future__ import annotations

import numpy as np
from numba import njit

from gridloom.physics.arrays import Complexes, Rows


@njit(cache=True, nogil=True, error_model="numpy")
def sum_columns(values: Complexes, place: Rows, n: int) -> Complexes:
    """Add each column of `values`, shape (scenario, column), to its place among `n`; negative places are left out."""
    out = np.zeros((values.shape[0], n), np.complex128)
    for s in range(values.shape[0]):
        for column in range(place.shape[0]):
            if place[column] >= 0:
                out[s, place[column]] += values[s, column]
    return out
