"""From a `Grid` to a pandapower net, with what could not be carried.

The net is built so that pandapower's power flow on it equals the one on the grid; `gridloom_id` keeps the ids where
pandapower's names would not.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from gridloom.core.units import SQRT3
from gridloom.grid.report import LossLog, LossReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gridloom.grid.model import Branches, Grid

_SWITCH_TYPES = {
    "breaker": "CB",
    "load_break_switch": "LBS",
    "disconnector": "DS",
    "fuse": "FUSE",
}
_ELEMENT_TYPES = {"bus": "b", "line": "l", "transformer": "t", "transformer3w": "t3"}


def to_pandapower(grid: Grid) -> tuple[Any, LossReport]:
    """Return `grid` as a pandapower net, and what was lost.

    Rows keep their order, so row n of a table is index n in the net (general branches become impedances, or
    transformers where they have a ratio or a shift; generators with a held voltage come in `gen`, others in `sgen`).
    """
    import pandapower as pp

    log = LossLog(f"to pandapower: {grid.name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = pp.create_empty_network(name=grid.name, f_hz=grid.frequency_hz, sn_mva=1.0)
        _fill(net, "bus", len(grid.buses), _buses(grid))
        _fill(net, "line", len(grid.lines), _lines(grid))
        _fill(net, "trafo", len(grid.transformers), _transformers(grid))
        _fill(net, "trafo3w", len(grid.transformers3w), _transformers3w(grid))
        _add_branches(net, grid, log)
        _add_switches(net, grid, log)
        _add_devices(net, grid)
    _note_losses(grid, log)
    return net, log.report()


def _fill(net: Any, name: str, n: int, columns: Mapping[str, object]) -> None:  # noqa: ANN401 - pandapower nets carry no types
    """Append `n` rows to a net's table, keeping the types that pandapower gave its columns."""
    import pandas as pd

    if not n:
        return
    table = net[name]
    start = len(table)
    frame = pd.DataFrame(columns, index=range(start, start + n))
    for column in table.columns:
        if column not in frame:
            frame[column] = pd.array([None] * n, dtype=object)
        if table[column].dtype == np.bool_ or table[column].dtype.kind in "iuf":
            missing = frame[column].isna().any()
            if not (missing and table[column].dtype.kind != "f"):
                frame[column] = frame[column].astype(table[column].dtype)
    net[name] = frame if not start else pd.concat([table, frame])


def _buses(grid: Grid) -> dict[str, object]:
    buses = grid.buses
    kinds = {"busbar": "b", "auxiliary": "auxiliary"}
    geo = [
        f'{{"type":"Point", "coordinates":[{x}, {y}]}}'
        if np.isfinite(x) and np.isfinite(y)
        else None
        for x, y in zip(buses.longitude_deg, buses.latitude_deg, strict=True)
    ]
    return {
        "name": buses.id,
        "vn_kv": buses.vn_kv,
        "type": [kinds.get(kind, "n") for kind in buses.kind.tolist()],
        "zone": [grid.cell_path(row) for row in buses.cell.tolist()],
        "in_service": buses.in_service,
        "geo": geo,
        "min_vm_pu": buses.v_min_pu,
        "max_vm_pu": buses.v_max_pu,
    }


def _lines(grid: Grid) -> dict[str, object]:
    lines = grid.lines
    km = np.where(np.isfinite(lines.length_km) & (lines.length_km > 0.0), lines.length_km, 1.0)
    nf_per_us = 1e3 / (2.0 * np.pi * grid.frequency_hz)
    columns: dict[str, object] = {
        "name": lines.id,
        "std_type": np.where(lines.type == "", None, lines.type),  # type: ignore[call-overload]  # None is an object
        "from_bus": lines.from_bus,
        "to_bus": lines.to_bus,
        "length_km": km,
        "r_ohm_per_km": lines.r_ohm / km * lines.parallel,
        "x_ohm_per_km": lines.x_ohm / km * lines.parallel,
        "c_nf_per_km": lines.b_us * nf_per_us / km / lines.parallel,
        "g_us_per_km": lines.g_us / km / lines.parallel,
        "max_i_ka": lines.rated_ka / lines.parallel,
        "df": np.ones(len(lines)),
        "parallel": lines.parallel,
        "type": np.where(lines.kind == "overhead", "ol", "cs"),
        "in_service": lines.in_service,
    }
    if np.isfinite(lines.r0_ohm).any():
        columns["r0_ohm_per_km"] = lines.r0_ohm / km * lines.parallel
        columns["x0_ohm_per_km"] = lines.x0_ohm / km * lines.parallel
        columns["c0_nf_per_km"] = lines.b0_us * nf_per_us / km / lines.parallel
    return columns


