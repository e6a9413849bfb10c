"""Lines, transformers and other two-ended elements of a pandapower net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gridloom.grid.model import Branches, Generators, Lines, Shunts, Transformers, Transformers3w
from gridloom.grid.pandapower_frames import Columns, columns_of
from gridloom.grid.tables import texts

if TYPE_CHECKING:
    import pandas as pd

    from gridloom.grid.report import LossLog
    from gridloom.grid.tables import Flags, Floats, Texts


@dataclass(frozen=True, slots=True)
class ExtraBranches:
    """Impedances and extended wards, with what they need besides the branch itself."""

    branches: Branches
    aux_buses: list[tuple[str, int]]
    """Inner buses: id and the row of the bus whose rated voltage they share."""
    generators: Generators
    shunts: Shunts


def lines_of(net: Any, index: pd.Index[Any], log: LossLog) -> Lines:  # noqa: ANN401 - pandapower nets carry no types
    """Return the lines of a pandapower net; parallel systems are contained in the impedance."""
    line = columns_of(net, "line")
    if not len(line):
        return Lines.empty()
    km, parallel = line.floats("length_km"), line.floats("parallel", 1.0)
    if line.flags("tdpf", default=False).any():
        log.add("line", "*", "temperature", "resistances stay at the reference temperature")
    _note_loading_limits(line, log)
    us_per_nf = 2.0 * np.pi * float(net.get("f_hz", 50.0)) * 1e-3
    return Lines(
        id=line.ids(),
        from_bus=line.rows("from_bus", index, "bus"),
        to_bus=line.rows("to_bus", index, "bus"),
        r_ohm=line.floats("r_ohm_per_km") * km / parallel,
        x_ohm=line.floats("x_ohm_per_km") * km / parallel,
        b_us=line.floats("c_nf_per_km", 0.0) * us_per_nf * km * parallel,
        g_us=line.floats("g_us_per_km", 0.0) * km * parallel,
        r0_ohm=line.floats("r0_ohm_per_km") * km / parallel,
        x0_ohm=line.floats("x0_ohm_per_km") * km / parallel,
        b0_us=line.floats("c0_nf_per_km") * us_per_nf * km * parallel,
        rated_ka=line.floats("max_i_ka") * line.floats("df", 1.0) * parallel,
        length_km=km,
        parallel=parallel.astype(np.int64),
        kind=texts("overhead" if kind == "ol" else "cable" for kind in line.texts("type").tolist()),
        type=line.texts("std_type"),
        in_service=line.flags("in_service", default=True),
    )


def _note_loading_limits(table: Columns, log: LossLog) -> None:
    limit_pct = table.floats("max_loading_percent", 100.0)
    for value in np.unique(limit_pct[limit_pct != 100.0]).tolist():
        named = table.ids()[limit_pct == value].tolist()
        words = f"may be loaded to {value:g} % of the rating in the source; here the limit is the rating itself"
        log.add(
            table.name,
            ", ".join(named[:5]) + (", ..." if len(named) > 5 else ""),
            "loading limit",
            words,
        )


def transformers_of(net: Any, index: pd.Index[Any], log: LossLog) -> Transformers:  # noqa: ANN401 - as above
    """Return the two-winding transformers; what pandapower's tap changers do is kept, see `_taps`."""
    trafo = columns_of(net, "trafo")
    if not len(trafo):
        return Transformers.empty()
    ids = trafo.ids()
    taps = _taps(trafo, ids, log)
    _note_loading_limits(trafo, log)
    df = trafo.floats("df", 1.0)
    for row in np.flatnonzero(df != 1.0).tolist():
        words = f"its loading was judged against {df[row]:g} times its rated power; here against the rated power"
        log.add("trafo", ids[row], "rating factor", words)
    for side in ("resistance", "reactance"):
        ratio = trafo.floats(f"leakage_{side}_ratio_hv", 0.5)
        for row in np.flatnonzero(ratio != 0.5).tolist():
            words = f"{ratio[row]:.2f} of the leakage {side} lay on the high side; here it is not divided"
            log.add("trafo", ids[row], f"leakage {side}", words)
    if ((trafo.floats("i0_percent", 0.0) > 0.0) | (trafo.floats("pfe_kw", 0.0) > 0.0)).any():
        words = (
            "pandapower splits the impedance around the magnetising branch (T), here the magnetising branch is "
            "split around the impedance (pi), as in power-grid-model; voltages differ by some 1e-6 pu"
        )
        log.add("trafo", "*", "equivalent circuit", words)
    for column in ("vk0_percent", "mag0_percent"):
        if trafo.has(column) and np.isfinite(trafo.floats(column)).any():
            log.add(
                "trafo",
                "*",
                column,
                "zero-sequence data are not carried; only balanced studies are possible",
            )
    return Transformers(
        id=ids,
        hv_bus=trafo.rows("hv_bus", index, "bus"),
        lv_bus=trafo.rows("lv_bus", index, "bus"),
        sn_mva=trafo.floats("sn_mva"),
        vn_hv_kv=taps.vn_hv_kv,
        vn_lv_kv=taps.vn_lv_kv,
        vk_pct=trafo.floats("vk_percent"),
        vkr_pct=trafo.floats("vkr_percent"),
        pfe_kw=trafo.floats("pfe_kw", 0.0),
        i0_pct=trafo.floats("i0_percent", 0.0),
        shift_deg=taps.shift_deg,
        tap_side=taps.side,
        tap_pos=taps.pos,
        tap_neutral=taps.neutral,
        tap_min=trafo.floats("tap_min", 0.0),
        tap_max=trafo.floats("tap_max", 0.0),
        tap_step_pct=taps.step_pct,
        tap_step_deg=taps.step_deg,
        tap_set_point_pu=np.where(
            trafo.texts("autoTapSide") == "lv", trafo.floats("autoTapSetp"), np.nan
        ),
        vector_group=trafo.texts("vector_group"),
        parallel=trafo.floats("parallel", 1.0).astype(np.int64),
        type=trafo.texts("std_type"),
        in_service=trafo.flags("in_service", default=True),
    )


