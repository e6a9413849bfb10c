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
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

type Floats = NDArray[np.float64]
type Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """L and D of a symmetric matrix A with `P A P' = L D L'`."""

    order: Rows
    """Elimination order, shape (n,): `order[k]` is eliminated as number k."""
    column_start: Rows
    """Shape (n + 1,)."""
    row: Rows
    """Rows of the entries below the diagonal, rising in each column."""
    value: Floats
    pivot: Floats
    """D, shape (n,), in elimination order."""

    @property
    def smallest_pivot(self) -> float:
        """The smallest pivot: near or below zero where the matrix is singular."""
        return float(self.pivot.min()) if len(self.pivot) else np.inf


def factorise(matrix: csc_matrix, order: Rows) -> Factor:
    """Factorise a symmetric matrix in a given elimination order.

    Args:
        matrix: Symmetric, both triangles stored, shape (n, n).
        order: Permutation of the rows, shape (n,).

    Returns:
        The factor; a singular matrix gives pivots at or below zero (clipped to the smallest normal number).
    """
    permuted = matrix[order][:, order].tocsc()
    permuted.sort_indices()
    start = permuted.indptr.astype(np.int64)
    parent, count = _elimination_tree(start, permuted.indices.astype(np.int64))
    column_start = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(count, out=column_start[1:])
    row, value, pivot = _numeric(
        start, permuted.indices.astype(np.int64), permuted.data.astype(np.float64), parent, column_start
    )
    return Factor(order=order, column_start=column_start, row=row, value=value, pivot=pivot)


def solve(factor: Factor, right_side: Floats) -> Floats:
    """Return x with A x = b, shape (n,)."""
    x = right_side[factor.order].astype(np.float64)
    _substitute(factor.column_start, factor.row, factor.value, factor.pivot, x)
    result = np.empty_like(x)
    result[factor.order] = x
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedInverse:
    """The inverse of a factorised matrix, on the factor's pattern only."""

    factor: Factor
    value: Floats
    """Entries below the diagonal, stored like `factor.value`."""
    diagonal: Floats
    """Shape (n,), in elimination order."""
    position: Rows
    """Shape (n,): elimination number of each row of A."""

    def variances(self) -> Floats:
        """Return the diagonal of the inverse, shape (n,), in the order of A."""
        return self.diagonal[self.position]

    def quadratic_forms(self, start: Rows, column: Rows, value: Floats) -> Floats:
        """Return h Z h' for each row h of a CSR matrix whose rows are cliques of A's pattern, shape (m,)."""
        return _quadratic_forms(
            start.astype(np.int64),
            self.position[column],
            value,
            self.factor.column_start,
            self.factor.row,
            self.value,
            self.diagonal,
        )


def invert_selected(factor: Factor) -> SelectedInverse:
    """Return the entries of the inverse that lie on the factor's pattern."""
    value, diagonal = _takahashi(factor.column_start, factor.row, factor.value, factor.pivot)
    position = np.empty_like(factor.order)
    position[factor.order] = np.arange(len(factor.order))
    return SelectedInverse(factor=factor, value=value, diagonal=diagonal, position=position)


@njit(cache=True, nogil=True)
def _elimination_tree(start: Rows, index: Rows) -> tuple[Rows, Rows]:
    n = len(start) - 1
    parent = np.full(n, -1, dtype=np.int64)
    mark = np.full(n, -1, dtype=np.int64)
    count = np.zeros(n, dtype=np.int64)
    for k in range(n):
        mark[k] = k
        for p in range(start[k], start[k + 1]):
            i = index[p]
            while i < k and mark[i] != k:
                if parent[i] == -1:
                    parent[i] = k
                count[i] += 1
                mark[i] = k
                i = parent[i]
    return parent, count


