"""The compiled loops of the event path: read a frame into known arrays, find the faulted line. No allocation."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def take_flags(
    index: NDArray[np.uint32],
    values: NDArray[np.float32],
    kind: NDArray[np.uint8],
    wanted: int,
    time_ns: int,
    state: NDArray[np.float32],
    seen_ns: NDArray[np.int64],
) -> int:
    """Copy the rows of a frame that are of kind `wanted` and not older than what is known; return how many.

    Rows outside the table are left out: a frame may say anything.
    """
    taken = 0
    for k in range(index.size):
        row = index[k]
        if row < kind.size and kind[row] == wanted and time_ns >= seen_ns[row]:
            state[row] = values[k]
            seen_ns[row] = time_ns
            taken += 1
    return taken


@njit(cache=True, nogil=True)
def take_changes(
    index: NDArray[np.uint32],
    values: NDArray[np.float32],
    kind: NDArray[np.uint8],
    wanted: int,
    time_ns: int,
    state: NDArray[np.float32],
    seen_ns: NDArray[np.int64],
    changed: NDArray[np.int64],
) -> int:
    """As `take_flags`, and put the rows whose value is another one into `changed`; return how many.

    Rows beyond the room in `changed` keep their old value: the next report brings them.
    """
    count = 0
    for k in range(index.size):
        row = index[k]
        if row >= kind.size or kind[row] != wanted or time_ns < seen_ns[row]:
            continue
        if values[k] != state[row] and not (np.isnan(values[k]) and np.isnan(state[row])):
            if count == changed.size:
                continue
            changed[count] = row
            count += 1
            state[row] = values[k]
        seen_ns[row] = time_ns
    return count


@njit(cache=True, nogil=True)
def locate(  # noqa: PLR0917 - a compiled loop over plain arrays
    breaker: int,
    since_ns: int,
    has_settled: bool,  # noqa: FBT001 - compiled
    flag: NDArray[np.float32],
    seen_ns: NDArray[np.int64],
    parent: NDArray[np.int32],
    depth: NDArray[np.int32],
    line: NDArray[np.int32],
    breaker_of: NDArray[np.int32],
    head_line: NDArray[np.int32],
) -> int:
    """Return the row of the faulted line, or a `location.NoLocation`.

    Args:
        breaker: Switch row of the breaker that locked out.
        since_ns: Reports older than this are of another time.
        has_settled: Whether indicators that are silent by now have seen nothing.
        flag: Last flag of each instrument, shape (instrument,).
        seen_ns: When it was reported, shape (instrument,) [ns].
        parent: As in `Zones`, and so the others.
        depth: See `Zones`.
        line: See `Zones`.
        breaker_of: See `Zones`.
        head_line: See `Zones`.
    """
    deepest, flagged, silent = -1, 0, 0
    for row in range(flag.size):
        if breaker_of[row] != breaker:
            continue
        if seen_ns[row] < since_ns:
            silent += 1
        elif flag[row] > 0.5:
            flagged += 1
            if deepest < 0 or depth[row] > depth[deepest]:
                deepest = row
    if deepest < 0:
        if silent and not has_settled:
            return -1
        return head_line[breaker] if head_line[breaker] >= 0 else -3
    missing, row = 0, deepest
    on_path = 0
    while row >= 0:
        if seen_ns[row] >= since_ns and flag[row] > 0.5:
            on_path += 1
        else:
            missing += 1
        row = parent[row]
    if on_path != flagged:
        return -2
    if missing:
        return -2 if has_settled else -1
    if not has_settled:
        for row in range(flag.size):
            if parent[row] == deepest and breaker_of[row] == breaker and seen_ns[row] < since_ns:
                return -1
    return line[deepest] if line[deepest] >= 0 else -3
