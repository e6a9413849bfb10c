"""The RTS-GMLC test system from its tables: three areas, 73 buses, 120 branches, 158 units, 60 Hz.

The tables are Parquet files `rts_bus`, `rts_branch` and `rts_gen` in one folder. Units without a range of reactive
power (solar, wind) do not hold a voltage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gridloom.core.errors import Malformed, Unavailable
from gridloom.grid.model import (
    Branches,
    Buses,
    Cells,
    Generators,
    Grid,
    Loads,
    Shunts,
    Sources,
    Storages,
)
from gridloom.grid.pandapower_devices import KW_PER_CUSTOMER, customers_behind
from gridloom.grid.report import Imported, LossLog
from gridloom.grid.tables import texts

if TYPE_CHECKING:
    from pathlib import Path

    from gridloom.grid.tables import Flags, Floats, Rows, Texts

_BASE_MVA = 100.0
_KINDS = {
    "WIND": "wind",
    "PV": "pv",
    "RTPV": "pv",
    "CSP": "pv",
    "HYDRO": "hydro",
    "ROR": "hydro",
    "CT": "thermal",
    "CC": "thermal",
    "STEAM": "thermal",
    "NUCLEAR": "thermal",
}
_NEEDED = {
    "rts_bus": ("Bus ID", "BaseKV", "Bus Type", "MW Load", "MVAR Load", "V Mag", "V Angle", "MW Shunt G",
                "MVAR Shunt B", "Area", "lat", "lng"),
    "rts_branch": ("UID", "From Bus", "To Bus", "R", "X", "B", "Cont Rating", "Tr Ratio"),
    "rts_gen": ("GEN UID", "Bus ID", "Unit Type", "MW Inj", "MVAR Inj", "V Setpoint p.u.", "PMax MW",
                "QMax MVAR", "QMin MVAR", "Base MVA"),
}  # fmt: skip


def import_rts_gmlc(directory: Path) -> Imported:
    """Return the RTS-GMLC grid from the Parquet tables in `directory`.

    Raises:
        Unavailable: If a table is not there.
        Malformed: If a table lacks a column, or names a bus that is not there.
    """
    log = LossLog(f"rts-gmlc:{directory.name}")
    bus, branch, gen = (_Frame.read(directory, name) for name in _NEEDED)
    buses, cells = _buses(bus)
    units = gen.texts("Unit Type")
    stores = units == "STORAGE"
    if stores.any():
        log.add(
            "unit",
            "*",
            "storage",
            f"{int(stores.sum())} stores: the tables name no capacity in MWh",
        )
    log.add(
        "unit",
        "*",
        "costs, ramps, outages",
        "not carried: a grid here holds what is there, not what it costs",
    )
    words = "those in rts_bus belong to another dispatch; the set points of the units are used"
    log.add("bus", "*", "voltages", words)
    log.add("branch", "*", "LTE and STE ratings", "only the continuous rating is carried")
    generators, sources = _machines(bus, gen, buses, ~stores)
    p_mw = bus.floats("MW Load")
    loaded = np.flatnonzero((p_mw != 0.0) | (bus.floats("MVAR Load") != 0.0))
    customers = customers_behind(
        buses.vn_kv[loaded], p_mw[loaded], np.full(loaded.size, "", dtype=object)
    )
    words = f"estimated as one per {KW_PER_CUSTOMER:g} kW ({int(customers.sum())} in all)"
    log.add("load", "*", "number of customers", words)
    grid = Grid(
        name="RTS-GMLC",
        frequency_hz=60.0,
        cells=cells,
        buses=buses,
        branches=_branches(branch, buses),
        loads=Loads(
            id=texts(f"load {id_}" for id_ in buses.id[loaded]),
            bus=loaded,
            p_mw=p_mw[loaded],
            q_mvar=bus.floats("MVAR Load")[loaded],
            customers=customers,
        ),
        generators=generators,
        storages=_storages(gen, buses, stores),
        shunts=_shunts(bus, buses),
        sources=sources,
    )
    return Imported(grid=grid, report=log.report())


class _Frame:
    """One table of the system."""

    def __init__(self, name: str, frame: Any) -> None:  # noqa: ANN401 - pandas
        self.name, self._frame = name, frame

    @classmethod
    def read(cls, directory: Path, name: str) -> _Frame:
        import pandas as pd
        import pyarrow as pa

        path = directory / f"{name}.parquet"
        if not path.exists():
            message = f"{path} is not there; rts-gmlc: wants a folder with {', '.join(_NEEDED)} as .parquet"
            raise Unavailable(message)
        try:
            frame = pd.read_parquet(path)
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            message = f"{path} cannot be read as Parquet: {error}"
            raise Malformed(message) from error
        missing = [column for column in _NEEDED[name] if column not in frame.columns]
        if missing:
            message = f"{path} has no column {missing[0]!r}"
            raise Malformed(message)
        return cls(name, frame)

    def floats(self, column: str) -> Floats:
        try:
            return np.asarray(self._frame[column], dtype=np.float64)
        except (TypeError, ValueError) as error:
            message = f"{self.name}: column {column!r} is not numeric: {error}"
            raise Malformed(message) from error

    def texts(self, column: str) -> Texts:
        return texts(str(value) for value in self._frame[column])

    def bus_rows(self, column: str, buses: Buses) -> Rows:
        return buses.rows(f"{number:.0f}" for number in self.floats(column))


def _buses(bus: _Frame) -> tuple[Buses, Cells]:
    area = bus.floats("Area")
    names = np.unique(area)
    buses = Buses(
        id=texts(f"{number:.0f}" for number in bus.floats("Bus ID")),
        vn_kv=bus.floats("BaseKV"),
        cell=1 + np.searchsorted(names, area),
        kind=texts(["busbar"] * len(area)),
        longitude_deg=bus.floats("lng"),
        latitude_deg=bus.floats("lat"),
    )
    cells = Cells(
        id=texts(["RTS-GMLC", *(f"area {name:.0f}" for name in names.tolist())]),
        parent=np.array([-1] + [0] * names.size),
        kind=texts(["nation"] + ["area"] * names.size),
    )
    return buses, cells


def _branches(branch: _Frame, buses: Buses) -> Branches:
    ratio = branch.floats("Tr Ratio")
    uid = branch.texts("UID")
    return Branches(
        id=uid,
        from_bus=branch.bus_rows("From Bus", buses),
        to_bus=branch.bus_rows("To Bus", buses),
        r_pu=branch.floats("R"),
        x_pu=branch.floats("X"),
        b_pu=branch.floats("B"),
        ratio=np.where(ratio == 0.0, 1.0, ratio),
        base_mva=np.full(len(uid), _BASE_MVA),
        rated_mva=branch.floats("Cont Rating"),
    )


def _machines(bus: _Frame, gen: _Frame, buses: Buses, at: Flags) -> tuple[Generators, Sources]:
    """Return generators and the source: the first unit with a range of reactive power at the reference bus."""
    row, kind = gen.bus_rows("Bus ID", buses), bus.texts("Bus Type")
    q_min, q_max = gen.floats("QMin MVAR"), gen.floats("QMax MVAR")
    can_hold = at & (q_max > q_min)
    candidates = np.flatnonzero(can_hold & (kind[row] == "Ref"))
    if not candidates.size:
        message = "rts_gen: no unit at the reference bus can hold its voltage"
        raise Malformed(message)
    slack = int(candidates[0])
    held = can_hold & np.isin(kind[row].astype(str), ["PV", "Ref"])
    keep = at.copy()
    keep[slack] = False
    # At the reference bus the source holds the voltage; other units there keep their power.
    held &= row != row[slack]
    uid = gen.texts("GEN UID")
    generators = Generators(
        id=uid,
        bus=row,
        p_mw=gen.floats("MW Inj"),
        q_mvar=np.where(held, 0.0, gen.floats("MVAR Inj")),
        vm_pu=np.where(held, gen.floats("V Setpoint p.u."), np.nan),
        sn_mva=gen.floats("Base MVA"),
        q_min_mvar=q_min,
        q_max_mvar=q_max,
        kind=texts(_KINDS.get(name, "other") for name in gen.texts("Unit Type").tolist()),
        profile=uid,
    ).take(keep)
    at_slack = int(row[slack])
    source = Sources(
        id=uid[[slack]],
        bus=row[[slack]],
        vm_pu=gen.floats("V Setpoint p.u.")[[slack]],
        va_deg=bus.floats("V Angle")[[at_slack]],
    )
    return generators, source


def _storages(gen: _Frame, buses: Buses, at: Flags) -> Storages:
    return Storages(
        id=gen.texts("GEN UID"),
        bus=gen.bus_rows("Bus ID", buses),
        p_mw=gen.floats("MW Inj"),
        q_mvar=gen.floats("MVAR Inj"),
        sn_mva=gen.floats("PMax MW"),
    ).take(at)


def _shunts(bus: _Frame, buses: Buses) -> Shunts:
    g, b = bus.floats("MW Shunt G"), bus.floats("MVAR Shunt B")
    rows = np.flatnonzero((g != 0.0) | (b != 0.0))
    return Shunts(
        id=texts(f"shunt {id_}" for id_ in buses.id[rows]), bus=rows, p_mw=g[rows], q_mvar=-b[rows]
    )
