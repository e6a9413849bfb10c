"""Union-find over integer pairs, compiled: the inner loop of the topology processor."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _root(parent: NDArray[np.int64], item: int) -> int:
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


@njit(cache=True, nogil=True)
def group(
    used: NDArray[np.bool_], a: NDArray[np.int64], b: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Return the group of every item and the number of groups.

    Args:
        used: Whether an item takes part, shape (item,).
        a: First items of the pairs that join, shape (pair,).
        b: Second items, shape (pair,).

    Returns:
        Group number by item, -1 where unused, numbered in the order of each group's first item; the count.
    """
    parent = np.arange(used.size)
    for pair in range(a.size):
        if not (used[a[pair]] and used[b[pair]]):
            continue
        first = _root(parent, a[pair])
        second = _root(parent, b[pair])
        # The smaller row becomes the root, so groups are numbered by their first item.
        if first < second:
            parent[second] = first
        elif second < first:
            parent[first] = second
    number = np.full(used.size, -1, dtype=np.int64)
    count = 0
    for item in range(used.size):
        if used[item]:
            root = _root(parent, item)
            if root == item:
                number[item] = count
                count += 1
            else:
                number[item] = number[root]
    return number, count
