"""Small grids with known answers."""

from __future__ import annotations

import numpy as np

from gridloom.grid.model import Buses, Cells, Grid, Lines, Loads, Sources, Switches


def two_feeders(*, n: int = 3, tie_ka: float = 0.4, load_mw: float = 1.0) -> Grid:
    """Two 20 kV feeders A and B of `n` loads each from one busbar, joined at their ends by an open tie.

    Lines `A1..An`, `B1..Bn`, tie `T`; each line has a breaker or load-break switch at both ends, named
    `<line>.f` and `<line>.t`; `T.t` is open.
    """
    buses = ["bar", *(f"{f}{k}" for f in "AB" for k in range(1, n + 1))]
    at = {id_: row for row, id_ in enumerate(buses)}
    ends = [
        (f"{f}{k}", "bar" if k == 1 else f"{f}{k - 1}", f"{f}{k}")
        for f in "AB"
        for k in range(1, n + 1)
    ]
    ends.append(("T", f"A{n}", f"B{n}"))
    switches = [
        (f"{line}.{side}", at[bus], row, "breaker" if bus == "bar" else "load_break_switch")
        for row, (line, a, b) in enumerate(ends)
        for side, bus in (("f", a), ("t", b))
    ]
    return Grid(
        name="two feeders",
        cells=Cells(id=["area", "A", "B"], parent=[-1, 0, 0], kind=["area", "feeder", "feeder"]),
        buses=Buses(
            id=buses,
            vn_kv=np.full(len(buses), 20.0),
            cell=[0, *(1 if b[0] == "A" else 2 for b in buses[1:])],
            v_min_pu=np.full(len(buses), 0.95),
            v_max_pu=np.full(len(buses), 1.05),
        ),
        lines=Lines(
            id=[line for line, _, _ in ends],
            from_bus=[at[a] for _, a, _ in ends],
            to_bus=[at[b] for _, _, b in ends],
            r_ohm=np.full(len(ends), 0.2),
            x_ohm=np.full(len(ends), 0.15),
            b_us=np.full(len(ends), 100.0),
            rated_ka=[*np.full(len(ends) - 1, 0.4), tie_ka],
        ),
        switches=Switches(
            id=[s[0] for s in switches],
            bus=[s[1] for s in switches],
            element_kind=["line"] * len(switches),
            element=[s[2] for s in switches],
            closed=[s[0] != "T.t" for s in switches],
            kind=[s[3] for s in switches],
            is_remote=np.ones(len(switches), dtype=bool),
        ),
        loads=Loads(
            id=[f"load {b}" for b in buses[1:]],
            bus=list(range(1, len(buses))),
            p_mw=np.full(len(buses) - 1, load_mw),
            q_mvar=np.full(len(buses) - 1, 0.3 * load_mw),
            customers=np.full(len(buses) - 1, 100),
        ),
        sources=Sources(id=["grid"], bus=[0], vm_pu=[1.02]),
    )


def random_radial(rng: np.random.Generator, *, n_buses: int, n_ties: int) -> Grid:
    """A random tree of `n_buses` behind two feeder heads or more, with open ties and switches at some line ends.

    Lines that start at the busbar have a breaker there. Elsewhere an end has a remote switch, a hand-operated one
    or none. An open tie is open at one end or at both.
    """
    parents = [-1, *(int(rng.integers(0, k)) if k > 2 else 0 for k in range(1, n_buses))]
    pairs = [(parents[k], k) for k in range(1, n_buses)]
    n_tree = len(pairs)
    for _ in range(n_ties):
        a, b = rng.choice(n_buses, size=2, replace=False).tolist()
        pairs.append((a, b))
    rows: list[tuple[int, int, bool, str, bool]] = []
    for line, (a, b) in enumerate(pairs):
        is_tie = line >= n_tree
        open_ends = ((True, True), (True, False), (False, True))[int(rng.integers(0, 3))]
        for end, bus in enumerate((a, b)):
            if is_tie:
                rows.append(
                    (bus, line, not open_ends[end], "load_break_switch", bool(rng.random() < 0.9))
                )
            elif bus == 0:
                rows.append((bus, line, True, "breaker", True))
            elif rng.random() < 0.75:
                kind = "breaker" if rng.random() < 0.1 else "load_break_switch"
                rows.append((bus, line, True, kind, bool(rng.random() < 0.85)))
    flip = rng.random(len(pairs)) < 0.5
    loads = [k for k in range(1, n_buses) if rng.random() < 0.8]
    n = len(pairs)
    return Grid(
        name="random",
        buses=Buses(
            id=[f"b{k}" for k in range(n_buses)],
            vn_kv=np.full(n_buses, 20.0),
            v_min_pu=np.full(n_buses, 0.96),
            v_max_pu=np.full(n_buses, 1.05),
        ),
        lines=Lines(
            id=[f"l{k}" for k in range(n)],
            from_bus=[pair[int(flip[k])] for k, pair in enumerate(pairs)],
            to_bus=[pair[1 - int(flip[k])] for k, pair in enumerate(pairs)],
            r_ohm=rng.uniform(0.05, 0.6, n),
            x_ohm=rng.uniform(0.05, 0.5, n),
            b_us=rng.uniform(0, 200, n),
            rated_ka=rng.uniform(0.12, 0.5, n),
        ),
        switches=Switches(
            id=[f"s{k}" for k in range(len(rows))],
            bus=[row[0] for row in rows],
            element_kind=["line"] * len(rows),
            element=[row[1] for row in rows],
            closed=[row[2] for row in rows],
            kind=[row[3] for row in rows],
            is_remote=[row[4] for row in rows],
        ),
        loads=Loads(
            id=[f"d{k}" for k in loads],
            bus=loads,
            p_mw=rng.uniform(0.05, 1.2, len(loads)),
            q_mvar=rng.uniform(0.0, 0.4, len(loads)),
            customers=rng.integers(1, 200, len(loads)),
        ),
        sources=Sources(id=["grid"], bus=[0], vm_pu=[1.02]),
    )