def _transformers(grid: Grid) -> dict[str, object]:
    trafos = grid.transformers
    by_angle = trafos.tap_step_deg != 0.0
    return {
        "name": trafos.id,
        "std_type": np.where(trafos.type == "", None, trafos.type),  # type: ignore[call-overload]  # as above
        "hv_bus": trafos.hv_bus,
        "lv_bus": trafos.lv_bus,
        "sn_mva": trafos.sn_mva,
        "vn_hv_kv": trafos.vn_hv_kv,
        "vn_lv_kv": trafos.vn_lv_kv,
        "vk_percent": trafos.vk_pct,
        "vkr_percent": trafos.vkr_pct,
        "pfe_kw": trafos.pfe_kw,
        "i0_percent": trafos.i0_pct,
        "shift_degree": trafos.shift_deg,
        "tap_side": trafos.tap_side,
        "tap_neutral": trafos.tap_neutral,
        "tap_min": trafos.tap_min,
        "tap_max": trafos.tap_max,
        "tap_step_percent": np.where(by_angle, np.nan, trafos.tap_step_pct),
        "tap_step_degree": trafos.tap_step_deg,
        "tap_pos": trafos.tap_pos,
        "tap_changer_type": np.where(by_angle, "Ideal", "Ratio"),
        "tap_dependency_table": np.zeros(len(trafos), dtype=np.bool_),
        "parallel": trafos.parallel,
        "df": np.ones(len(trafos)),
        "vector_group": np.where(trafos.vector_group == "", None, trafos.vector_group),  # type: ignore[call-overload]  # as above
        "in_service": trafos.in_service,
    }


def _transformers3w(grid: Grid) -> dict[str, object]:
    trafos = grid.transformers3w
    columns: dict[str, object] = {
        "name": trafos.id,
        "pfe_kw": trafos.pfe_kw,
        "i0_percent": trafos.i0_pct,
        "shift_mv_degree": trafos.shift_mv_deg,
        "shift_lv_degree": trafos.shift_lv_deg,
        "tap_side": trafos.tap_side,
        "tap_neutral": trafos.tap_neutral,
        "tap_min": trafos.tap_min,
        "tap_max": trafos.tap_max,
        "tap_step_percent": trafos.tap_step_pct,
        "tap_step_degree": np.zeros(len(trafos)),
        "tap_pos": trafos.tap_pos,
        "tap_changer_type": np.full(len(trafos), "Ratio", dtype=object),
        "tap_at_star_point": np.zeros(len(trafos), dtype=np.bool_),
        "tap_dependency_table": np.zeros(len(trafos), dtype=np.bool_),
        "in_service": trafos.in_service,
    }
    for side in ("hv", "mv", "lv"):
        columns[f"{side}_bus"] = getattr(trafos, f"{side}_bus")
        columns[f"sn_{side}_mva"] = getattr(trafos, f"sn_{side}_mva")
        columns[f"vn_{side}_kv"] = getattr(trafos, f"vn_{side}_kv")
        columns[f"vk_{side}_percent"] = getattr(trafos, f"vk_{side}_pct")
        columns[f"vkr_{side}_percent"] = getattr(trafos, f"vkr_{side}_pct")
    return columns


def _add_branches(net: Any, grid: Grid, log: LossLog) -> None:  # noqa: ANN401 - as above
    branches = grid.branches
    vn_from, vn_to = grid.buses.vn_kv[branches.from_bus], grid.buses.vn_kv[branches.to_bus]
    plain = (branches.ratio == 1.0) & (branches.shift_deg == 0.0)
    _fill(net, "impedance", int(plain.sum()), _impedances(branches, plain))
    turned = ~plain
    if not turned.any():
        return
    # A pi section of conductance and susceptance behind a ratio: pandapower's magnetising branch can only consume,
    # so a charging susceptance stays at the two buses.
    columns = _as_transformers(branches, turned, vn_from, vn_to)
    _fill(net, "trafo", int(turned.sum()), columns)
    charged = turned & ((branches.b_pu != 0.0) | (branches.g_pu != 0.0))
    for row in np.flatnonzero(charged).tolist():
        _add_charging(net, branches, row)
    if charged.any():
        words = f"{int(charged.sum())} transformers have charging; it became shunts, which stay when one is opened"
        log.add("branch", "*", "charging", words)


