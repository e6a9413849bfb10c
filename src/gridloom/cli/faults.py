"""Faults that a run is told to bring: named ones, and seeded random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridloom.cli.grids import load_checked
from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    from gridloom.cli.settings import Settings


def parse_fault(text: str) -> tuple[str, float]:
    """Return line id and seconds of `LINE@T`."""
    line, separator, at = text.rpartition("@")
    try:
        seconds = float(at)
    except ValueError:
        seconds = -1.0
    if not separator or not line or not 0 <= seconds < float("inf"):
        message = f"--fault is {text!r}; give LINE@SECONDS, for instance 'MV3.101 Line 12@20'"
        raise BadInput(message)
    return line, seconds


def planned_faults(
    settings: Settings, named: list[tuple[str, float]], random_faults: int
) -> list[tuple[str, float]]:
    """Return all faults of a run by time: the named ones, and random ones over the first 60 % of it.

    Raises:
        UnknownId: A line that the grid does not have.
        BadInput: More random faults than there are medium-voltage lines.
    """
    import numpy as np

    if random_faults < 0:
        message = f"--faults is {random_faults}; give a number from 0"
        raise BadInput(message)
    grid = load_checked(settings.grid)
    for line, _ in named:
        grid.lines.row(line)
    if not random_faults:
        return sorted(named, key=lambda fault: fault[1])
    lines, vn_kv = grid.lines, grid.buses.vn_kv
    from_kv = vn_kv[lines.from_bus]
    medium = np.flatnonzero((from_kv > 1.0) & (from_kv < 60.0) & lines.in_service)
    if random_faults > len(medium):
        message = f"--faults is {random_faults}; the grid has {len(medium)} medium-voltage lines"
        raise BadInput(message)
    rng = np.random.default_rng(settings.seed)
    window_s = 0.6 * settings.duration if settings.duration else 60.0 * random_faults
    picked = rng.choice(medium, size=random_faults, replace=False)
    times = np.sort(rng.uniform(0.05 * window_s, window_s, random_faults))
    drawn = [(str(lines.id[line]), float(at)) for line, at in zip(picked, times, strict=True)]
    return sorted(named + drawn, key=lambda fault: fault[1])
