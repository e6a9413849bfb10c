"""Compiled loops of the sparse factor, its solves and its selected inverse; sources stand in `sparse`."""

from __future__ import annotations

import numpy as np
from numba import njit

from gridloom.physics.arrays import Floats, Rows


@njit(cache=True, nogil=True)
def elimination_tree(start: Rows, index: Rows) -> tuple[Rows, Rows]:
    """Return the parent of each column in the elimination tree, and the entries of each column of L."""
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
def numeric_factor(
    start: Rows, index: Rows, entry: Floats, parent: Rows, column_start: Rows
) -> tuple[Rows, Floats, Floats]:
    """Return rows, values and pivots of L D L' by the up-looking method; needs the tree and the column starts."""
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
        pivot[k] = max(pivot[k], 1e-300)
    return row, value, pivot


@njit(cache=True, nogil=True)
def substitute(column_start: Rows, row: Rows, value: Floats, pivot: Floats, x: Floats) -> None:
    """Solve in place: forward, by the pivots, backward."""
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
def takahashi(column_start: Rows, row: Rows, value: Floats, pivot: Floats) -> tuple[Floats, Floats]:
    """Return the inverse's entries on the pattern of L and on its diagonal, from the last column to the first."""
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