@njit(cache=True, nogil=True)
def _numeric(
    start: Rows, index: Rows, entry: Floats, parent: Rows, column_start: Rows
) -> tuple[Rows, Floats, Floats]:
    n = len(start) - 1
    row = np.empty(column_start[n], dtype=np.int64)
    value = np.empty(column_start[n])
    pivot = np.empty(n)
    filled = np.zeros(n, dtype=np.int64)
    work = np.zeros(n)
    mark = np.full(n, -1, dtype=np.int64)
    stack = np.empty(n, dtype=np.int64)
    path = np.empty(n, dtype=np.int64)
    for k in range(n):
        top = n
        mark[k] = k
        for p in range(start[k], start[k + 1]):
            i = index[p]
            if i > k:
                continue
            work[i] += entry[p]
            length = 0
            while mark[i] != k:
                path[length] = i
                length += 1
                mark[i] = k
                i = parent[i]
            while length > 0:
                top -= 1
                length -= 1
                stack[top] = path[length]
        pivot[k] = work[k]
        work[k] = 0.0
        for s in range(top, n):
            i = stack[s]
            y = work[i]
            work[i] = 0.0
            first = column_start[i]
            for p in range(first, first + filled[i]):
                work[row[p]] -= value[p] * y
            share = y / pivot[i]
            pivot[k] -= share * y
            place = first + filled[i]
            row[place] = k
            value[place] = share
            filled[i] += 1
        if pivot[k] < 1e-300:
            pivot[k] = 1e-300
    return row, value, pivot


@njit(cache=True, nogil=True)
def _substitute(column_start: Rows, row: Rows, value: Floats, pivot: Floats, x: Floats) -> None:
    n = len(pivot)
    for j in range(n):
        for p in range(column_start[j], column_start[j + 1]):
            x[row[p]] -= value[p] * x[j]
    for j in range(n):
        x[j] /= pivot[j]
    for j in range(n - 1, -1, -1):
        for p in range(column_start[j], column_start[j + 1]):
            x[j] -= value[p] * x[row[p]]


@njit(cache=True, nogil=True)
def _takahashi(column_start: Rows, row: Rows, value: Floats, pivot: Floats) -> tuple[Floats, Floats]:
    n = len(pivot)
    inverse = np.zeros(column_start[n])
    diagonal = np.empty(n)
    total = np.zeros(n)
    weight = np.zeros(n)
    in_column = np.zeros(n, dtype=np.bool_)
    for j in range(n - 1, -1, -1):
        first, last = column_start[j], column_start[j + 1]
        for p in range(first, last):
            in_column[row[p]] = True
            weight[row[p]] = value[p]
        for p in range(first, last):
            k = row[p]
            total[k] -= value[p] * diagonal[k]
            for q in range(column_start[k], column_start[k + 1]):
                i = row[q]
                if in_column[i]:
                    total[i] -= value[p] * inverse[q]
                    total[k] -= weight[i] * inverse[q]
        own = 1.0 / pivot[j]
        for p in range(first, last):
            i = row[p]
            inverse[p] = total[i]
            own -= value[p] * total[i]
            total[i] = 0.0
            weight[i] = 0.0
            in_column[i] = False
        diagonal[j] = own
    return inverse, diagonal


@njit(cache=True, nogil=True)
def _quadratic_forms(
    start: Rows, column: Rows, value: Floats, column_start: Rows, row: Rows, inverse: Floats, diagonal: Floats
) -> Floats:
    m = len(start) - 1
    result = np.zeros(m)
    weight = np.zeros(len(diagonal))
    for r in range(m):
        for p in range(start[r], start[r + 1]):
            weight[column[p]] += value[p]
        for p in range(start[r], start[r + 1]):
            j = column[p]
            if weight[j] == 0.0:
                continue
            result[r] += weight[j] * weight[j] * diagonal[j]
            for q in range(column_start[j], column_start[j + 1]):
                result[r] += 2.0 * weight[j] * weight[row[q]] * inverse[q]
        for p in range(start[r], start[r + 1]):
            weight[column[p]] = 0.0
    return result
