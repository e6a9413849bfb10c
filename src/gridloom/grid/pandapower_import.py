"""From a pandapower net (an object, a file, or a grid that pandapower ships) to a `Grid`.

The rule is that a power flow on what comes out equals pandapower's own; wherever it cannot, the loss report says so.
"""

from __future__ import annotations

import inspect
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gridloom.core.errors import Malformed, UnknownId
from gridloom.grid.cells import derive_cells
from gridloom.grid.loading import read_text
from gridloom.grid.model import Buses, Cells, Grid, Switches
from gridloom.grid.pandapower_branches import (
    branches_of,
    lines_of,
    transformers3w_of,
    transformers_of,
)
from gridloom.grid.pandapower_devices import devices_of
from gridloom.grid.pandapower_frames import Columns, columns_of, places
from gridloom.grid.report import Imported, LossLog
from gridloom.grid.tables import Table, texts

if TYPE_CHECKING:
    import pandas as pd

    from gridloom.grid.tables import Floats, Rows

FOREIGN_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    UserWarning,
    ValueError,
)
"""What pandapower may raise on a file that it did not write."""
_TRUSTED_MODULES = (
    "pandapower",
    "pandas",
    "numpy",
    "networkx",
    "builtins",
    "shapely",
    "geopandas",
    "simbench",
)
_TAKEN = {
    "bus", "line", "trafo", "trafo3w", "impedance", "switch", "load", "sgen", "gen", "storage", "shunt",
    "ext_grid", "ward", "xward", "motor", "dcline", "asymmetric_load", "asymmetric_sgen",
}  # fmt: skip
_SILENT = {
    "std_types", "bus_geodata", "line_geodata", "profiles", "loadcases", "substation", "poly_cost", "pwl_cost",
    "group", "characteristic", "q_capability_curve_table", "q_capability_characteristic",
    "trafo_characteristic_table", "shunt_characteristic_table",
}  # fmt: skip
"""Tables that hold no equipment of their own."""
_SWITCH_KINDS = {
    "CB": "breaker",
    "LBS": "load_break_switch",
    "LS": "load_break_switch",
    "DS": "disconnector",
    "FUSE": "fuse",
    "F": "fuse",
}
_ELEMENT_KINDS = {"b": "bus", "l": "line", "t": "transformer", "t3": "transformer3w"}
_MV_KV = 1.0
"""Switches below this voltage are worked by hand [kV]."""


def import_pandapower_named(name: str) -> Imported:
    """Return the grid in pandapower file `name`, or the one that pandapower ships under this name.

    Raises:
        UnknownId: If pandapower ships no such grid; the message names near ones.
        Malformed: If the file is not a pandapower net.
    """
    if name.endswith(".json"):
        return import_net(_read_json(Path(name)), name=Path(name).stem, source=f"pandapower:{name}")
    return import_net(_shipped_net(name), name=name, source=f"pandapower:{name}")


def import_net(
    net: Any,  # noqa: ANN401 - pandapower nets carry no types
    *,
    name: str = "",
    source: str = "pandapower net",
    cells: tuple[Cells, Rows] | None = None,
    profiles: str = "",
) -> Imported:
    """Return a pandapower net as a grid, with what could not be carried.

    Args:
        net: The net.
        name: Name of the grid; the net's own when empty.
        source: What the loss report calls it.
        cells: The tree of cells and each bus's row in it; derived from the topology when not given.
        profiles: Where its profiles come from.

    Raises:
        Malformed: If a table refers to a bus or element that is not there, or a number cannot be read.
    """
    log = LossLog(source)
    bus = columns_of(net, "bus")
    index = bus.frame.index
    vn_kv = bus.floats("vn_kv")
    devices = devices_of(net, index, vn_kv, log)
    lines = lines_of(net, index, log)
    transformers = transformers_of(net, index, log)
    transformers3w = transformers3w_of(net, index, log)
    extra = branches_of(net, index, vn_kv, log)
    _note_the_rest(net, log)
    grid = Grid(
        name=name or str(net.get("name") or "grid"),
        frequency_hz=float(net.get("f_hz", 50.0)),
        profiles=profiles,
        cells=cells[0] if cells else Cells(id=texts(["grid"]), kind=texts(["area"])),
        buses=_buses(bus, vn_kv, cells, extra.aux_buses),
        lines=lines,
        transformers=transformers,
        transformers3w=transformers3w,
        branches=extra.branches,
        switches=_switches(net, index, vn_kv, log),
        loads=devices.loads,
        generators=_joined(devices.generators, extra.generators),
        storages=devices.storages,
        shunts=_joined(devices.shunts, extra.shunts),
        sources=devices.sources,
    )
    grid = grid if cells else derive_cells(grid)
    return Imported(grid=grid, report=log.report())


def _joined[T: Table](table: T, more: T) -> T:
    """Return two tables of one type, one after the other."""
    columns = {
        name: np.concatenate([getattr(table, name), getattr(more, name)])
        for name in table.column_names()
    }
    return type(table)(**columns)


