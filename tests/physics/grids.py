"""Small grids for the tests of the physics room."""

from __future__ import annotations

import numpy as np

from gridloom.grid.model import (
    Branches,
    Buses,
    Generators,
    Grid,
    Lines,
    Loads,
    Shunts,
    Sources,
    Storages,
    Switches,
    Transformers,
    Transformers3w,
)


def two_buses(p_mw: float = 1.0, q_mvar: float = 0.5, **load) -> Grid:
    """A source, one line of (1 + 2j) ohm at 10 kV, one load."""
    return Grid(
        buses=Buses(id=["a", "b"], vn_kv=[10.0, 10.0]),
        lines=Lines(id=["ab"], from_bus=[0], to_bus=[1], r_ohm=[1.0], x_ohm=[2.0], rated_ka=[0.1]),
        loads=Loads(id=["load"], bus=[1], p_mw=[p_mw], q_mvar=[q_mvar], **load),
        sources=Sources(id=["source"], bus=[0], vm_pu=[1.0]),
    )


def district() -> Grid:
    """One of everything that a radial solver takes: see the ids.

    110 kV source; transformer with tap and 150 degrees of shift; 20 kV busbar in two halves joined by a coupler; two
    feeders; parallel cables; cables open at either end; a 0.4 kV transformer fed from its low side; a general branch
    with a ratio; a three-winding transformer; a capacitor; loads that depend on voltage; a dead spur.
    """
    kv = {"hv": 110, "bb1": 20, "bb2": 20, "f1": 20, "f2": 20, "f3": 20, "end1": 20, "end2": 20}
    kv |= {"lv1": 0.4, "lv2": 0.4, "back": 20, "ratio": 20, "dead": 20, "mv3": 10, "lv3": 0.4}
    row = {name: k for k, name in enumerate(kv)}
    lines = [
        ("bb2-f1", "bb2", "f1"), ("f1-f2 a", "f1", "f2"), ("f1-f2 b", "f1", "f2"), ("f2-f3", "f2", "f3"),
        ("open at to", "f3", "end1"), ("open at from", "end2", "f3"), ("lv1-lv2", "lv1", "lv2"),
        ("dead", "dead", "end2"),
    ]  # fmt: skip
    n = len(lines)
    low = np.array([a == "lv1" for _, a, _ in lines])
    return Grid(
        name="district",
        buses=Buses(id=list(kv), vn_kv=list(kv.values())),
        lines=Lines(
            id=[name for name, _, _ in lines],
            from_bus=[row[a] for _, a, _ in lines],
            to_bus=[row[b] for _, _, b in lines],
            r_ohm=np.where(low, 0.02, np.linspace(0.2, 0.9, n)),
            x_ohm=np.where(low, 0.01, np.linspace(0.1, 0.6, n)),
            b_us=np.where(low, 0.0, np.linspace(50, 120, n)),
            g_us=np.where(low, 0.0, 0.5),
            rated_ka=np.where(low, 0.3, 0.25),
        ),
        transformers=Transformers(
            id=["hv-mv", "mv-lv", "lv-back"],
            hv_bus=[row["hv"], row["f2"], row["back"]],
            lv_bus=[row["bb1"], row["lv1"], row["lv2"]],
            sn_mva=[40, 0.63, 0.4], vn_hv_kv=[110, 20.5, 20], vn_lv_kv=[21, 0.4, 0.4],
            vk_pct=[12, 6, 6], vkr_pct=[0.4, 1.2, 1.3], pfe_kw=[20, 1.1, 0.9], i0_pct=[0.07, 0.3, 0.3],
            shift_deg=[150, 150, 150], tap_side=["hv", "lv", "hv"], tap_pos=[-2, 1, 0], tap_step_pct=[1.5, 2.5, 2.5],
            tap_step_deg=[0.5, 0, 0], parallel=[1, 2, 1],
        ),
        transformers3w=Transformers3w(
            id=["three"], hv_bus=[row["bb1"]], mv_bus=[row["mv3"]], lv_bus=[row["lv3"]],
            sn_hv_mva=[5], sn_mv_mva=[4], sn_lv_mva=[1], vn_hv_kv=[20], vn_mv_kv=[10.2], vn_lv_kv=[0.4],
            vk_hv_pct=[8], vk_mv_pct=[6], vk_lv_pct=[7], vkr_hv_pct=[0.5], vkr_mv_pct=[0.6], vkr_lv_pct=[0.7],
            pfe_kw=[6], i0_pct=[0.2], shift_mv_deg=[0], shift_lv_deg=[150], tap_side=["hv"], tap_pos=[1],
            tap_step_pct=[1.25],
        ),
        branches=Branches(
            id=["ratio"], from_bus=[row["f3"]], to_bus=[row["ratio"]], r_pu=[0.05], x_pu=[0.2], b_pu=[0.003],
            ratio=[0.98], shift_deg=[-30], rated_mva=[5],
        ),
        switches=Switches(
            id=["coupler", "s-open to", "s-open from", "s-dead", "s-f1"],
            bus=[row["bb1"], row["end1"], row["end2"], row["dead"], row["bb2"]],
            element_kind=["bus", "line", "line", "line", "line"],
            element=[row["bb2"], 4, 5, 7, 0],
            closed=[True, False, False, False, True],
        ),
        loads=Loads(
            id=["L1", "L2", "L3", "L4", "L5", "L6", "off"],
            bus=[row[b] for b in ("f1", "f2", "lv1", "back", "ratio", "mv3", "f3")],
            p_mw=[2.0, 1.0, 0.2, 0.05, 0.8, 1.5, 9.0], q_mvar=[0.6, 0.3, 0.06, 0.02, 0.1, 0.4, 9.0],
            z_share=[0, 0.5, 0.3, 0, 0, 1, 0], i_share=[0, 0.2, 0.3, 1, 0, 0, 0],
            in_service=[True] * 6 + [False],
        ),
        generators=Generators(id=["pv"], bus=[row["lv2"]], p_mw=[0.15], q_mvar=[-0.02]),
        storages=Storages(id=["battery"], bus=[row["f3"]], p_mw=[-0.4], q_mvar=[0.1]),
        shunts=Shunts(id=["capacitor"], bus=[row["f2"]], q_mvar=[-0.3], p_mw=[0.01]),
        sources=Sources(id=["source"], bus=[row["hv"]], vm_pu=[1.03], va_deg=[10.0]),
    )  # fmt: skip


