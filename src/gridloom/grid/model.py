"""The tables of a grid and the `Grid` that holds them: what is there, without time.

Signs: power is positive *into the grid*; a load of 5 MW therefore stands as `p_mw = 5` in `loads` (the table says
that it consumes) and becomes an injection of -5 MW in every solver. See docs/conventions.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.grid.tables import Flags, Floats, Rows, Table, Texts, column, texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gridloom.grid.topology import Wiring


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells(Table):
    """The tree of cells: nation > area > substation > feeder > neighbourhood."""

    parent: Rows = column("row", "", "row of the parent cell, -1 for the root", default=-1)
    kind: Texts = column(
        "text", "", "nation | area | substation | feeder | neighbourhood", default="feeder"
    )
    name: Texts = column("text", "", "name for people", default="")


@dataclass(frozen=True, kw_only=True, eq=False)
class Buses(Table):
    """Places where things connect."""

    vn_kv: Floats = column("float", "kV", "rated line-to-line voltage")
    cell: Rows = column("row", "", "row in cells", default=0)
    kind: Texts = column("text", "", "busbar | node | auxiliary", default="node")
    v_min_pu: Floats = column("float", "pu", "lowest allowed voltage", default=0.9)
    v_max_pu: Floats = column("float", "pu", "highest allowed voltage", default=1.1)
    longitude_deg: Floats = column(
        "float", "deg", "WGS 84 longitude or schematic x", default=np.nan
    )
    latitude_deg: Floats = column("float", "deg", "WGS 84 latitude or schematic y", default=np.nan)
    in_service: Flags = column("flag", "", "whether it is used", default=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines(Table):
    """Overhead lines and cables, as a pi section in SI units (all parallel systems together)."""

    from_bus: Rows = column("row", "", "row in buses")
    to_bus: Rows = column("row", "", "row in buses")
    r_ohm: Floats = column("float", "ohm", "series resistance at 20 C")
    x_ohm: Floats = column("float", "ohm", "series reactance at rated frequency")
    b_us: Floats = column("float", "uS", "total shunt susceptance", default=0.0)
    g_us: Floats = column("float", "uS", "total shunt conductance", default=0.0)
    r0_ohm: Floats = column("float", "ohm", "zero-sequence series resistance", default=np.nan)
    x0_ohm: Floats = column("float", "ohm", "zero-sequence series reactance", default=np.nan)
    b0_us: Floats = column("float", "uS", "zero-sequence shunt susceptance", default=np.nan)
    rated_ka: Floats = column(
        "float", "kA", "ampacity, derating and parallel systems included", default=np.nan
    )
    length_km: Floats = column("float", "km", "length", default=np.nan)
    parallel: Rows = column(
        "int", "", "number of parallel systems contained in the impedance", default=1
    )
    kind: Texts = column("text", "", "cable | overhead | impedance", default="cable")
    type: Texts = column("text", "", "conductor type", default="")
    in_service: Flags = column("flag", "", "whether it is used", default=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Transformers(Table):
    """Two-winding transformers (all parallel units together are `parallel` times one)."""

    hv_bus: Rows = column("row", "", "row in buses")
    lv_bus: Rows = column("row", "", "row in buses")
    sn_mva: Floats = column("float", "MVA", "rated power of one unit")
    vn_hv_kv: Floats = column("float", "kV", "rated voltage, high side")
    vn_lv_kv: Floats = column("float", "kV", "rated voltage, low side")
    vk_pct: Floats = column("float", "%", "short-circuit voltage")
    vkr_pct: Floats = column("float", "%", "its resistive part")
    pfe_kw: Floats = column("float", "kW", "iron losses of one unit", default=0.0)
    i0_pct: Floats = column("float", "%", "no-load current", default=0.0)
    shift_deg: Floats = column("float", "deg", "phase shift, low side lags", default=0.0)
    tap_side: Texts = column("text", "", "hv | lv", default="hv")
    tap_pos: Floats = column("float", "", "tap position", default=0.0)
    tap_neutral: Floats = column("float", "", "neutral position", default=0.0)
    tap_min: Floats = column("float", "", "lowest position", default=0.0)
    tap_max: Floats = column("float", "", "highest position", default=0.0)
    tap_step_pct: Floats = column("float", "%", "voltage per step", default=0.0)
    tap_step_deg: Floats = column("float", "deg", "phase shift per step", default=0.0)
    tap_set_point_pu: Floats = column(
        "float", "pu", "voltage that the tap changer holds on the low side", default=np.nan
    )
    vector_group: Texts = column("text", "", "IEC vector group, empty where unknown", default="")
    parallel: Rows = column("int", "", "number of parallel units", default=1)
    type: Texts = column("text", "", "type name", default="")
    in_service: Flags = column("flag", "", "whether it is used", default=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Transformers3w(Table):
    """Three-winding transformers."""

    hv_bus: Rows = column("row", "", "row in buses")
    mv_bus: Rows = column("row", "", "row in buses")
    lv_bus: Rows = column("row", "", "row in buses")
    sn_hv_mva: Floats = column("float", "MVA", "rated power, high side")
    sn_mv_mva: Floats = column("float", "MVA", "rated power, middle side")
    sn_lv_mva: Floats = column("float", "MVA", "rated power, low side")
    vn_hv_kv: Floats = column("float", "kV", "rated voltage, high side")
    vn_mv_kv: Floats = column("float", "kV", "rated voltage, middle side")
    vn_lv_kv: Floats = column("float", "kV", "rated voltage, low side")
    vk_hv_pct: Floats = column(
        "float", "%", "short-circuit voltage high-middle, on the smaller of both ratings"
    )
    vk_mv_pct: Floats = column("float", "%", "short-circuit voltage middle-low")
    vk_lv_pct: Floats = column("float", "%", "short-circuit voltage high-low")
    vkr_hv_pct: Floats = column("float", "%", "resistive part high-middle")
    vkr_mv_pct: Floats = column("float", "%", "resistive part middle-low")
    vkr_lv_pct: Floats = column("float", "%", "resistive part high-low")
    pfe_kw: Floats = column("float", "kW", "iron losses", default=0.0)
    i0_pct: Floats = column("float", "%", "no-load current", default=0.0)
    shift_mv_deg: Floats = column("float", "deg", "phase shift of the middle side", default=0.0)
    shift_lv_deg: Floats = column("float", "deg", "phase shift of the low side", default=0.0)
    tap_side: Texts = column("text", "", "hv | mv | lv", default="hv")
    tap_pos: Floats = column("float", "", "tap position", default=0.0)
    tap_neutral: Floats = column("float", "", "neutral position", default=0.0)
    tap_min: Floats = column("float", "", "lowest position", default=0.0)
    tap_max: Floats = column("float", "", "highest position", default=0.0)
    tap_step_pct: Floats = column("float", "%", "voltage per step", default=0.0)
    in_service: Flags = column("flag", "", "whether it is used", default=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Branches(Table):
    """General branches in per unit (100 MVA files, equivalents): pi section behind an ideal ratio at `from`."""

    from_bus: Rows = column("row", "", "row in buses")
    to_bus: Rows = column("row", "", "row in buses")
    r_pu: Floats = column(
        "float", "pu", "series resistance on base_mva and the rated voltage of to_bus"
    )
    x_pu: Floats = column("float", "pu", "series reactance, same base")
    g_pu: Floats = column("float", "pu", "total shunt conductance, same base", default=0.0)
    b_pu: Floats = column("float", "pu", "total shunt susceptance, same base", default=0.0)
    ratio: Floats = column("float", "pu", "off-nominal ratio, from side over to side", default=1.0)
    shift_deg: Floats = column("float", "deg", "phase shift, to side lags", default=0.0)
    base_mva: Floats = column("float", "MVA", "base power of the row", default=100.0)
    rated_mva: Floats = column("float", "MVA", "continuous rating", default=np.nan)
    in_service: Flags = column("flag", "", "whether it is used", default=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Switches(Table):
    """Switches and breakers, each with its own identity.

    A switch between two buses joins them while closed. A switch at a line or transformer end opens that end.
    """

    bus: Rows = column("row", "", "row in buses")
    element_kind: Texts = column("text", "", "bus | line | transformer | transformer3w | branch")
    element: Rows = column("row", "", "row in the table of element_kind")
    closed: Flags = column("flag", "", "normal position", default=True)
    kind: Texts = column(
        "text", "", "breaker | load_break_switch | disconnector | fuse", default="load_break_switch"
    )
    is_remote: Flags = column("flag", "", "whether it can be operated from afar", default=False)
    rated_ka: Floats = column("float", "kA", "rated current", default=np.nan)
    in_service: Flags = column(
        "flag", "", "whether it is used; a switch out of service counts as open", default=True
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Loads(Table):
    """Customers, as consumption."""

    bus: Rows = column("row", "", "row in buses")
    p_mw: Floats = column("float", "MW", "active consumption")
    q_mvar: Floats = column("float", "Mvar", "reactive consumption", default=0.0)
    z_share: Floats = column("float", "", "share with constant impedance", default=0.0)
    i_share: Floats = column("float", "", "share with constant current", default=0.0)
    profile: Texts = column("text", "", "name of its profile", default="")
    customers: Rows = column("int", "", "customers behind it", default=1)
    priority: Rows = column("int", "", "0 is served first", default=5)
    in_service: Flags = column("flag", "", "whether it is used", default=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Generators(Table):
    """Generation and static compensation, positive into the grid."""

    bus: Rows = column("row", "", "row in buses")
    p_mw: Floats = column("float", "MW", "active injection")
    q_mvar: Floats = column("float", "Mvar", "reactive injection", default=0.0)
    vm_pu: Floats = column(
        "float", "pu", "held voltage; without a number the unit is PQ", default=np.nan
    )
    sn_mva: Floats = column("float", "MVA", "rated power", default=np.nan)
    q_min_mvar: Floats = column("float", "Mvar", "lowest reactive injection", default=np.nan)
    q_max_mvar: Floats = column("float", "Mvar", "highest reactive injection", default=np.nan)
    kind: Texts = column("text", "", "pv | wind | hydro | thermal | chp | other", default="other")
    profile: Texts = column("text", "", "name of its profile", default="")
    in_service: Flags = column("flag", "", "whether it is used", default=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Storages(Table):
    """Batteries and other storage, positive into the grid (discharging)."""

    bus: Rows = column("row", "", "row in buses")
    p_mw: Floats = column("float", "MW", "active injection", default=0.0)
    q_mvar: Floats = column("float", "Mvar", "reactive injection", default=0.0)
    sn_mva: Floats = column("float", "MVA", "rated power", default=np.nan)
    capacity_mwh: Floats = column("float", "MWh", "usable energy", default=np.nan)
    soc_pct: Floats = column("float", "%", "state of charge", default=50.0)
    profile: Texts = column("text", "", "name of its profile", default="")
    in_service: Flags = column("flag", "", "whether it is used", default=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shunts(Table):
    """Shunt elements, as consumption at rated voltage."""

    bus: Rows = column("row", "", "row in buses")
    p_mw: Floats = column("float", "MW", "active consumption at 1 pu", default=0.0)
    q_mvar: Floats = column(
        "float", "Mvar", "reactive consumption at 1 pu; a capacitor is negative", default=0.0
    )
    in_service: Flags = column("flag", "", "whether it is used", default=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sources(Table):
    """Connections to a stronger grid, which hold voltage and angle."""

    bus: Rows = column("row", "", "row in buses")
    vm_pu: Floats = column("float", "pu", "held voltage", default=1.0)
    va_deg: Floats = column("float", "deg", "held angle", default=0.0)
    sk_mva: Floats = column(
        "float",
        "MVA",
        "short-circuit power, for fault studies; power flow treats it as stiff",
        default=np.nan,
    )
    rx: Floats = column("float", "", "R/X of the short-circuit impedance", default=0.1)
    in_service: Flags = column("flag", "", "whether it is used", default=True)


TABLES: dict[str, type[Table]] = {
    "cells": Cells,
    "buses": Buses,
    "lines": Lines,
    "transformers": Transformers,
    "transformers3w": Transformers3w,
    "branches": Branches,
    "switches": Switches,
    "loads": Loads,
    "generators": Generators,
    "storages": Storages,
    "shunts": Shunts,
    "sources": Sources,
}
"""Every table of a grid by the name of its attribute."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """A grid: immutable tables. Edits make a new grid that shares what did not change."""

    name: str = "grid"
    frequency_hz: float = 50.0
    profiles: str = ""
    """Where its profiles come from (`simbench:CODE`), empty where there are none."""
    cells: Cells = field(default_factory=lambda: Cells(id=texts(["grid"]), kind=texts(["area"])))
    buses: Buses = field(default_factory=Buses.empty)
    lines: Lines = field(default_factory=Lines.empty)
    transformers: Transformers = field(default_factory=Transformers.empty)
    transformers3w: Transformers3w = field(default_factory=Transformers3w.empty)
    branches: Branches = field(default_factory=Branches.empty)
    switches: Switches = field(default_factory=Switches.empty)
    loads: Loads = field(default_factory=Loads.empty)
    generators: Generators = field(default_factory=Generators.empty)
    storages: Storages = field(default_factory=Storages.empty)
    shunts: Shunts = field(default_factory=Shunts.empty)
    sources: Sources = field(default_factory=Sources.empty)

    def with_tables(self, **tables: Table) -> Self:
        """Return a grid with some tables replaced; the others are shared."""
        changed: dict[str, Any] = dict(tables)
        return replace(self, **changed)

    def with_switches(self, *, open: Iterable[str] = (), closed: Iterable[str] = ()) -> Self:  # noqa: A002 - the planner's own words
        """Return a grid with the named switches open or closed.

        Raises:
            UnknownId: If there is no such switch; the message names near ids.
        """
        position = np.array(self.switches.closed)
        position[self.switches.rows(open)] = False
        position[self.switches.rows(closed)] = True
        return self.with_positions(position)

    def with_positions(self, closed: Flags) -> Self:
        """Return a grid with all switch positions given, shape (switch,)."""
        moved = replace(self, switches=self.switches.with_columns(closed=closed))
        moved.__dict__["_shared"] = self._shared
        return moved

    @cached_property
    def _shared(self) -> _Shared:
        """What does not depend on switch positions: worked out once for all grids that differ in them alone."""
        return _Shared(self)

    @property
    def hash(self) -> str:
        """Hash of everything but the switch positions, 64 hexadecimal digits."""
        return self._shared.hash

    @property
    def switch_hash(self) -> str:
        """Hash of the model and its switch positions, 64 hexadecimal digits."""
        from gridloom.grid.identity import state_hash

        return state_hash(self)

    @property
    def wiring(self) -> Wiring:
        """The part of the topology that does not change while switches move."""
        return self._shared.wiring

    def cell_path(self, row: int) -> str:
        """Return the path of the cell in `row` from the root, as dotted tokens for message subjects.

        A token is the cell's id with everything but letters, digits, `_` and `-` replaced by `-`.
        """
        return self._shared.cell_paths[row]


class _Shared:
    """What is worked out from a grid on first use and holds whatever its switches do."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    @cached_property
    def hash(self) -> str:
        from gridloom.grid.identity import model_hash

        return model_hash(self._grid)

    @cached_property
    def wiring(self) -> Wiring:
        from gridloom.grid.topology import Wiring

        return Wiring.of(self._grid)

    @cached_property
    def cell_paths(self) -> tuple[str, ...]:
        return _paths(self._grid.cells)


def _paths(cells: Cells) -> tuple[str, ...]:
    """Return the dotted path of every cell; siblings whose tokens coincide get their row appended.

    Raises:
        BadInput: If the cells do not form a tree; the message names the cell.
    """
    tokens: list[str] = []
    taken: set[tuple[int, str]] = set()
    for row, id_ in enumerate(cells.id.tolist()):
        token = re.sub(r"[^A-Za-z0-9_-]", "-", id_) or "-"
        if (int(cells.parent[row]), token) in taken:
            token = f"{token}-{row}"
        taken.add((int(cells.parent[row]), token))
        tokens.append(token)
    paths: list[str] = []
    for row in range(len(cells)):
        path: list[str] = []
        at = row
        while at >= 0:
            if at >= len(cells) or len(path) > len(cells):
                message = (
                    f"cell {cells.id[row]!r}: its parents form a circle or point outside the table"
                )
                raise BadInput(message)
            path.append(tokens[at])
            at = int(cells.parent[at])
        paths.append(".".join(reversed(path)))
    return tuple(paths)