@dataclass(frozen=True, slots=True)
class _Taps:
    """Tap columns as `Transformers` knows them."""

    vn_hv_kv: Floats
    vn_lv_kv: Floats
    shift_deg: Floats
    side: Texts
    pos: Floats
    neutral: Floats
    step_pct: Floats
    step_deg: Floats


def _taps(trafo: Columns, ids: Texts, log: LossLog) -> _Taps:
    """Return the taps with the effect that pandapower gives them.

    pandapower knows changers of type `Ratio` and `Symmetrical` (a voltage added at an angle), `Ideal` (a pure shift)
    and none; one without a type does nothing. Those that are pure ratio or pure shift stay changers here. The others
    are frozen: their effect at the present position goes into the rated voltages and the shift.
    """
    side = np.where(trafo.texts("tap_side") == "lv", "lv", "hv").astype(object)
    neutral = trafo.floats("tap_neutral", 0.0)
    pos = trafo.floats("tap_pos")
    pos = np.where(np.isnan(pos), neutral, pos)
    step_pct, step_deg = trafo.floats("tap_step_percent", 0.0), trafo.floats("tap_step_degree", 0.0)
    typed = trafo.has("tap_changer_type")
    changer = (
        trafo.texts("tap_changer_type") if typed else np.full(len(trafo), "Ratio", dtype=object)
    )
    added = (changer == "Ratio") | (changer == "Symmetrical")
    ideal = changer == "Ideal"
    dead = ~added & ~ideal
    for row in np.flatnonzero(dead & (pos != neutral) & (step_pct != 0.0)).tolist():
        words = (
            f"stands at {pos[row]:g} ({(pos[row] - neutral[row]) * step_pct[row]:+g} % on the {side[row]} side), but "
            f"its changer has no type and pandapower 3 therefore ignores it; taken as {neutral[row]:g} so that "
            f"results agree, set tap_pos to apply it"
        )
        log.add("trafo", ids[row], "tap position", words)
    pos = np.where(dead, neutral, pos)
    frozen = (added & (step_deg != 0.0) & (step_pct != 0.0)) | (
        ideal & (step_deg == 0.0) & (step_pct != 0.0)
    )
    hv, lv, shift = (
        trafo.floats("vn_hv_kv"),
        trafo.floats("vn_lv_kv"),
        trafo.floats("shift_degree", 0.0),
    )
    _freeze(hv, lv, shift, side, np.where(frozen, pos - neutral, 0.0), (step_pct, step_deg), ideal)
    for row in np.flatnonzero(frozen).tolist():
        words = f"it turns the voltage at an angle; frozen at position {pos[row]:g}, its effect kept in ratio and shift"
        log.add("trafo", ids[row], "tap changer", words)
    if trafo.has("tap2_pos"):
        _freeze_second(trafo, hv, lv, shift, ids, log)
    for row in np.flatnonzero(trafo.flags("tap_dependency_table", default=False)).tolist():
        log.add(
            "trafo",
            ids[row],
            "tap table",
            "ratio and impedance by table are not carried; the nominal ones are used",
        )
    return _Taps(
        vn_hv_kv=hv,
        vn_lv_kv=lv,
        shift_deg=shift,
        side=side,
        pos=np.where(frozen, 0.0, pos),
        neutral=np.where(frozen, 0.0, neutral),
        step_pct=np.where(frozen | ideal, 0.0, step_pct),
        step_deg=np.where(frozen | ~ideal, 0.0, step_deg),
    )