def random_radial(seed: int, n_bus: int = 25) -> Grid:
    """A random forest of two sources: cables, transformers within one voltage, ties, ends left open."""
    rng = np.random.default_rng(seed)
    parent = np.array([-1, -1] + [int(rng.integers(max(0, k - 6), k)) for k in range(2, n_bus)])
    kind = rng.choice(["line", "line", "line", "transformer", "tie"], n_bus)
    kind[:2] = "root"
    order = rng.permutation(n_bus)
    ids = np.array([f"b{k}" for k in range(n_bus)])[np.argsort(order)]

    def ends(name: str):
        child = np.flatnonzero(kind == name)
        turned = rng.random(len(child)) < 0.5
        a, b = order[parent[child]], order[child]
        return (
            [f"{name}{k}" for k in child],
            np.where(turned, b, a),
            np.where(turned, a, b),
            len(child),
        )

    line_id, line_from, line_to, n_line = ends("line")
    trafo_id, trafo_from, trafo_to, n_trafo = ends("transformer")
    tie_id, tie_from, tie_to, n_tie = ends("tie")
    spurs = rng.integers(0, n_bus, 3)
    bus = list(ids)
    return Grid(
        buses=Buses(id=bus, vn_kv=np.full(n_bus, 10.0)),
        lines=Lines(
            id=[*line_id, "spur0", "spur1", "spur2"],
            from_bus=np.concatenate([line_from, spurs]),
            to_bus=np.concatenate([line_to, (spurs + 1) % n_bus]),
            r_ohm=rng.uniform(0.05, 0.3, n_line + 3),
            x_ohm=rng.uniform(0.05, 0.2, n_line + 3),
            b_us=rng.uniform(0, 80, n_line + 3),
            rated_ka=np.full(n_line + 3, 0.2),
        ),
        transformers=Transformers(
            id=trafo_id, hv_bus=trafo_from, lv_bus=trafo_to, sn_mva=np.full(n_trafo, 5.0),
            vn_hv_kv=np.full(n_trafo, 10.0), vn_lv_kv=rng.choice([10.0, 10.2], n_trafo), vk_pct=np.full(n_trafo, 4.0),
            vkr_pct=np.full(n_trafo, 0.5), pfe_kw=np.full(n_trafo, 3.0), i0_pct=np.full(n_trafo, 0.2),
            shift_deg=rng.choice([0.0, 30.0, 150.0], n_trafo), tap_pos=rng.integers(-2, 3, n_trafo).astype(float),
            tap_step_pct=np.full(n_trafo, 1.5),
        ),
        switches=Switches(
            id=[*tie_id, "w0", "w1", "w2"],
            bus=np.concatenate([tie_from, (spurs + 1) % n_bus]),
            element_kind=["bus"] * n_tie + ["line"] * 3,
            element=np.concatenate([tie_to, n_line + np.arange(3)]),
            closed=[True] * n_tie + [False] * 3,
        ),
        loads=Loads(
            id=bus, bus=np.arange(n_bus), p_mw=rng.uniform(0, 0.1, n_bus), q_mvar=rng.uniform(-0.02, 0.05, n_bus),
            z_share=rng.choice([0.0, 0.4], n_bus), i_share=rng.choice([0.0, 0.5], n_bus),
        ),
        sources=Sources(id=["s0", "s1"], bus=[order[0], order[1]], vm_pu=[1.02, 0.99], va_deg=[0.0, 5.0]),
    )  # fmt: skip


