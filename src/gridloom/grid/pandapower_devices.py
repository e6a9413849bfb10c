"""Everything at a bus of a pandapower net: loads, generation, storage, shunts, sources.

Signs: pandapower counts loads, shunts and storages as consumption, `sgen` and `gen` as generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gridloom.grid.model import Generators, Loads, Shunts, Sources, Storages
from gridloom.grid.pandapower_frames import Columns, columns_of, unique_ids
from gridloom.grid.tables import texts

if TYPE_CHECKING:
    import pandas as pd

    from gridloom.grid.report import LossLog
    from gridloom.grid.tables import Flags, Floats, Rows, Texts

KW_PER_CUSTOMER = 4.0
"""A load that stands for many counts one customer per 4 kW: SimBench's 11,536 urban low-voltage loads mean 4.1 kW."""
_STAND_INS = ("lv_", "mv_", "hv_")
"""SimBench profiles whose load stands for a whole lower grid."""


@dataclass(frozen=True, slots=True)
class Devices:
    """The tables of what is connected at buses."""

    loads: Loads
    generators: Generators
    storages: Storages
    shunts: Shunts
    sources: Sources


def devices_of(net: Any, bus_index: pd.Index[Any], vn_kv: Floats, log: LossLog) -> Devices:  # noqa: ANN401 - pandapower nets carry no types
    """Return what is connected at the buses of a pandapower net."""
    return Devices(
        loads=_loads(net, bus_index, vn_kv, log),
        generators=_generators(net, bus_index, log),
        storages=_storages(columns_of(net, "storage"), bus_index),
        shunts=_shunts(net, bus_index, vn_kv, log),
        sources=_sources(net, bus_index),
    )


def customers_behind(vn_kv: Floats, p_mw: Floats, profile: Texts) -> Rows:
    """Return how many customers stand behind each load.

    A load below 1 kV is one customer; so is one at a higher voltage with a profile of its own. Any other load above
    1 kV stands for many: one customer per `KW_PER_CUSTOMER`.
    """
    own = np.array(
        [bool(p) and not p.startswith(_STAND_INS) for p in profile.tolist()], dtype=np.bool_
    )
    many = np.maximum(1, np.round(np.abs(p_mw) * 1000.0 / KW_PER_CUSTOMER))
    return np.where((vn_kv < 1.0) | own, 1, np.nan_to_num(many, nan=1.0)).astype(np.int64)


def _loads(net: Any, index: pd.Index[Any], vn_kv: Floats, log: LossLog) -> Loads:  # noqa: ANN401 - as above
    parts = [
        _load_part(columns_of(net, "load"), index, log),
        _ward_part(columns_of(net, "ward"), index),
        _ward_part(columns_of(net, "xward"), index),
        _motor_part(columns_of(net, "motor"), index, log),
        _unbalanced_part(columns_of(net, "asymmetric_load"), index, log),
    ]
    bus = np.concatenate([part.bus for part in parts])
    p_mw = np.concatenate([part.p_mw for part in parts])
    profile = np.concatenate([part.profile for part in parts])
    loads = Loads(
        id=unique_ids([(part.table, part.id) for part in parts]),
        bus=bus,
        p_mw=p_mw,
        q_mvar=np.concatenate([part.q_mvar for part in parts]),
        z_share=np.concatenate([part.z_share for part in parts]),
        i_share=np.concatenate([part.i_share for part in parts]),
        profile=profile,
        customers=customers_behind(vn_kv[bus], p_mw, profile),
        in_service=np.concatenate([part.in_service for part in parts]),
    )
    estimated = (vn_kv[loads.bus] >= 1.0) & (loads.customers > 1)
    if estimated.any():
        words = (
            f"{int(estimated.sum())} loads above 1 kV stand for lower grids; their customers were estimated as one "
            f"per {KW_PER_CUSTOMER:g} kW ({int(loads.customers[estimated].sum())} in all), all others count as one"
        )
        log.add("load", "*", "number of customers", words)
    return loads


