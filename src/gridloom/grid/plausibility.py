"""Numbers that cannot be right: not finite, zero impedance, wrong unit, parts larger than the whole."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.units import KW_PER_MW, SQRT3
from gridloom.grid.findings import MAX_NAMED, Finding, Severity, one, several
from gridloom.grid.model import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Table

MIN_OHM = 1e-6
"""Smallest series impedance that a solver can tell from a closed switch [ohm]."""
_SMALL_KV, _SMALL_MW = 1.0, 2.0
"""A single customer below 1 kV with more than 2 MW is not a customer but a wrong unit."""


def doubtful_numbers(grid: Grid) -> Iterator[Finding]:
    """Yield what is wrong or doubtful with the numbers in `grid`; its references must be sound."""
    for ask in (_numbers, _impedances, _ratings, _voltages, _transformers, _units):
        yield from ask(grid)


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
            yield from several(
                Severity.ERROR, "not_finite", name, table.id, bad, (values, "finite", words)
            )


def _impedances(grid: Grid) -> Iterator[Finding]:
    words = "its impedance is zero; model it as a closed switch between its buses, or give the cable's own"
    z_ohm = np.hypot(grid.lines.r_ohm, grid.lines.x_ohm)
    bad = grid.lines.in_service & (z_ohm < MIN_OHM)
    limit = f"at least {MIN_OHM:g} ohm"
    yield from several(
        Severity.ERROR, "zero_impedance", "lines", grid.lines.id, bad, (z_ohm, limit, words)
    )
    negative = grid.lines.in_service & (grid.lines.r_ohm < 0.0)
    yield from several(
        Severity.ERROR,
        "negative_resistance",
        "lines",
        grid.lines.id,
        negative,
        (grid.lines.r_ohm, "at least 0 ohm", "a line cannot give energy; check the sign of r_ohm"),
    )
    z_pu = np.hypot(grid.branches.r_pu, grid.branches.x_pu)
    bad = grid.branches.in_service & ~(z_pu > 1e-9)
    yield from several(
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
        yield from several(
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
    yield from several(
        Severity.ERROR, "rating", "lines", grid.lines.id, bad, (rated, "above 0 kA", words)
    )
    # Transmission cases write huge ratings for "no limit"; below 60 kV nobody does.
    amperes = (rated > 20.0) & (grid.buses.vn_kv[grid.lines.from_bus] < 60.0)
    words = "more than any conductor carries: rated_ka is probably in ampere; divide by 1000"
    yield from several(
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
            yield from several(
                Severity.ERROR, "shares", kind, table.id, bad, (shares, "0 to 1", words)
            )


def _voltages(grid: Grid) -> Iterator[Finding]:
    buses = grid.buses
    bad = ~(buses.vn_kv > 0.0)
    words = "a rated voltage must be positive [kV, line to line]"
    yield from several(
        Severity.ERROR, "rated_voltage", "buses", buses.id, bad, (buses.vn_kv, "above 0 kV", words)
    )
    high = buses.vn_kv > 1500.0
    words = "more than any grid on earth: vn_kv is probably in volt; divide by 1000"
    yield from several(
        Severity.ERROR,
        "wrong_unit",
        "buses",
        buses.id,
        high,
        (buses.vn_kv, "at most 1500 kV", words),
    )
    bad = ~(buses.v_min_pu <= buses.v_max_pu)
    words = "the lowest allowed voltage is above the highest"
    yield from several(
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
        yield from several(
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
    yield from several(
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
    yield from several(
        Severity.ERROR,
        "zero_impedance",
        "transformers",
        trafos.id,
        bad,
        (trafos.vk_pct, "above 0 %", words),
    )
    bad = used & (np.abs(trafos.vkr_pct) > np.abs(trafos.vk_pct))
    words = "the resistive part is larger than the whole short-circuit voltage"
    yield from several(
        Severity.ERROR,
        "impedance_parts",
        "transformers",
        trafos.id,
        bad,
        (trafos.vkr_pct, "at most vk_pct", words),
    )
    bad = used & ~(trafos.sn_mva > 0.0)
    yield from several(
        Severity.ERROR,
        "rating",
        "transformers",
        trafos.id,
        bad,
        (trafos.sn_mva, "above 0 MVA", "give its rated power"),
    )
    kva = used & (trafos.sn_mva > 3000.0) & (trafos.vn_lv_kv < 60.0)
    words = "larger than any transformer: sn_mva is probably in kVA; divide by 1000"
    yield from several(
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
        yield from several(
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
    yield from several(
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
        yield one(Severity.ERROR, "wrong_unit", "loads", words)
