"""Grids that the tests of this room share."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gridloom.grid import TABLES, Buses, Grid, Lines, Loads, Sources, Switches, Table, Transformers

CASE = """{
 "case": "four", "vn_kv": 10.0, "v_source_pu": 1.02, "sources": [1],
 "buses": [{"id": 1}, {"id": 2, "p_kw": 400, "q_kvar": 100}, {"id": 3, "p_kw": 200}, {"id": 4, "p_kw": 30}],
 "branches": [
  {"id": 1, "f": 1, "t": 2, "r_ohm": 0.5, "x_ohm": 0.4, "closed": true, "switchable": true},
  {"id": 2, "f": 2, "t": 3, "r_ohm": 0.5, "x_ohm": 0.4, "closed": true, "switchable": true},
  {"id": 3, "f": 4, "t": 1, "r_ohm": 0.5, "x_ohm": 0.4, "closed": true, "switchable": true},
  {"id": 4, "f": 3, "t": 4, "r_ohm": 0.5, "x_ohm": 0.4, "closed": false, "switchable": true}]
}"""

MATPOWER = """function mpc = case4x
%CASE4X  four buses in ohm and kW, converted at the end
mpc.version = '2';
mpc.baseMVA = 10;
mpc.bus = [  %% (Pd and Qd are specified in kW & kvar here, converted to MW & Mvar below)
	1	3	0	0	0	0	1	1	0	10	1	1.1	0.9;
	2	1	400	100	0	0	1	1	0	10	1	1.1	0.9;
	3	1	200	0	0	0	1	1	0	10	1	1.1	0.9;
	4	1	30	0	0	0	1	1	0	10	1	1.1	0.9;
];
mpc.gen = [ 1 0 0 10 -10 1.02 100 1 10 0 0 0 0 0 0 0 0 0 0 0 0 ];
mpc.branch = [
	1	2	0.5	0.4	0	0	0	0	0	0	1	-360	360;
	2	3	0.5	0.4	0	0	0	0	0	0	1	-360	360;
	4	1	0.5	0.4	0	0	0	0	0	0	1	-360	360;
	3	4	0.5	0.4	0	0	0	0	0	0	0	-360	360;
];
mpc.gencost = [ 2 0 0 3 0 20 0; ];
mpc.names = { 'a' ; 'it''s % no comment' };
[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS, BUS_AREA, VM, ...
    VA, BASE_KV, ZONE, VMAX, VMIN] = idx_bus;