@dataclass(frozen=True, slots=True)
class _LoadPart:
    table: str
    id: Texts
    bus: Rows
    p_mw: Floats
    q_mvar: Floats
    z_share: Floats
    i_share: Floats
    profile: Texts
    in_service: Flags


def _plain_part(table: Columns, index: pd.Index[Any], p_mw: Floats, q_mvar: Floats) -> _LoadPart:
    return _LoadPart(
        table=table.name,
        id=table.ids(),
        bus=table.rows("bus", index, "bus"),
        p_mw=p_mw,
        q_mvar=q_mvar,
        z_share=np.zeros(len(table)),
        i_share=np.zeros(len(table)),
        profile=table.texts("profile"),
        in_service=table.flags("in_service", default=True),
    )


def _load_part(load: Columns, index: pd.Index[Any], log: LossLog) -> _LoadPart:
    scaling = load.floats("scaling", 1.0)
    part = _plain_part(
        load, index, load.floats("p_mw") * scaling, load.floats("q_mvar", 0.0) * scaling
    )
    # Before version 3 one share held for both P and Q.
    shares = {
        f"{model}_{power}": load.floats(
            f"const_{model}_{power}_percent"
            if load.has(f"const_{model}_{power}_percent")
            else f"const_{model}_percent",
            0.0,
        )
        / 100.0
        for model in "zi"
        for power in "pq"
    }
    differs = (shares["z_p"] != shares["z_q"]) | (shares["i_p"] != shares["i_q"])
    for row in np.flatnonzero(differs & (part.q_mvar != 0.0)).tolist():
        words = (
            "P and Q depend on voltage in different ways; both now follow the shares given for P"
        )
        log.add("load", part.id[row], "voltage dependence", words)
    _note_averaged_shares(part, shares["z_p"], shares["i_p"], log)
    return _LoadPart(
        part.table,
        part.id,
        part.bus,
        part.p_mw,
        part.q_mvar,
        shares["z_p"],
        shares["i_p"],
        part.profile,
        part.in_service,
    )


def _note_averaged_shares(part: _LoadPart, z: Floats, i: Floats, log: LossLog) -> None:
    if not (z.any() or i.any()):
        return
    for bus in np.unique(part.bus):
        here = (part.bus == bus) & part.in_service
        if np.unique(z[here]).size > 1 or np.unique(i[here]).size > 1:
            words = (
                "loads at one bus depend on voltage differently; pandapower averages their shares by count, "
                "here each load keeps its own, so results differ slightly"
            )
            log.add("load", ", ".join(part.id[here].tolist()), "voltage dependence", words)


def _ward_part(ward: Columns, index: pd.Index[Any]) -> _LoadPart:
    return _plain_part(ward, index, ward.floats("ps_mw", 0.0), ward.floats("qs_mvar", 0.0))


def _motor_part(motor: Columns, index: pd.Index[Any], log: LossLog) -> _LoadPart:
    shaft_mw = motor.floats("pn_mech_mw") * motor.floats("loading_percent", 100.0) / 100.0
    p_mw = (
        shaft_mw
        / (motor.floats("efficiency_percent", 100.0) / 100.0)
        * motor.floats("scaling", 1.0)
    )
    cos_phi = motor.floats("cos_phi", 1.0)
    q_mvar = p_mw * np.tan(np.arccos(np.clip(cos_phi, 0.01, 1.0)))
    if len(motor):
        log.add(
            "motor", "*", "start-up current", f"{len(motor)} motors became loads of constant power"
        )
    return _plain_part(motor, index, p_mw, q_mvar)


def _unbalanced_part(load: Columns, index: pd.Index[Any], log: LossLog) -> _LoadPart:
    p_mw, q_mvar = _sum_of_phases(load)
    if len(load):
        words = f"{len(load)} unbalanced loads became balanced ones of the same sum"
        log.add("asymmetric_load", "*", "phases", words)
    return _plain_part(load, index, p_mw, q_mvar)