def _impedances(branches: Branches, at: NDArray[np.bool_]) -> dict[str, object]:
    r, x = branches.r_pu[at], branches.x_pu[at]
    columns: dict[str, object] = {
        "name": branches.id[at],
        "from_bus": branches.from_bus[at],
        "to_bus": branches.to_bus[at],
        "rft_pu": r,
        "xft_pu": x,
        "rtf_pu": r,
        "xtf_pu": x,
        "sn_mva": branches.base_mva[at],
        "in_service": branches.in_service[at],
    }
    for end in "ft":
        columns[f"g{end}_pu"] = branches.g_pu[at] / 2.0
        columns[f"b{end}_pu"] = branches.b_pu[at] / 2.0
    return columns


def _as_transformers(
    branches: Branches,
    at: NDArray[np.bool_],
    vn_from: NDArray[np.float64],
    vn_to: NDArray[np.float64],
) -> dict[str, object]:
    r, x, base_mva = branches.r_pu[at], branches.x_pu[at], branches.base_mva[at]
    n = int(at.sum())
    zeros = np.zeros(n)
    return {
        "name": branches.id[at],
        "hv_bus": branches.from_bus[at],
        "lv_bus": branches.to_bus[at],
        "sn_mva": base_mva,
        "vn_hv_kv": (vn_from * branches.ratio)[at],
        "vn_lv_kv": vn_to[at],
        # A negative reactance (series capacitor) is carried by the sign of the short-circuit voltage.
        "vk_percent": np.where(x < 0.0, -1.0, 1.0) * np.hypot(r, x) * 100.0,
        "vkr_percent": r * 100.0,
        "pfe_kw": zeros,
        "i0_percent": zeros,
        "shift_degree": branches.shift_deg[at],
        "tap_side": np.full(n, "hv", dtype=object),
        "tap_neutral": zeros,
        "tap_pos": zeros,
        "tap_step_percent": zeros,
        "tap_step_degree": zeros,
        "tap_min": zeros,
        "tap_max": zeros,
        "tap_changer_type": np.full(n, "Ratio", dtype=object),
        "tap_dependency_table": np.zeros(n, dtype=np.bool_),
        "parallel": np.ones(n, dtype=np.int64),
        "df": np.ones(n),
        "in_service": branches.in_service[at],
    }


def _add_charging(net: Any, branches: Branches, row: int) -> None:  # noqa: ANN401 - as above
    import pandapower as pp

    half_mva = branches.base_mva[row] / 2.0
    p_mw, q_mvar = branches.g_pu[row] * half_mva, -branches.b_pu[row] * half_mva
    # The section sits behind the ratio, so the near half is seen through it.
    for bus, factor in (
        (branches.from_bus[row], 1.0 / branches.ratio[row] ** 2),
        (branches.to_bus[row], 1.0),
    ):
        pp.create_shunt(
            net,
            int(bus),
            p_mw=p_mw * factor,
            q_mvar=q_mvar * factor,
            name=f"branch:{branches.id[row]}:{bus}",
            in_service=bool(branches.in_service[row]),
        )


def _add_switches(net: Any, grid: Grid, log: LossLog) -> None:  # noqa: ANN401 - as above
    switches = grid.switches
    known = np.isin(switches.element_kind.astype(str), list(_ELEMENT_TYPES))
    for row in np.flatnonzero(~known).tolist():
        words = (
            "pandapower has no switch at a general branch; the branch follows its position instead"
        )
        log.add("switch", switches.id[row], "place", words)
        if not (switches.closed[row] and switches.in_service[row]):
            _open_branch(net, grid, int(switches.element[row]))
    at = switches.take(known)
    columns = {
        "name": at.id,
        "bus": at.bus,
        "element": at.element,
        "et": [_ELEMENT_TYPES[kind] for kind in at.element_kind.tolist()],
        "type": [_SWITCH_TYPES.get(kind, "LBS") for kind in at.kind.tolist()],
        "closed": at.closed & at.in_service,
        "z_ohm": np.zeros(len(at)),
        "in_ka": at.rated_ka,
    }
    _fill(net, "switch", len(at), columns)


def _open_branch(net: Any, grid: Grid, row: int) -> None:  # noqa: ANN401 - as above
    id_ = grid.branches.id[row]
    for name in ("impedance", "trafo"):
        table = net[name]
        found = table.index[table.name == id_] if len(table) else []
        if name == "trafo":
            found = [index for index in found if index >= len(grid.transformers)]
        table.loc[found, "in_service"] = False


