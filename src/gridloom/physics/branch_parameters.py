"""From name plates to per unit: the pi section of every line, transformer and branch.

One shape for all: `ratio` at the from side (ideal, complex), then series impedance `z` with the shunt `y` split in
halves, both in per unit of the *to* bus on 1 MVA. A three-winding transformer becomes a star of three sections.
Source: the equations of the short-circuit and no-load tests, as in any power system textbook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.physics.arrays import Complexes, Floats, Rows, as_complex, unit_phasor

if TYPE_CHECKING:
    from gridloom.grid.model import Branches, Buses, Lines, Transformers, Transformers3w


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PiSections:
    """Pi sections, shape (branch,) each, in per unit on 1 MVA and the rated voltage of the to bus."""

    from_bus: Rows
    to_bus: Rows
    z: Complexes
    """Series impedance [pu]."""
    y: Complexes
    """Total shunt admittance, half at each end, behind the ratio [pu]."""
    ratio: Complexes
    """Ideal ratio, voltage at the from bus over voltage behind it [pu]."""


def line_sections(lines: Lines, buses: Buses) -> PiSections:
    """Return the pi sections of lines; ends of different rated voltage get the ratio that keeps the volts."""
    to_kv = buses.vn_kv[lines.to_bus]
    z_base = to_kv**2
    return PiSections(
        from_bus=lines.from_bus,
        to_bus=lines.to_bus,
        z=as_complex(lines.r_ohm, lines.x_ohm) / z_base,
        y=as_complex(lines.g_us, lines.b_us) * 1e-6 * z_base,
        ratio=(to_kv / buses.vn_kv[lines.from_bus]).astype(np.complex128),
    )


def branch_sections(branches: Branches) -> PiSections:
    """Return the pi sections of general branches, brought from their own base to 1 MVA."""
    return PiSections(
        from_bus=branches.from_bus,
        to_bus=branches.to_bus,
        z=as_complex(branches.r_pu, branches.x_pu) / branches.base_mva,
        y=as_complex(branches.g_pu, branches.b_pu) * branches.base_mva,
        ratio=branches.ratio * unit_phasor(branches.shift_deg),
    )


def transformer_sections(table: Transformers, buses: Buses) -> PiSections:
    """Return the pi sections of two-winding transformers, from the high (from) to the low side (to)."""
    steps = table.tap_pos - table.tap_neutral
    at_hv, at_lv = table.tap_side == "hv", table.tap_side == "lv"
    hv_kv = table.vn_hv_kv * (1 + np.where(at_hv, steps * table.tap_step_pct / 100, 0.0))
    lv_kv = table.vn_lv_kv * (1 + np.where(at_lv, steps * table.tap_step_pct / 100, 0.0))
    turn_deg = np.where(at_lv, -1.0, 1.0) * steps * table.tap_step_deg
    to_bus_kv = buses.vn_kv[table.lv_bus]
    # Ohms on the tapped low side, then on the base of the bus.
    to_pu = lv_kv**2 / to_bus_kv**2 / (table.sn_mva * table.parallel)
    return PiSections(
        from_bus=table.hv_bus,
        to_bus=table.lv_bus,
        z=_impedance(table.vk_pct, table.vkr_pct) * to_pu,
        y=_no_load_admittance(table.i0_pct, table.pfe_kw, table.sn_mva) / to_pu,
        ratio=(hv_kv / buses.vn_kv[table.hv_bus])
        / (lv_kv / to_bus_kv)
        * unit_phasor(table.shift_deg + turn_deg),
    )


def transformer3w_sections(
    table: Transformers3w, buses: Buses
) -> tuple[PiSections, PiSections, PiSections]:
    """Return the three legs of each three-winding transformer.

    The star point of row k is the extra bus `len(buses) + k`, with the rated voltage of the high-side bus. The high
    leg ends at it and carries the no-load branch; the middle and low legs start from it.
    """
    star = len(buses) + np.arange(len(table))
    z_hv, z_mv, z_lv = _star(table)
    hv_bus_kv = buses.vn_kv[table.hv_bus]
    hv_kv, mv_kv, lv_kv = (_tapped(table, side) for side in ("hv", "mv", "lv"))
    to_pu = table.vn_hv_kv**2 / hv_bus_kv**2 / table.sn_hv_mva
    high = PiSections(
        from_bus=table.hv_bus,
        to_bus=star,
        z=z_hv * to_pu,
        y=_no_load_admittance(table.i0_pct, table.pfe_kw, table.sn_hv_mva) / to_pu,
        ratio=(hv_kv / table.vn_hv_kv).astype(np.complex128),
    )
    star_kv = table.vn_hv_kv / hv_bus_kv
    middle = _lower_leg(
        star, table.mv_bus, buses, mv_kv, z_mv, table.sn_hv_mva, star_kv, table.shift_mv_deg
    )
    low = _lower_leg(
        star, table.lv_bus, buses, lv_kv, z_lv, table.sn_hv_mva, star_kv, table.shift_lv_deg
    )
    return high, middle, low


def _lower_leg(
    star: Rows,
    bus: Rows,
    buses: Buses,
    rated_kv: Floats,
    z: Complexes,
    sn_mva: Floats,
    star_pu: Floats,
    shift_deg: Floats,
) -> PiSections:
    bus_kv = buses.vn_kv[bus]
    return PiSections(
        from_bus=star,
        to_bus=bus,
        z=z * rated_kv**2 / bus_kv**2 / sn_mva,
        y=np.zeros(len(star), dtype=np.complex128),
        ratio=star_pu / (rated_kv / bus_kv) * unit_phasor(shift_deg),
    )


def _tapped(table: Transformers3w, side: str) -> Floats:
    rated: Floats = getattr(table, f"vn_{side}_kv")
    at_side = table.tap_side == side
    steps = np.where(at_side, table.tap_pos - table.tap_neutral, 0.0)
    tapped: Floats = rated * (1 + steps * table.tap_step_pct / 100)
    return tapped


def _star(table: Transformers3w) -> tuple[Complexes, Complexes, Complexes]:
    """Turn the three pair tests into a star, in per unit of the high side's rating."""
    sn = table.sn_hv_mva
    hm = _impedance(table.vk_hv_pct, table.vkr_hv_pct) * sn / np.minimum(sn, table.sn_mv_mva)
    ml = (
        _impedance(table.vk_mv_pct, table.vkr_mv_pct)
        * sn
        / np.minimum(table.sn_mv_mva, table.sn_lv_mva)
    )
    hl = _impedance(table.vk_lv_pct, table.vkr_lv_pct) * sn / np.minimum(sn, table.sn_lv_mva)
    return (hm + hl - ml) / 2, (hm + ml - hl) / 2, (hl + ml - hm) / 2


def _impedance(vk_pct: Floats, vkr_pct: Floats) -> Complexes:
    """Return the short-circuit impedance in per unit of the rating."""
    x = np.sqrt(np.maximum(vk_pct**2 - vkr_pct**2, 0.0))
    return as_complex(vkr_pct, x) / 100


def _no_load_admittance(i0_pct: Floats, pfe_kw: Floats, sn_mva: Floats) -> Complexes:
    """Return the no-load admittance in per unit of the rating; inductive."""
    g = pfe_kw / 1000 / sn_mva
    b = np.sqrt(np.maximum((i0_pct / 100) ** 2 - g**2, 0.0))
    return as_complex(g, -b)