def _sum_of_phases(table: Columns) -> tuple[Floats, Floats]:
    scaling = table.floats("scaling", 1.0)
    p_mw = sum((table.floats(f"p_{phase}_mw", 0.0) for phase in "abc"), np.zeros(len(table)))
    q_mvar = sum((table.floats(f"q_{phase}_mvar", 0.0) for phase in "abc"), np.zeros(len(table)))
    return p_mw * scaling, q_mvar * scaling


def _generators(net: Any, index: pd.Index[Any], log: LossLog) -> Generators:  # noqa: ANN401 - as above
    gen = columns_of(net, "gen")
    machine = _generator_part(gen.where(~gen.flags("slack", default=False)), index, is_pv=True)
    static = _generator_part(columns_of(net, "sgen"), index, is_pv=False)
    unbalanced = columns_of(net, "asymmetric_sgen")
    balanced = _generator_part(unbalanced, index, is_pv=False)
    p_mw, q_mvar = _sum_of_phases(unbalanced)
    if len(unbalanced):
        words = f"{len(unbalanced)} unbalanced generators became balanced ones of the same sum"
        log.add("asymmetric_sgen", "*", "phases", words)
    balanced = balanced.with_columns(p_mw=p_mw, q_mvar=q_mvar)
    parts = [
        ("gen", machine),
        ("sgen", static),
        ("asymmetric_sgen", balanced),
        *_direct_current_ends(net, index, log),
    ]
    columns = {
        name: np.concatenate([getattr(part, name) for _, part in parts])
        for name in Generators.column_names()
        if name != "id"
    }
    return Generators(id=unique_ids([(name, part.id) for name, part in parts]), **columns)


def _generator_part(table: Columns, index: pd.Index[Any], *, is_pv: bool) -> Generators:
    scaling = table.floats("scaling", 1.0)
    return Generators(
        id=table.ids(),
        bus=table.rows("bus", index, "bus"),
        p_mw=table.floats("p_mw", 0.0) * scaling,
        q_mvar=np.zeros(len(table)) if is_pv else table.floats("q_mvar", 0.0) * scaling,
        vm_pu=table.floats("vm_pu", 1.0) if is_pv else np.full(len(table), np.nan),
        sn_mva=table.floats("sn_mva"),
        q_min_mvar=table.floats("min_q_mvar"),
        q_max_mvar=table.floats("max_q_mvar"),
        kind=texts(_generator_kind(text) for text in table.texts("type").tolist()),
        profile=table.texts("profile"),
        in_service=table.flags("in_service", default=True),
    )


def _generator_kind(text: str) -> str:
    starts = {
        "pv": "pv",
        "solar": "pv",
        "wind": "wind",
        "wp": "wind",
        "wec": "wind",
        "hydro": "hydro",
        "biomass": "chp",
        "chp": "chp",
        "kwk": "chp",
        "gas": "thermal",
        "coal": "thermal",
        "nuclear": "thermal",
        "lignite": "thermal",
    }
    return next((kind for start, kind in starts.items() if text.lower().startswith(start)), "other")


def _direct_current_ends(
    net: Any,  # noqa: ANN401 - as above
    index: pd.Index[Any],
    log: LossLog,
) -> list[tuple[str, Generators]]:
    """Return a generator for each end of each direct-current line, as pandapower itself treats them."""
    line = columns_of(net, "dcline")
    if not len(line):
        return []
    words = f"{len(line)} direct-current lines became pairs of generators that no longer follow each other"
    log.add("dcline", "*", "coupling of its ends", words)
    sent_mw = np.abs(line.floats("p_mw"))
    arriving_mw = sent_mw * (1.0 - line.floats("loss_percent", 0.0) / 100.0) - line.floats(
        "loss_mw", 0.0
    )
    forward = line.floats("p_mw") > 0.0
    ends = (
        ("from", np.where(forward, -sent_mw, arriving_mw)),
        ("to", np.where(forward, arriving_mw, -sent_mw)),
    )
    return [
        (
            f"dcline_{end}",
            Generators(
                id=texts(f"{id_}:{end}" for id_ in line.ids().tolist()),
                bus=line.rows(f"{end}_bus", index, "bus"),
                p_mw=injection_mw,
                vm_pu=line.floats(f"vm_{end}_pu", 1.0),
                q_min_mvar=line.floats(f"min_q_{end}_mvar"),
                q_max_mvar=line.floats(f"max_q_{end}_mvar"),
                in_service=line.flags("in_service", default=True),
            ),
        )
        for end, injection_mw in ends
    ]