def with_load_factor(grid: Grid, factor: float) -> Grid:
    """The same grid with all loads scaled."""
    loads = grid.loads
    return grid.with_tables(
        loads=loads.with_columns(p_mw=loads.p_mw * factor, q_mvar=loads.q_mvar * factor)
    )


def with_switches_everywhere(grid: Grid) -> Grid:
    """The same grid with a closed switch at both ends of every line and transformer, and two open ties more."""
    n_bus, lines, old = len(grid.buses), grid.lines, grid.switches
    more = {
        name: np.append(getattr(lines, name), getattr(lines, name)[:2])
        for name in lines.column_names()
    }
    more |= {"id": [*lines.id, "tie a", "tie b"]}
    more["from_bus"][-2:], more["to_bus"][-2:] = [0, n_bus // 2], [n_bus - 1, n_bus // 3]
    lines = Lines(**more)
    bus, kind, element = list(old.bus), list(old.element_kind), list(old.element)
    for name, table, ends in (
        ("line", lines, ("from_bus", "to_bus")),
        ("transformer", grid.transformers, ("hv_bus", "lv_bus")),
    ):
        for row in range(len(table)):
            bus += [int(getattr(table, end)[row]) for end in ends]
            kind += [name] * 2
            element += [row] * 2
    closed = np.ones(len(bus), dtype=bool)
    closed[: len(old)] = old.closed
    is_new_tie = np.array(
        [k == "line" and e >= len(lines) - 2 for k, e in zip(kind, element, strict=True)]
    )
    closed[is_new_tie] = False
    switches = Switches(
        id=[f"w{k}" for k in range(len(bus))],
        bus=bus,
        element_kind=kind,
        element=element,
        closed=closed,
    )
    return grid.with_tables(lines=lines, switches=switches)