def _freeze(
    hv: Floats,
    lv: Floats,
    shift: Floats,
    side: Texts,
    steps: Floats,
    step: tuple[Floats, Floats],
    ideal: Flags,
) -> None:
    """Put the effect of `steps` into rated voltages and shift, in place, as pandapower computes it."""
    step_pct, step_deg = step
    for vn, name, sign in ((hv, "hv", 1.0), (lv, "lv", -1.0)):
        at = (side == name) & (steps != 0.0)
        pure = at & ideal
        half = np.clip(steps * step_pct / 200.0, -1.0, 1.0)
        shift[pure] += sign * 2.0 * np.rad2deg(np.arcsin(half[pure]))
        turned = at & ~ideal
        added = (vn * steps * step_pct / 100.0) * np.exp(1j * np.deg2rad(step_deg))
        shift[turned] += sign * np.rad2deg(np.arctan(added.imag / (vn + added.real)))[turned]
        vn[turned] = np.abs(vn + added)[turned]


def _freeze_second(
    trafo: Columns, hv: Floats, lv: Floats, shift: Floats, ids: Texts, log: LossLog
) -> None:
    steps = trafo.floats("tap2_pos") - trafo.floats("tap2_neutral", 0.0)
    changer = trafo.texts("tap2_changer_type")
    active = (
        np.isin(changer, ["Ratio", "Symmetrical", "Ideal"]) & np.isfinite(steps) & (steps != 0.0)
    )
    if not active.any():
        return
    step = (trafo.floats("tap2_step_percent", 0.0), trafo.floats("tap2_step_degree", 0.0))
    side = np.where(trafo.texts("tap2_side") == "lv", "lv", "hv").astype(object)
    ideal = changer == "Ideal"
    by_angle = ideal & (step[1] != 0.0)
    shift[active & by_angle] += (
        np.where(side == "hv", 1.0, -1.0)[active & by_angle] * (steps * step[1])[active & by_angle]
    )
    _freeze(hv, lv, shift, side, np.where(active & ~by_angle, steps, 0.0), step, ideal)
    for row in np.flatnonzero(active).tolist():
        log.add(
            "trafo",
            ids[row],
            "second tap changer",
            "frozen at its position, its effect kept in ratio and shift",
        )


def transformers3w_of(net: Any, index: pd.Index[Any], log: LossLog) -> Transformers3w:  # noqa: ANN401 - as above
    """Return the three-winding transformers."""
    trafo = columns_of(net, "trafo3w")
    if not len(trafo):
        return Transformers3w.empty()
    ids = trafo.ids()
    neutral = trafo.floats("tap_neutral", 0.0)
    pos = trafo.floats("tap_pos")
    pos = np.where(np.isnan(pos), neutral, pos)
    changer = trafo.texts("tap_changer_type")
    works = (
        np.isin(changer, ["Ratio", "Symmetrical"])
        if trafo.has("tap_changer_type")
        else np.full(len(trafo), fill_value=True)
    )
    turned = works & (trafo.floats("tap_step_degree", 0.0) != 0.0)
    star = trafo.flags("tap_at_star_point", default=False)
    for row in np.flatnonzero((pos != neutral) & (~works | turned | star)).tolist():
        words = f"its changer ({changer[row] or 'without a type'}) is not carried; taken at its neutral position"
        log.add("trafo3w", ids[row], "tap position", words)
    works = works & ~turned & ~star
    numbers: dict[str, Any] = {
        f"{ours}_{side}_{unit}": trafo.floats(f"{theirs}_{side}_{their_unit}")
        for ours, unit, theirs, their_unit in (
            ("sn", "mva", "sn", "mva"),
            ("vn", "kv", "vn", "kv"),
            ("vk", "pct", "vk", "percent"),
            ("vkr", "pct", "vkr", "percent"),
        )
        for side in ("hv", "mv", "lv")
    }
    return Transformers3w(
        id=ids,
        hv_bus=trafo.rows("hv_bus", index, "bus"),
        mv_bus=trafo.rows("mv_bus", index, "bus"),
        lv_bus=trafo.rows("lv_bus", index, "bus"),
        **numbers,
        pfe_kw=trafo.floats("pfe_kw", 0.0),
        i0_pct=trafo.floats("i0_percent", 0.0),
        shift_mv_deg=trafo.floats("shift_mv_degree", 0.0),
        shift_lv_deg=trafo.floats("shift_lv_degree", 0.0),
        tap_side=np.where(trafo.texts("tap_side") == "", "hv", trafo.texts("tap_side")).astype(
            object
        ),
        tap_pos=np.where(works, pos, neutral),
        tap_neutral=neutral,
        tap_min=trafo.floats("tap_min", 0.0),
        tap_max=trafo.floats("tap_max", 0.0),
        tap_step_pct=trafo.floats("tap_step_percent", 0.0),
        in_service=trafo.flags("in_service", default=True),
    )