def _storages(table: Columns, index: pd.Index[Any]) -> Storages:
    scaling = table.floats("scaling", 1.0)
    return Storages(
        id=table.ids(),
        bus=table.rows("bus", index, "bus"),
        p_mw=-table.floats("p_mw", 0.0) * scaling,
        q_mvar=-table.floats("q_mvar", 0.0) * scaling,
        sn_mva=table.floats("sn_mva"),
        capacity_mwh=table.floats("max_e_mwh") - table.floats("min_e_mwh", 0.0),
        soc_pct=table.floats("soc_percent", 50.0),
        profile=table.texts("profile"),
        in_service=table.flags("in_service", default=True),
    )


def _shunts(net: Any, index: pd.Index[Any], vn_kv: Floats, log: LossLog) -> Shunts:  # noqa: ANN401 - as above
    shunt = columns_of(net, "shunt")
    bus = shunt.rows("bus", index, "bus")
    own_kv = shunt.floats("vn_kv")
    own_kv = np.where(np.isnan(own_kv), vn_kv[bus], own_kv)
    factor = shunt.floats("step", 1.0) * (vn_kv[bus] / own_kv) ** 2
    stepped = shunt.flags("step_dependency_table", default=False)
    for id_ in shunt.ids()[stepped].tolist():
        log.add("shunt", id_, "step table", "its steps are not linear; they were taken as linear")
    parts = [
        (
            "shunt",
            shunt.ids(),
            bus,
            shunt.floats("p_mw", 0.0) * factor,
            shunt.floats("q_mvar", 0.0) * factor,
            shunt,
        )
    ]
    for name in ("ward", "xward"):
        ward = columns_of(net, name)
        ward_bus = ward.rows("bus", index, "bus")
        parts.append(
            (
                name,
                ward.ids(),
                ward_bus,
                ward.floats("pz_mw", 0.0),
                ward.floats("qz_mvar", 0.0),
                ward,
            )
        )
    return Shunts(
        id=unique_ids([(name, ids) for name, ids, *_ in parts]),
        bus=np.concatenate([part[2] for part in parts]),
        p_mw=np.concatenate([part[3] for part in parts]),
        q_mvar=np.concatenate([part[4] for part in parts]),
        in_service=np.concatenate([part[5].flags("in_service", default=True) for part in parts]),
    )


def _sources(net: Any, index: pd.Index[Any]) -> Sources:  # noqa: ANN401 - as above
    grid = columns_of(net, "ext_grid")
    gen = columns_of(net, "gen")
    slack = gen.where(gen.flags("slack", default=False))
    return Sources(
        id=unique_ids([("ext_grid", grid.ids()), ("gen", slack.ids())]),
        bus=np.concatenate([table.rows("bus", index, "bus") for table in (grid, slack)]),
        vm_pu=np.concatenate([grid.floats("vm_pu", 1.0), slack.floats("vm_pu", 1.0)]),
        va_deg=np.concatenate([grid.floats("va_degree", 0.0), np.zeros(len(slack))]),
        sk_mva=np.concatenate([grid.floats("s_sc_max_mva"), np.full(len(slack), np.nan)]),
        rx=np.concatenate([grid.floats("rx_max", 0.1), np.full(len(slack), 0.1)]),
        in_service=np.concatenate(
            [table.flags("in_service", default=True) for table in (grid, slack)]
        ),
    )