[F_BUS, T_BUS, BR_R, BR_X] = idx_brch;
Vbase = mpc.bus(1, BASE_KV) * 1e3;      %% in Volts
Sbase = mpc.baseMVA * 1e6;              %% in VA
mpc.branch(:, [BR_R BR_X]) = mpc.branch(:, [BR_R BR_X]) / (Vbase^2 / Sbase);
mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e3;
"""


def district() -> Grid:
    """Return a small district: 110/10 kV, two feeders with a tie, a coupler, one 10/0.4 kV transformer, 4 customers."""
    return Grid(
        name="district",
        buses=Buses(
            id=["hv", "bar A", "bar B", "a1", "a2", "b1", "lv"],
            vn_kv=[110.0, 10.0, 10.0, 10.0, 10.0, 10.0, 0.4],
            kind=["busbar", "busbar", "busbar", "node", "node", "node", "busbar"],
        ),
        lines=Lines(
            id=["A-a1", "a1-a2", "B-b1", "a2-b1"],
            from_bus=[1, 3, 2, 4],
            to_bus=[3, 4, 5, 5],
            r_ohm=[0.2] * 4,
            x_ohm=[0.1] * 4,
            b_us=[30.0] * 4,
            rated_ka=[0.3] * 4,
            length_km=[1.0, 2.0, 1.5, 1.0],
        ),
        transformers=Transformers(
            id=["T1", "T2"],
            hv_bus=[0, 4],
            lv_bus=[1, 6],
            sn_mva=[40.0, 0.4],
            vn_hv_kv=[110.0, 10.0],
            vn_lv_kv=[10.0, 0.4],
            vk_pct=[12.0, 6.0],
            vkr_pct=[0.4, 1.2],
            pfe_kw=[20.0, 1.0],
            i0_pct=[0.05, 0.3],
            shift_deg=[150.0, 150.0],
        ),
        switches=Switches(
            id=["coupler", "CB A", "CB B", "LBS a1", "tie"],
            bus=[1, 1, 2, 3, 5],
            element_kind=["bus", "line", "line", "line", "line"],
            element=[2, 0, 2, 1, 3],
            closed=[True, True, True, True, False],
            kind=["breaker", "breaker", "breaker", "load_break_switch", "load_break_switch"],
            is_remote=[True] * 5,
        ),
        loads=Loads(
            id=["L a1", "L b1", "L lv 1", "L lv 2"],
            bus=[3, 5, 6, 6],
            p_mw=[1.0, 0.5, 0.004, 0.003],
            q_mvar=[0.2, 0.1, 0.001, 0.0],
        ),
        sources=Sources(id=["grid"], bus=[0], vm_pu=[1.02]),
    )


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(max_size=8),
    "float": st.floats(),
    "row": st.integers(-(2**63), 2**63 - 1),
    "int": st.integers(-(2**63), 2**63 - 1),
    "flag": st.booleans(),
}


@st.composite
def tables(draw: st.DrawFn, cls: type[Table], max_rows: int = 4) -> Table:
    """Draw a table of any content that its types allow."""
    ids = draw(st.lists(st.text(max_size=6), unique=True, max_size=max_rows))
    columns = {
        spec.name: draw(
            st.lists(_VALUES[spec.metadata["kind"]], min_size=len(ids), max_size=len(ids))
        )
        for spec in fields(cls)
        if spec.name != "id"
    }
    return cls(id=ids, **columns)


@st.composite
def any_grid(draw: st.DrawFn) -> Grid:
    """Draw a grid of any content, sound or not."""
    chosen = draw(st.lists(st.sampled_from(sorted(TABLES)), unique=True, max_size=3))
    return Grid(
        name=draw(st.text(max_size=8)),
        frequency_hz=draw(st.floats(allow_nan=False, allow_infinity=False)),
        profiles=draw(st.text(max_size=8)),
        **{name: draw(tables(TABLES[name])) for name in chosen},
    )


def same(a: Table, b: Table) -> bool:
    """Return whether two tables hold the same bits, NaN included."""
    return type(a) is type(b) and all(
        getattr(a, name).dtype == getattr(b, name).dtype
        and (
            np.array_equal(getattr(a, name), getattr(b, name))
            if getattr(a, name).dtype != np.float64
            else np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True)
        )
        for name in a.column_names()
    )


@st.composite
def wired_grid(draw: st.DrawFn) -> Grid:
    """Draw a connected-or-not grid of lines, couplers and line switches at random positions."""
    n = draw(st.integers(2, 8))
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] != p[1])
    lines = draw(st.lists(pair, max_size=10))
    couplers = draw(st.lists(pair, max_size=3))
    ends = draw(
        st.lists(st.tuples(st.integers(0, len(lines) - 1), st.integers(0, 1)), max_size=8)
        if lines
        else st.just([])
    )
    n_switches = len(couplers) + len(ends)
    flags = st.lists(st.booleans(), min_size=n_switches, max_size=n_switches)
    return Grid(
        buses=Buses(
            id=[f"b{i}" for i in range(n)],
            vn_kv=[10.0] * n,
            in_service=draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        ),
        lines=Lines(
            id=[f"l{i}" for i in range(len(lines))],
            from_bus=[a for a, _ in lines],
            to_bus=[b for _, b in lines],
            r_ohm=[1.0] * len(lines),
            x_ohm=[1.0] * len(lines),
            in_service=draw(st.lists(st.booleans(), min_size=len(lines), max_size=len(lines))),
        ),
        switches=Switches(
            id=[f"s{i}" for i in range(n_switches)],
            bus=[a for a, _ in couplers] + [lines[row][end] for row, end in ends],
            element_kind=["bus"] * len(couplers) + ["line"] * len(ends),
            element=[b for _, b in couplers] + [row for row, _ in ends],
            closed=draw(flags),
            in_service=draw(flags),
        ),
        sources=Sources(id=["s"], bus=[draw(st.integers(0, n - 1))]),
    )
