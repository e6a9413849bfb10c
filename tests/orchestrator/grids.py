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