def _buses(
    bus: Columns, vn_kv: Floats, cells: tuple[Cells, Rows] | None, aux: list[tuple[str, int]]
) -> Buses:
    kinds = {"b": "busbar", "db": "busbar", "auxiliary": "auxiliary"}
    x, y = places(bus)
    buses = Buses(
        id=bus.ids(),
        vn_kv=vn_kv,
        cell=cells[1] if cells else np.zeros(len(bus), dtype=np.int64),
        kind=texts(kinds.get(kind, "node") for kind in bus.texts("type").tolist()),
        v_min_pu=_limit(bus.floats("min_vm_pu", 0.9), 0.9),
        v_max_pu=_limit(bus.floats("max_vm_pu", 1.1), 1.1),
        longitude_deg=x,
        latitude_deg=y,
        in_service=bus.flags("in_service", default=True),
    )
    if not aux:
        return buses
    rows = np.array([row for _, row in aux], dtype=np.int64)
    inner = buses.with_columns(id=[f"bus:{id_}" for id_ in buses.id]).take(rows)
    return _joined(
        buses, inner.with_columns(id=[id_ for id_, _ in aux], kind=["auxiliary"] * len(aux))
    )


def _limit(values: Floats, default: float) -> Floats:
    # Transmission cases write 0 or huge numbers for "no limit".
    return np.where((values > 0.0) & (values < 2.0), values, default)


def _switches(net: Any, index: pd.Index[Any], vn_kv: Floats, log: LossLog) -> Switches:  # noqa: ANN401 - as above
    table = columns_of(net, "switch")
    if not len(table):
        return Switches.empty()
    ids, et = table.ids(), table.texts("et")
    element = np.empty(len(table), dtype=np.int64)
    for code in np.unique(et.astype(str)):
        at = et == code
        if code not in _ELEMENT_KINDS:
            message = f"pandapower table switch: et is {code!r}; known are b, l, t, t3"
            raise Malformed(message)
        target = {"b": "bus", "l": "line", "t": "trafo", "t3": "trafo3w"}[code]
        frame = columns_of(net, target).frame
        element[at] = table.where(at).rows("element", frame.index, target)
    bus = table.rows("bus", index, "bus")
    codes = table.texts("type")
    kind = np.array(
        [_SWITCH_KINDS.get(code.upper(), "load_break_switch") for code in codes.tolist()],
        dtype=object,
    )
    if (impedance := table.floats("z_ohm", 0.0) > 0.0).any():
        words = f"{int(impedance.sum())} switches carry an impedance; here a closed switch has none"
        log.add("switch", ", ".join(ids[impedance][:5].tolist()), "impedance", words)
    can_move = (kind == "breaker") | (kind == "load_break_switch")
    return Switches(
        id=ids,
        bus=bus,
        element_kind=texts(_ELEMENT_KINDS[code] for code in et.tolist()),
        element=element,
        closed=table.flags("closed", default=True),
        kind=kind,
        is_remote=can_move & (vn_kv[bus] >= _MV_KV),
        rated_ka=table.floats("in_ka"),
    )


def _note_the_rest(net: Any, log: LossLog) -> None:  # noqa: ANN401 - as above
    import pandas as pd

    for name in sorted(net.keys()):
        table = net[name]
        if (
            name.startswith(("res_", "_"))
            or name in _TAKEN | _SILENT
            or not isinstance(table, pd.DataFrame)
        ):
            continue
        if not len(table):
            continue
        words = {
            "measurement": "measurements are placed anew by Gridloom's instruments",
            "controller": "controllers act in time; a grid holds what is there, so taps and set points stand still",
        }.get(
            name, "this kind of equipment has no place in a grid here and takes no part in results"
        )
        log.add(name, "*", f"{len(table)} rows", words)


def _read_json(path: Path) -> Any:  # noqa: ANN401 - pandapower nets carry no types
    import pandapower

    text = read_text(path)
    try:
        _refuse_foreign_classes(json.loads(text), str(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = pandapower.from_json_string(text)
    except Malformed:
        raise
    except FOREIGN_ERRORS as error:
        message = f"{path} is not a pandapower net that can be read: {error}"
        raise Malformed(message) from error
    if not isinstance(net, pandapower.pandapowerNet):
        message = f"{path} holds a {type(net).__name__}, not a pandapower net"
        raise Malformed(message)
    return net


def _refuse_foreign_classes(value: object, source: str) -> None:
    """Refuse a file that asks pandapower to import anything but numbers and tables."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            module = str(item.get("_module", "pandapower")).split(".")[0]
            if module not in _TRUSTED_MODULES:
                message = f"{source} asks for the Python module {module!r}; only tables and numbers are read"
                raise Malformed(message)
            stack.extend(item.values())
        elif isinstance(item, str) and '"_module"' in item:
            try:
                stack.append(json.loads(item))
            except ValueError:
                continue


def _shipped_net(name: str) -> Any:  # noqa: ANN401 - pandapower nets carry no types
    import pandapower.networks as shipped

    makers = {
        key: maker
        for key, maker in vars(shipped).items()
        if inspect.isfunction(maker)
        and maker.__module__.startswith("pandapower.networks")
        and not key.startswith("_")
        and all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
                for p in inspect.signature(maker).parameters.values())
    }  # fmt: skip
    if name not in makers:
        raise UnknownId("grid shipped by pandapower", name, makers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = makers[name]()
    if isinstance(net, tuple):
        net = net[0]
    return net
