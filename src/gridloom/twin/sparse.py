"""Sparse symmetric factors and the part of the inverse that an estimator needs.

The gain matrix of a state estimator is sparse and so are its factors when leaves of the grid are eliminated first.
Its inverse is dense, but variances and residual covariances need only the entries inside the factor's own pattern,
which the recursion of Takahashi computes without ever forming the rest.

Sources: up-looking LDL' as in Davis, "Direct Methods for Sparse Linear Systems", SIAM 2006, chapter 4;
selected inverse: Erisman and Tinney, "On computing certain elements of the inverse of a sparse matrix",
Communications of the ACM 18(3), 1975, equations 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from gridloom.physics.arrays import Floats, Rows
from gridloom.twin.sparse_kernel import (
    elimination_tree,
    numeric_factor,
    substitute,
    takahashi,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbolic:
    """Everything about a factor that depends on the pattern alone; made once a topology."""

    start: Rows
    """Columns of the upper triangle of A, diagonal included, in elimination order, shape (n + 1,)."""
    index: Rows
    """Row of each entry."""
    parent: Rows
    """Elimination tree, shape (n,)."""
    column_start: Rows
    """Columns of L, shape (n + 1,)."""

    @classmethod
    def of(cls, start: Rows, index: Rows) -> Self:
        """Analyse the upper triangle of a symmetric matrix given by columns; rows may stand in any order."""
        parent, count = elimination_tree(start, index)
        column_start = np.zeros(len(count) + 1, dtype=np.int64)
        np.cumsum(count, out=column_start[1:])
        return cls(start=start, index=index, parent=parent, column_start=column_start)

    @property
    def n_entries(self) -> int:
        """Entries of A in the pattern."""
        return len(self.index)

    def factorise(self, entry: Floats) -> Factor:
        """Return the factor of the matrix with these entries.

        A singular matrix gives pivots at or below zero, clipped to the smallest normal number.
        """
        row, value, pivot = numeric_factor(
            self.start, self.index, entry, self.parent, self.column_start
        )
        return Factor(column_start=self.column_start, row=row, value=value, pivot=pivot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """L and D of a symmetric matrix A = L D L', all in elimination order."""

    column_start: Rows
    """Shape (n + 1,)."""
    row: Rows
    """Rows of the entries below the diagonal, rising in each column."""
    value: Floats
    pivot: Floats
    """D, shape (n,)."""

    @property
    def smallest_pivot(self) -> float:
        """The smallest pivot: near or below zero where the matrix is singular."""
        return float(self.pivot.min()) if len(self.pivot) else np.inf

    def solve(self, right_side: Floats) -> Floats:
        """Return x with A x = b, both in elimination order, shape (n,)."""
        x = right_side.astype(np.float64)
        substitute(self.column_start, self.row, self.value, self.pivot, x)
        return x

    def invert_selected(self) -> SelectedInverse:
        """Return the entries of the inverse that lie on the factor's pattern."""
        value, diagonal = takahashi(self.column_start, self.row, self.value, self.pivot)
        return SelectedInverse(factor=self, value=value, diagonal=diagonal)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedInverse:
    """The inverse of a factorised matrix, on the factor's pattern only."""

    factor: Factor
    value: Floats
    """Entries below the diagonal, stored like `factor.value`."""
    diagonal: Floats
    """Shape (n,), in elimination order."""
