"""Radial grids of any size, made from a seed: feeders with laterals, customers on most buses, open ties between them.

Not a copy of a real grid: cable sizes, spacing and loads are drawn from ranges of European 10 kV cable grids, with the
load scaled so that the lowest voltage stays above about 0.9 pu at every size.
"""

from __future__ import annotations

import numpy as np

from gridloom.grid.model import Buses, Grid, Lines, Loads, Sources, Switches

BUSES_PER_FEEDER = 120


def radial_grid(n_bus: int, seed: int = 0) -> Grid:
    """Return a radial 10 kV grid of `n_bus` buses with a switch at the from end of every line.

    The last `n_bus // 40` lines are ties between feeders whose switch stands open.
    """
    rng = np.random.default_rng(seed)
    parent = _tree(n_bus, rng)
    n_tie = max(1, n_bus // 40)
    ends = rng.integers(1, n_bus, (4 * n_tie, 2))
    ends = ends[ends[:, 0] != ends[:, 1]][:n_tie]
    from_bus = np.concatenate([parent[1:], ends[:, 0]])
    to_bus = np.concatenate([np.arange(1, n_bus), ends[:, 1]])
    n_line = len(from_bus)
    length_km = rng.uniform(0.05, 0.4, n_line)
    r_per_km = rng.choice([0.125, 0.206, 0.32], n_line)
    p_mw = np.where(rng.random(n_bus) < 0.8, rng.uniform(0.01, 0.09, n_bus), 0.0)
    p_mw[0] = 0.0
    buses, lines = [f"b{k}" for k in range(n_bus)], [f"l{k}" for k in range(n_line)]
    return Grid(
        name=f"synthetic-{n_bus}-{seed}",
        buses=Buses(id=buses, vn_kv=np.full(n_bus, 10.0)),
        lines=Lines(
            id=lines,
            from_bus=from_bus,
            to_bus=to_bus,
            r_ohm=r_per_km * length_km,
            x_ohm=0.115 * length_km,
            b_us=2 * np.pi * 50 * 0.3 * length_km,
            rated_ka=np.full(n_line, 0.3),
            length_km=length_km,
        ),
        switches=Switches(
            id=[f"s{k}" for k in range(n_line)],
            bus=from_bus,
            element_kind=["line"] * n_line,
            element=np.arange(n_line),
            closed=np.arange(n_line) < n_bus - 1,
            is_remote=[True] * n_line,
        ),
        loads=Loads(id=buses, bus=np.arange(n_bus), p_mw=p_mw, q_mvar=0.33 * p_mw),
        sources=Sources(id=["source"], bus=[0], vm_pu=[1.02]),
    )


def _tree(n_bus: int, rng: np.random.Generator) -> np.ndarray:
    """Return the parent of each bus: feeders start at bus 0, laterals branch off anywhere behind."""
    parent = np.zeros(n_bus, dtype=np.int64)
    for bus in range(1, n_bus):
        place = (bus - 1) % BUSES_PER_FEEDER
        if place == 0:
            continue
        first = bus - place
        parent[bus] = bus - 1 if rng.random() < 0.75 else rng.integers(first, bus)
    return parent