def _add_devices(net: Any, grid: Grid) -> None:  # noqa: ANN401 - as above
    loads, units, storages = grid.loads, grid.generators, grid.storages
    shares = {
        f"const_{model}_{power}_percent": 100.0 * getattr(loads, f"{model}_share")
        for model in "zi"
        for power in "pq"
    }
    columns: dict[str, object] = {
        "name": loads.id,
        "bus": loads.bus,
        "p_mw": loads.p_mw,
        "q_mvar": loads.q_mvar,
        "scaling": np.ones(len(loads)),
        "in_service": loads.in_service,
        "profile": loads.profile,
        **shares,
    }
    _fill(net, "load", len(loads), columns)
    holds = np.isfinite(units.vm_pu)
    for name, at in (("gen", holds), ("sgen", ~holds)):
        some = units.take(at)
        own: dict[str, object] = {
            "name": some.id,
            "bus": some.bus,
            "p_mw": some.p_mw,
            "sn_mva": some.sn_mva,
            "scaling": np.ones(len(some)),
            "in_service": some.in_service,
            "type": some.kind,
            "min_q_mvar": some.q_min_mvar,
            "max_q_mvar": some.q_max_mvar,
        }
        own |= {"vm_pu": some.vm_pu, "slack": np.zeros(len(some), dtype=np.bool_)} if name == "gen" else {
            "q_mvar": some.q_mvar,
            "current_source": np.ones(len(some), dtype=np.bool_),
        }  # fmt: skip
        _fill(net, name, len(some), own)
    columns = {
        "name": storages.id,
        "bus": storages.bus,
        "p_mw": -storages.p_mw,
        "q_mvar": -storages.q_mvar,
        "sn_mva": storages.sn_mva,
        "soc_percent": storages.soc_pct,
        "min_e_mwh": np.zeros(len(storages)),
        "max_e_mwh": storages.capacity_mwh,
        "scaling": np.ones(len(storages)),
        "in_service": storages.in_service,
    }
    _fill(net, "storage", len(storages), columns)
    columns = {
        "name": grid.shunts.id,
        "bus": grid.shunts.bus,
        "p_mw": grid.shunts.p_mw,
        "q_mvar": grid.shunts.q_mvar,
        "vn_kv": grid.buses.vn_kv[grid.shunts.bus],
        "step": np.ones(len(grid.shunts), dtype=np.int64),
        "max_step": np.ones(len(grid.shunts), dtype=np.int64),
        "step_dependency_table": np.zeros(len(grid.shunts), dtype=np.bool_),
        "in_service": grid.shunts.in_service,
    }
    _fill(net, "shunt", len(grid.shunts), columns)
    columns = {
        "name": grid.sources.id,
        "bus": grid.sources.bus,
        "vm_pu": grid.sources.vm_pu,
        "va_degree": grid.sources.va_deg,
        "slack_weight": np.ones(len(grid.sources)),
        "in_service": grid.sources.in_service,
    }
    if np.isfinite(grid.sources.sk_mva).any():
        columns |= {"s_sc_max_mva": grid.sources.sk_mva, "rx_max": grid.sources.rx}
    _fill(net, "ext_grid", len(grid.sources), columns)


def _note_losses(grid: Grid, log: LossLog) -> None:
    unrated = ~np.isfinite(grid.lines.rated_ka)
    if unrated.any():
        words = f"{int(unrated.sum())} lines have none; pandapower shows no loading for them"
        log.add("line", "*", "current limit", words)
    if (grid.loads.customers > 1).any() or (grid.loads.priority != 5).any():
        log.add("load", "*", "customers and priority", "pandapower has no column for them")
    if np.isfinite(grid.transformers.tap_set_point_pu).any():
        log.add(
            "transformer",
            "*",
            "voltage set point",
            "a tap changer's set point needs a controller in pandapower",
        )
    if grid.switches.is_remote.any():
        log.add(
            "switch",
            "*",
            "remote control",
            "pandapower does not tell remote switches from those worked by hand",
        )
    turned = (grid.branches.ratio != 1.0) | (grid.branches.shift_deg != 0.0)
    rated = np.isfinite(grid.branches.rated_mva) & turned
    if rated.any():
        words = f"{int(rated.sum())} transformers in per unit keep the file's base as rated power"
        log.add("branch", "*", "rating", words)


def rated_mva_of_lines(grid: Grid) -> NDArray[np.float64]:
    """Return the rating of each line as apparent power at rated voltage, shape (line,) [MVA]."""
    rated: NDArray[np.float64] = SQRT3 * grid.buses.vn_kv[grid.lines.from_bus] * grid.lines.rated_ka
    return rated