def branches_of(net: Any, index: pd.Index[Any], vn_kv: Floats, log: LossLog) -> ExtraBranches:  # noqa: ANN401 - as above
    """Return impedances and the inner impedances of extended wards as general branches."""
    impedance, xward = columns_of(net, "impedance"), columns_of(net, "xward")
    branches, shunts = _impedances(impedance, index, log)
    if not len(xward):
        return ExtraBranches(branches, [], Generators.empty(), shunts)
    bus = xward.rows("bus", index, "bus")
    ids = texts(f"xward:{id_}" for id_ in xward.ids().tolist())
    inner = len(index) + np.arange(len(xward))
    in_service = xward.flags("in_service", default=True)
    base_ohm = vn_kv[bus] ** 2
    ward = Branches(
        id=ids,
        from_bus=bus,
        to_bus=inner,
        r_pu=xward.floats("r_ohm") / base_ohm,
        x_pu=xward.floats("x_ohm") / base_ohm,
        base_mva=np.ones(len(ids)),
        in_service=in_service,
    )
    joined = {
        name: np.concatenate([getattr(branches, name), getattr(ward, name)])
        for name in Branches.column_names()
    }
    machines = Generators(
        id=ids,
        bus=inner,
        p_mw=np.zeros(len(ids)),
        vm_pu=xward.floats("vm_pu", 1.0),
        in_service=in_service,
    )
    log.add(
        "xward",
        "*",
        "form",
        f"{len(ids)} extended wards became a load, a shunt and a voltage behind an impedance",
    )
    return ExtraBranches(
        Branches(**joined),
        [(id_, int(row)) for id_, row in zip(ids, bus, strict=True)],
        machines,
        shunts,
    )


def _impedances(table: Columns, index: pd.Index[Any], log: LossLog) -> tuple[Branches, Shunts]:
    if not len(table):
        return Branches.empty(), Shunts.empty()
    ids, sn_mva = table.ids(), table.floats("sn_mva", 1.0)
    r, x = table.floats("rft_pu"), table.floats("xft_pu")
    for row in np.flatnonzero(
        (r != table.floats("rtf_pu")) | (x != table.floats("xtf_pu"))
    ).tolist():
        words = (
            "its impedance differs by direction; the one seen from the first bus is used both ways"
        )
        log.add("impedance", ids[row], "direction", words)
    g_from, b_from, g_to, b_to = (
        table.floats(f"{part}_pu", 0.0) * sn_mva for part in ("gf", "bf", "gt", "bt")
    )
    to_bus = table.rows("to_bus", index, "bus")
    in_service = table.flags("in_service", default=True)
    branches = Branches(
        id=ids,
        from_bus=table.rows("from_bus", index, "bus"),
        to_bus=to_bus,
        r_pu=r,
        x_pu=x,
        g_pu=2.0 * g_from / sn_mva,
        b_pu=2.0 * b_from / sn_mva,
        base_mva=sn_mva,
        rated_mva=sn_mva,
        in_service=in_service,
    )
    uneven = (g_from != g_to) | (b_from != b_to)
    for id_ in ids[uneven].tolist():
        log.add(
            "impedance",
            id_,
            "uneven shunts",
            "the difference between its ends became a shunt at the second bus",
        )
    shunts = Shunts(
        id=texts(f"impedance:{id_}" for id_ in ids[uneven].tolist()),
        bus=to_bus[uneven],
        p_mw=(g_to - g_from)[uneven],
        q_mvar=-(b_to - b_from)[uneven],
        in_service=in_service[uneven],
    )
    return branches, shunts
