"""A small district for the control room's tests: one substation, rings of stations, an area below each."""

from itertools import pairwise

import numpy as np

from gridloom.grid.model import (
    Buses,
    Cells,
    Grid,
    Lines,
    Loads,
    Sources,
    Switches,
    Transformers,
)


def district(feeders: int = 4, stations: int = 6, houses: int = 3, mark: str = "") -> Grid:
    """Return a district: `feeders` rows of `stations`, neighbours joined by open ties, `houses` below each.

    `mark` is put into every station's id, to try hostile ids.
    """
    buses = [("HV", 110.0), ("MV bar", 10.0)]
    lines: list[tuple[str, int, int]] = []
    units = [("HV-MV transformer", 0, 1, 40.0)]
    loads: list[tuple[str, int, float]] = []
    last = []
    for feeder in range(feeders):
        row = [1]
        for number in range(stations):
            row.append(len(buses))
            buses.append((f"MV {feeder}.{number}{mark}", 10.0))
        lines += [(f"MV line {feeder}.{at}{mark}", a, b) for at, (a, b) in enumerate(pairwise(row))]
        last.append(row[-1])
        for number, station in enumerate(row[1:]):
            name = f"{feeder}.{number}{mark}"
            low = len(buses)
            buses.append((f"LV {name} bar", 0.4))
            units.append((f"MV-LV {name}", station, low, 0.4))
            for house in range(houses):
                buses.append((f"LV {name} house {house}", 0.4))
                lines.append((f"LV line {name}.{house}", low, len(buses) - 1))
                loads.append((f"load {name}.{house}", len(buses) - 1, 0.01))
    ties = [(f"tie {a}", last[a], last[a + 1]) for a in range(0, feeders - 1, 2)]
    first_tie = len(lines)
    lines += ties
    return Grid(
        name="Test district",
        cells=Cells(id=["root"]),
        buses=Buses(
            id=[name for name, _ in buses],
            vn_kv=[kv for _, kv in buses],
            v_min_pu=[0.95 if kv > 1 else 0.9 for _, kv in buses],
            v_max_pu=[1.05 if kv > 1 else 1.1 for _, kv in buses],
        ),
        lines=_lines(lines),
        transformers=_transformers(units),
        switches=_switches(lines, first_tie),
        loads=Loads(
            id=[name for name, _, _ in loads],
            bus=[bus for _, bus, _ in loads],
            p_mw=[p for _, _, p in loads],
        ),
        sources=Sources(id=["upstream"], bus=[0]),
    )


def _lines(lines: list[tuple[str, int, int]]) -> Lines:
    return Lines(
        id=[name for name, _, _ in lines],
        from_bus=[a for _, a, _ in lines],
        to_bus=[b for _, _, b in lines],
        r_ohm=np.full(len(lines), 0.1),
        x_ohm=np.full(len(lines), 0.08),
        rated_ka=np.full(len(lines), 0.3),
        length_km=np.full(len(lines), 0.5),
    )


def _transformers(units: list[tuple[str, int, int, float]]) -> Transformers:
    n = len(units)
    return Transformers(
        id=[name for name, _, _, _ in units],
        hv_bus=[high for _, high, _, _ in units],
        lv_bus=[low for _, _, low, _ in units],
        sn_mva=[size for _, _, _, size in units],
        vn_hv_kv=[110.0] + [10.0] * (n - 1),
        vn_lv_kv=[10.0] + [0.4] * (n - 1),
        vk_pct=np.full(n, 6.0),
        vkr_pct=np.full(n, 1.0),
    )


def _switches(lines: list[tuple[str, int, int]], first_tie: int) -> Switches:
    medium = [row for row, (name, _, _) in enumerate(lines) if name.startswith(("MV", "tie"))]
    rows = [(row, end) for row in medium for end in (0, 1)]
    return Switches(
        id=[f"switch {lines[row][0]} {'ab'[end]}" for row, end in rows],
        bus=[lines[row][1 + end] for row, end in rows],
        element_kind=["line"] * len(rows),
        element=[row for row, _ in rows],
        closed=[not (row >= first_tie and end == 0) for row, end in rows],
        kind=[
            "breaker" if lines[row][1] == 1 and end == 0 else "load_break_switch"
            for row, end in rows
        ],
        is_remote=[True] * len(rows),
    )
