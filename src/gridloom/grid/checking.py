"""What is wrong or doubtful with a grid, before anything is computed on it.

Each finding names the element, the value, the limit and the way out. An error makes results meaningless; a warning
is for a person to look at.
"""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gridloom.core.errors import BadInput
from gridloom.core.units import KW_PER_MW, SQRT3
from gridloom.grid.model import TABLES
from gridloom.grid.topology import ENDS, topology

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags, Floats, Rows, Table

MIN_OHM = 1e-6
"""Smallest series impedance that a solver can tell from a closed switch [ohm]."""
MAX_NAMED = 20
"""Findings of one kind that are listed one by one; the rest is counted."""
_SMALL_KV, _SMALL_MW = 1.0, 2.0
"""A single customer below 1 kV with more than 2 MW is not a customer but a wrong unit."""


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong or doubtful."""

    severity: Severity
    kind: str
    """Stable name of the check: `zero_impedance`, `not_finite`, `dead_island`, ..."""
    table: str
    id: str
    value: str
    limit: str
    words: str
    """A sentence with the way out."""

    @property
    def what(self) -> str:
        """Where, how much and against which limit, in one line."""
        parts = [self.table, self.value, f"(limit {self.limit})" if self.limit else ""]
        return " ".join(part for part in parts if part)


def check(grid: Grid) -> tuple[Finding, ...]:
    """Return everything found wrong or doubtful in `grid`, errors first.

    Ids are unique by construction: a table refuses to be made with one id twice.
    """
    found = [*_references(grid)]
    if found:
        # Without sound references nothing else can be asked.
        return tuple(found)
    for ask in (
        _numbers,
        _impedances,
        _ratings,
        _voltages,
        _transformers,
        _units,
        _islands,
        _cells,
    ):
        found += ask(grid)
    return tuple(sorted(found, key=lambda finding: finding.severity is not Severity.ERROR))


def _several(
    severity: Severity,
    kind: str,
    table: str,
    table_ids: NDArray[np.object_],
    bad: Flags,
    texts: tuple[Floats | Rows, str, str],
) -> Iterator[Finding]:
    """Yield a finding for each bad row, and one that counts the rest when there are many."""
    values, limit, words = texts
    rows = np.flatnonzero(bad)
    for row in rows[:MAX_NAMED].tolist():
        yield Finding(
            severity=severity,
            kind=kind,
            table=table,
            id=str(table_ids[row]),
            value=f"{values[row]:.6g}",
            limit=limit,
            words=words,
        )
    if rows.size > MAX_NAMED:
        more = rows.size - MAX_NAMED
        yield Finding(
            severity=severity,
            kind=kind,
            table=table,
            id="*",
            value=str(more),
            limit=limit,
            words=f"{more} more {table} with the same finding",
        )


def _references(grid: Grid) -> Iterator[Finding]:
    targets = {
        "cell": "cells",
        "parent": "cells",
        "bus": "buses",
        "from_bus": "buses",
        "to_bus": "buses",
    }
    targets |= {f"{side}_bus": "buses" for side in ("hv", "mv", "lv")}
    for name in TABLES:
        table = getattr(grid, name)
        for column, target in targets.items():
            if column not in table.column_names():
                continue
            rows, lowest = getattr(table, column), -1 if column == "parent" else 0
            n = len(getattr(grid, target))
            bad = (rows < lowest) | (rows >= n)
            words = f"{column} points outside {target}; name one of its {n} rows"
            yield from _several(
                Severity.ERROR,
                "unknown_reference",
                name,
                table.id,
                bad,
                (rows, f"0 to {n - 1}", words),
            )
    yield from _switch_targets(grid)
    if not any(True for _ in _switch_targets(grid)):
        try:
            _ = grid.wiring
        except BadInput as error:
            yield _one(Severity.ERROR, "unknown_reference", "switches", str(error))


def _switch_targets(grid: Grid) -> Iterator[Finding]:
    sizes = {kind: len(getattr(grid, name)) for kind, (name, _) in ENDS.items()}
    sizes["bus"] = len(grid.buses)
    switches = grid.switches
    known = np.isin(switches.element_kind.astype(str), list(sizes))
    for row in np.flatnonzero(~known).tolist():
        words = f"element_kind is {switches.element_kind[row]!r}; write one of {', '.join(sorted(sizes))}"
        yield _one(Severity.ERROR, "unknown_reference", "switches", words, id_=switches.id[row])
    for kind, size in sizes.items():
        bad = (switches.element_kind == kind) & (
            (switches.element < 0) | (switches.element >= size)
        )
        words = f"it stands at a {kind} that is not there; name one of the {size} rows"
        yield from _several(
            Severity.ERROR,
            "unknown_reference",
            "switches",
            switches.id,
            bad,
            (switches.element, f"0 to {size - 1}", words),
        )


def _one(severity: Severity, kind: str, table: str, words: str, *, id_: str = "*") -> Finding:
    return Finding(
        severity=severity, kind=kind, table=table, id=id_, value="", limit="", words=words
    )


def _numbers(grid: Grid) -> Iterator[Finding]:
    for name in TABLES:
        table: Table = getattr(grid, name)
        for spec in fields(table):
            if spec.metadata["kind"] != "float":
                continue
            values, default = getattr(table, spec.name), spec.metadata["default"]
            optional = default is not None and np.isnan(default)
            bad = np.isinf(values) if optional else ~np.isfinite(values)
            words = f"{spec.name} [{spec.metadata['unit']}] is not a number; give one or take the element out"
            yield from _several(
                Severity.ERROR, "not_finite", name, table.id, bad, (values, "finite", words)
            )


def _impedances(grid: Grid) -> Iterator[Finding]:
    words = "its impedance is zero; model it as a closed switch between its buses, or give the cable's own"
    z_ohm = np.hypot(grid.lines.r_ohm, grid.lines.x_ohm)
    bad = grid.lines.in_service & (z_ohm < MIN_OHM)
    limit = f"at least {MIN_OHM:g} ohm"
    yield from _several(
        Severity.ERROR, "zero_impedance", "lines", grid.lines.id, bad, (z_ohm, limit, words)
    )
    negative = grid.lines.in_service & (grid.lines.r_ohm < 0.0)
    yield from _several(
        Severity.ERROR,
        "negative_resistance",
        "lines",
        grid.lines.id,
        negative,
        (grid.lines.r_ohm, "at least 0 ohm", "a line cannot give energy; check the sign of r_ohm"),
    )
    z_pu = np.hypot(grid.branches.r_pu, grid.branches.x_pu)
    bad = grid.branches.in_service & ~(z_pu > 1e-9)
    yield from _several(
        Severity.ERROR,
        "zero_impedance",
        "branches",
        grid.branches.id,
        bad,
        (z_pu, "above 1e-9 pu", words),
    )
    for name in ("lines", "branches"):
        table = getattr(grid, name)
        bad = table.in_service & (table.from_bus == table.to_bus)
        yield from _several(
            Severity.ERROR,
            "both_ends_at_one_bus",
            name,
            table.id,
            bad,
            (table.from_bus, "two buses", "it begins and ends at the same bus; correct one end"),
        )


def _ratings(grid: Grid) -> Iterator[Finding]:
    rated = grid.lines.rated_ka
    bad = rated <= 0.0
    words = "a rating must be positive; leave it out (NaN) where there is none"
    yield from _several(
        Severity.ERROR, "rating", "lines", grid.lines.id, bad, (rated, "above 0 kA", words)
    )
    # Transmission cases write huge ratings for "no limit"; below 60 kV nobody does.
    amperes = (rated > 20.0) & (grid.buses.vn_kv[grid.lines.from_bus] < 60.0)
    words = "more than any conductor carries: rated_ka is probably in ampere; divide by 1000"
    yield from _several(
        Severity.ERROR,
        "wrong_unit",
        "lines",
        grid.lines.id,
        amperes,
        (rated, "at most 20 kA", words),
    )
    for kind, table in (("loads", grid.loads), ("generators", grid.generators)):
        if kind == "loads":
            shares = grid.loads.z_share + grid.loads.i_share
            bad = (grid.loads.z_share < 0.0) | (grid.loads.i_share < 0.0) | (shares > 1.0 + 1e-9)
            words = "shares of constant impedance and current must lie between 0 and 1 together"
            yield from _several(
                Severity.ERROR, "shares", kind, table.id, bad, (shares, "0 to 1", words)
            )


def _voltages(grid: Grid) -> Iterator[Finding]:
    buses = grid.buses
    bad = ~(buses.vn_kv > 0.0)
    words = "a rated voltage must be positive [kV, line to line]"
    yield from _several(
        Severity.ERROR, "rated_voltage", "buses", buses.id, bad, (buses.vn_kv, "above 0 kV", words)
    )
    high = buses.vn_kv > 1500.0
    words = "more than any grid on earth: vn_kv is probably in volt; divide by 1000"
    yield from _several(
        Severity.ERROR,
        "wrong_unit",
        "buses",
        buses.id,
        high,
        (buses.vn_kv, "at most 1500 kV", words),
    )
    bad = ~(buses.v_min_pu <= buses.v_max_pu)
    words = "the lowest allowed voltage is above the highest"
    yield from _several(
        Severity.ERROR,
        "voltage_limits",
        "buses",
        buses.id,
        bad,
        (buses.v_min_pu, "v_max_pu", words),
    )
    for name in ("lines", "branches"):
        table = getattr(grid, name)
        if name == "branches":
            continue
        ends = buses.vn_kv[table.from_bus], buses.vn_kv[table.to_bus]
        bad = table.in_service & (np.abs(ends[0] - ends[1]) > 0.05 * np.maximum(ends[0], ends[1]))
        words = "it joins buses of different rated voltage; a transformer is needed, or one voltage is wrong"
        yield from _several(
            Severity.ERROR,
            "voltage_mismatch",
            name,
            table.id,
            bad,
            (ends[0], "both ends alike", words),
        )
    sources = grid.sources
    odd = sources.in_service & ~((sources.vm_pu > 0.5) & (sources.vm_pu < 1.5))
    words = "a held voltage is given per unit of the bus's rated voltage, not in kV"
    yield from _several(
        Severity.ERROR,
        "wrong_unit",
        "sources",
        sources.id,
        odd,
        (sources.vm_pu, "0.5 to 1.5 pu", words),
    )


def _transformers(grid: Grid) -> Iterator[Finding]:
    trafos, vn_kv = grid.transformers, grid.buses.vn_kv
    used = trafos.in_service
    bad = used & ~(trafos.vk_pct > 0.0)
    words = "a short-circuit voltage of zero is a closed switch; give the rating plate's value"
    yield from _several(
        Severity.ERROR,
        "zero_impedance",
        "transformers",
        trafos.id,
        bad,
        (trafos.vk_pct, "above 0 %", words),
    )
    bad = used & (np.abs(trafos.vkr_pct) > np.abs(trafos.vk_pct))
    words = "the resistive part is larger than the whole short-circuit voltage"
    yield from _several(
        Severity.ERROR,
        "impedance_parts",
        "transformers",
        trafos.id,
        bad,
        (trafos.vkr_pct, "at most vk_pct", words),
    )
    bad = used & ~(trafos.sn_mva > 0.0)
    yield from _several(
        Severity.ERROR,
        "rating",
        "transformers",
        trafos.id,
        bad,
        (trafos.sn_mva, "above 0 MVA", "give its rated power"),
    )
    kva = used & (trafos.sn_mva > 3000.0) & (trafos.vn_lv_kv < 60.0)
    words = "larger than any transformer: sn_mva is probably in kVA; divide by 1000"
    yield from _several(
        Severity.ERROR,
        "wrong_unit",
        "transformers",
        trafos.id,
        kva,
        (trafos.sn_mva, "at most 3000 MVA", words),
    )
    for side in ("hv", "lv"):
        rated, bus = getattr(trafos, f"vn_{side}_kv"), vn_kv[getattr(trafos, f"{side}_bus")]
        bad = used & ~(np.abs(rated / bus - 1.0) < 0.3)
        words = f"its rated voltage on the {side} side differs from the bus's by more than 30 %; are the sides swapped?"
        yield from _several(
            Severity.WARNING,
            "voltage_mismatch",
            "transformers",
            trafos.id,
            bad,
            (rated, "within 30 %", words),
        )
    outside = used & (trafos.tap_min < trafos.tap_max)
    outside &= (trafos.tap_pos < trafos.tap_min) | (trafos.tap_pos > trafos.tap_max)
    words = "the tap stands outside its range"
    yield from _several(
        Severity.WARNING,
        "tap_range",
        "transformers",
        trafos.id,
        outside,
        (trafos.tap_pos, "tap_min to tap_max", words),
    )


def _units(grid: Grid) -> Iterator[Finding]:
    """Find kW written for MW: a customer beyond its voltage level, or a load beyond everything that can feed it."""
    vn_kv = grid.buses.vn_kv
    for name in ("loads", "generators", "storages"):
        table = getattr(grid, name)
        p_mw = np.hypot(np.nan_to_num(table.p_mw), np.nan_to_num(table.q_mvar))
        vn = vn_kv[table.bus]
        # What one connection can carry: 2 kA at low voltage (1.4 MVA at 0.4 kV), 1.2 kA at medium voltage. In a
        # transmission model a bus stands for a station with many.
        limit_mva = np.where(
            vn < _SMALL_KV, np.maximum(SQRT3 * vn * 2.0, _SMALL_MW), SQRT3 * vn * 1.2
        )
        limit_mva = SQRT3 * vn * 200.0 if _is_transmission(grid) else limit_mva
        bad = table.in_service & (p_mw > limit_mva)
        for row in np.flatnonzero(bad)[:MAX_NAMED].tolist():
            words = (
                f"{p_mw[row]:g} MVA at {vn[row]:g} kV is more than one connection can carry; "
                f"if this is kW, write {p_mw[row] / KW_PER_MW:g} MW"
            )
            yield Finding(
                severity=Severity.ERROR,
                kind="wrong_unit",
                table=name,
                id=str(table.id[row]),
                value=f"{p_mw[row]:g} MVA",
                limit=f"{limit_mva[row]:.3g} MVA",
                words=words,
            )
    yield from _demand_against_supply(grid)


def _is_transmission(grid: Grid) -> bool:
    """Return whether most lines and branches stand at 60 kV and more."""
    ends = np.concatenate([grid.lines.from_bus, grid.branches.from_bus])
    return bool(ends.size) and float(np.mean(grid.buses.vn_kv[ends] >= 60.0)) > 0.5


def _demand_against_supply(grid: Grid) -> Iterator[Finding]:
    demand_mw = float(np.nansum(grid.loads.p_mw[grid.loads.in_service]))
    fed = grid.sources.bus[grid.sources.in_service]
    trafos = grid.transformers
    feeding = trafos.in_service & np.isin(trafos.hv_bus, fed)
    capacity_mva = float(np.nansum((trafos.sn_mva * trafos.parallel)[feeding]))
    own_mw = float(np.nansum(np.maximum(grid.generators.p_mw, 0.0)[grid.generators.in_service]))
    if feeding.any() and demand_mw > 20.0 * (capacity_mva + own_mw):
        words = (
            f"all loads together ask for {demand_mw:g} MW, the transformers at the source carry {capacity_mva:g} MVA; "
            "if loads are in kW, divide them by 1000"
        )
        yield _one(Severity.ERROR, "wrong_unit", "loads", words)


def _islands(grid: Grid) -> Iterator[Finding]:
    if not len(grid.buses):
        yield _one(Severity.ERROR, "empty", "buses", "the grid has no buses")
        return
    if not grid.sources.in_service.any():
        yield _one(
            Severity.ERROR,
            "no_source",
            "sources",
            "no source is in service, so nothing is fed; add one",
        )
    at = topology(grid)
    node = at.node_of_bus
    island = np.where(node >= 0, np.append(at.island_of_node, -1)[node], -1)
    dead = (island >= 0) & ~at.is_energised
    for number in np.unique(island[dead])[:MAX_NAMED].tolist():
        members = np.flatnonzero(island == number)
        load_mw = float(
            np.nansum(grid.loads.p_mw[np.isin(grid.loads.bus, members) & grid.loads.in_service])
        )
        words = (
            f"{members.size} buses with {load_mw:.3g} MW of load reach no source at the present switch positions; "
            "close a tie, or they stay dark"
        )
        yield Finding(
            severity=Severity.WARNING,
            kind="dead_island",
            table="buses",
            id=str(grid.buses.id[members[0]]),
            value=f"{members.size} buses",
            limit="fed",
            words=words,
        )
    for name in ("loads", "generators", "storages", "sources"):
        table = getattr(grid, name)
        bad = table.in_service & ~grid.buses.in_service[table.bus]
        words = "it is in service at a bus that is not"
        yield from _several(
            Severity.WARNING,
            "bus_out_of_service",
            name,
            table.id,
            bad,
            (table.bus, "in service", words),
        )


def _cells(grid: Grid) -> Iterator[Finding]:
    try:
        for row in range(len(grid.cells)):
            grid.cell_path(row)
    except BadInput as error:
        yield _one(Severity.ERROR, "cells", "cells", str(error))
