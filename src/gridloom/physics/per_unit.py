"""The one place where tables in SI units become per unit: base 1 MVA, rated voltage of each bus.

`PerUnitModel` holds what switching cannot change. Positions come on top of it: the radial solver fuses buses and
opens ends by itself, the adapters take them from `grid.topology`. Branches of all tables stand in one list, in the
order lines, transformers, general branches, then the high, middle and low legs of three-winding transformers; the
star points of the latter are extra buses behind the grid's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.core.units import BASE_MVA, SQRT3
from gridloom.physics.arrays import Complexes, Flags, Floats, Rows, as_complex
from gridloom.physics.branch_parameters import (
    PiSections,
    branch_sections,
    line_sections,
    transformer3w_sections,
    transformer_sections,
)
from gridloom.physics.operating_point import OperatingPoint
from gridloom.physics.summing_kernel import sum_columns

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.topology import Topology

_LEAST_Z_PU = 1e-13


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EndAdmittances:
    """What the solvers need of each branch, shape (branch,) each [pu]."""

    series: Complexes
    """One over its series impedance."""
    inverse_ratio: Complexes
    y_from: Complexes
    """Shunt of the closed branch at its from bus."""
    y_to: Complexes
    """Shunt of the closed branch at its to bus."""
    y_open_from: Complexes
    """The whole branch, seen from its from bus while the to end is open."""
    y_open_to: Complexes
    """The whole branch, seen from its to bus while the from end is open."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PerUnitModel:
    """A grid in per unit, whatever the position of its switches."""

    grid: Grid
    n_bus: int
    """Buses, star points included."""
    base_kv: Floats
    """Rated voltage, shape (n_bus,) [kV]."""
    sections: PiSections
    """Every branch, shape (branch,)."""
    ends_in_service: Flags
    """Whether a branch end would be connected with all switches closed, shape (branch, 2)."""
    bus_in_service: Flags
    """Shape (n_bus,)."""
    shunt_y: Complexes
    """Admittance of the shunts at each bus, shape (n_bus,) [pu]."""
    source_rows: Rows
    """Rows of the sources in service at a bus in service."""

    @classmethod
    def of(cls, grid: Grid) -> Self:
        """Reduce `grid` to per unit.

        Raises:
            BadInput: If a branch has zero or no finite impedance, or a bus no rated voltage; names the element.
        """
        buses, star = grid.buses, grid.transformers3w
        _check_rated_voltages(grid)
        parts = (
            line_sections(grid.lines, buses),
            transformer_sections(grid.transformers, buses),
            branch_sections(grid.branches),
            *transformer3w_sections(star, buses),
        )
        names = ("from_bus", "to_bus", "z", "y", "ratio")
        sections = PiSections(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        )
        in_service = np.concatenate([buses.in_service, star.in_service])
        model = cls(
            grid=grid,
            n_bus=len(in_service),
            base_kv=np.concatenate([buses.vn_kv, buses.vn_kv[star.hv_bus]]),
            sections=sections,
            ends_in_service=_ends_in_service(grid, sections, in_service),
            bus_in_service=in_service,
            shunt_y=_shunts(grid, len(in_service)),
            source_rows=np.flatnonzero(
                grid.sources.in_service & buses.in_service[grid.sources.bus]
            ),
        )
        model._check_impedances()
        return model

    @cached_property
    def seen_from_ends(self) -> EndAdmittances:
        """Shunts of every branch as its ends see them."""
        half, ratio2 = self.sections.y / 2, np.abs(self.sections.ratio) ** 2
        open_to = half + half / (1 + self.sections.z * half)
        return EndAdmittances(
            series=1 / self.sections.z,
            inverse_ratio=1 / self.sections.ratio,
            y_from=half / ratio2,
            y_to=half,
            y_open_from=open_to / ratio2,
            y_open_to=open_to,
        )

    def ends(self, topology: Topology) -> Flags:
        """Return which branch ends are connected, shape (branch, 2), in the order of the model."""
        leg, star = topology.transformer3w_closed, self.grid.transformers3w.in_service
        return np.concatenate(
            [
                topology.line_closed,
                topology.transformer_closed,
                topology.branch_closed,
                np.stack([leg[:, 0], star], axis=1),
                np.stack([star, leg[:, 1]], axis=1),
                np.stack([star, leg[:, 2]], axis=1),
            ]
        )

    @property
    def n_branch(self) -> int:
        """Branches of all tables together, each three-winding transformer three times."""
        return len(self.sections.z)

    @cached_property
    def offsets(self) -> dict[str, int]:
        """First branch of `line`, `transformer`, `branch`, and of the legs `hv`, `mv`, `lv` of `transformer3w`."""
        grid = self.grid
        lengths = (
            len(grid.lines),
            len(grid.transformers),
            len(grid.branches),
            *[len(grid.transformers3w)] * 3,
        )
        starts = np.concatenate([[0], np.cumsum(lengths)]).tolist()
        return dict(
            zip(("line", "transformer", "branch", "hv", "mv", "lv", "end"), starts, strict=True)
        )

    @cached_property
    def current_base_ka(self) -> Floats:
        """Base current at each branch end, shape (branch, 2) [kA]."""
        ends = np.stack([self.sections.from_bus, self.sections.to_bus], axis=1)
        return np.asarray(BASE_MVA / (SQRT3 * self.base_kv[ends]))

    @cached_property
    def rated_ka(self) -> Floats:
        """Rated current at each branch end, shape (branch, 2); NaN where there is none [kA].

        Transformers are rated by their own rated voltages, general branches by those of their buses. A rating of zero
        stands for none, as many files have it.
        """
        grid, star = self.grid, self.grid.transformers3w
        table, rows = grid.transformers, slice(self.offsets["branch"], self.offsets["hv"])
        sn, nothing = table.sn_mva * table.parallel / SQRT3, np.full(len(star), np.nan)
        legs = [
            getattr(star, f"sn_{side}_mva") / SQRT3 / getattr(star, f"vn_{side}_kv")
            for side in ("hv", "mv", "lv")
        ]
        rated = np.concatenate(
            [
                np.stack([grid.lines.rated_ka, grid.lines.rated_ka], axis=1),
                np.stack([sn / table.vn_hv_kv, sn / table.vn_lv_kv], axis=1),
                grid.branches.rated_mva[:, None] * self.current_base_ka[rows] / BASE_MVA,
                np.stack([legs[0], nothing], axis=1),
                np.stack([nothing, legs[1]], axis=1),
                np.stack([nothing, legs[2]], axis=1),
            ]
        )
        return np.where(rated > 0, rated, np.nan)

    def branch_name(self, branch: int) -> str:
        """Return `kind id` of a branch, for messages."""
        for kind, size, table in (
            ("line", "line", self.grid.lines),
            ("transformer", "transformer", self.grid.transformers),
            ("branch", "branch", self.grid.branches),
            ("transformer3w", "hv", self.grid.transformers3w),
            ("transformer3w", "mv", self.grid.transformers3w),
            ("transformer3w", "lv", self.grid.transformers3w),
        ):
            row = branch - self.offsets[size]
            if 0 <= row < len(table):
                return f"{kind} {table.id[row]}"
        raise BadInput(f"no branch {branch}; there are {self.n_branch}")

    def _check_impedances(self) -> None:
        size = np.abs(self.sections.z)
        wrong = (
            ~np.isfinite(size)
            | (size < _LEAST_Z_PU)
            | ~np.isfinite(self.sections.y)
            | ~(np.abs(self.sections.ratio) > 0)
        )
        wrong &= self.ends_in_service.any(axis=1)
        if wrong.any():
            branch = int(np.flatnonzero(wrong)[0])
            z, y, ratio = (getattr(self.sections, name)[branch] for name in ("z", "y", "ratio"))
            raise BadInput(
                f"{self.branch_name(branch)}: series impedance {z} pu, shunt {y} pu, ratio {ratio}; "
                "the impedance must be finite and not zero "
                "(model a tie without impedance as a closed switch between two buses)"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BusPowers:
    """Injection at each bus in per unit, by its dependence on voltage; shape (n_bus,) or (scenario, n_bus)."""

    constant: Complexes
    """Injected whatever the voltage [pu]."""
    current: Complexes | None
    """Injection at 1 pu of the part that goes with the voltage; None where there is none [pu]."""
    impedance: Complexes | None
    """Injection at 1 pu of the part that goes with its square; None where there is none [pu]."""


def bus_powers(model: PerUnitModel, state: OperatingPoint, *, with_held: bool = True) -> BusPowers:
    """Sum loads, generators and storages to the injection of each bus.

    Args:
        model: The grid in per unit.
        state: Powers, with or without a scenario axis.
        with_held: Whether generators that hold a voltage count, with their active power only (their reactive power
            is an outcome); leave them out where the engine has them as components of their own.
    """
    grid = model.grid
    loads, generators, storages = grid.loads, grid.generators, grid.storages
    demand = _used(as_complex(state.load_p_mw, state.load_q_mvar), loads.in_service)
    held = np.isfinite(generators.vm_pu)
    counted = generators.in_service & (with_held | ~held)
    supply = _used(
        as_complex(state.generator_p_mw, np.where(held, 0.0, state.generator_q_mvar)), counted
    )
    stored = _used(as_complex(state.storage_p_mw, state.storage_q_mvar), storages.in_service)
    stiff = demand * (1 - loads.z_share - loads.i_share)
    n = model.n_bus
    constant = (
        sum_at(supply, generators.bus, n)
        + sum_at(stored, storages.bus, n)
        - sum_at(stiff, loads.bus, n)
    )
    current = -sum_at(demand * loads.i_share, loads.bus, n) if loads.i_share.any() else None
    impedance = -sum_at(demand * loads.z_share, loads.bus, n) if loads.z_share.any() else None
    return BusPowers(constant=constant / BASE_MVA, current=current, impedance=impedance)


def _used(power: Complexes, counts: Flags) -> Complexes:
    """Return `power` with 0 where it does not count, be it no number there."""
    if counts.all():
        return power
    return np.where(counts, power, np.complex128(0.0))


def sum_at(values: Complexes, bus: Rows, n_bus: int) -> Complexes:
    """Sum `values` of shape (..., element) at their buses; gives (..., n_bus)."""
    if values.ndim == 1:
        real: Floats = np.bincount(bus, values.real, minlength=n_bus).astype(np.float64)
        imag: Floats = np.bincount(bus, values.imag, minlength=n_bus).astype(np.float64)
        return as_complex(real, imag)
    return sum_columns(values, bus, n_bus)


def _shunts(grid: Grid, n_bus: int) -> Complexes:
    shunts = grid.shunts
    admittance = as_complex(shunts.p_mw, -shunts.q_mvar) * shunts.in_service / BASE_MVA
    return sum_at(admittance, shunts.bus, n_bus)


def _ends_in_service(grid: Grid, sections: PiSections, bus_in_service: Flags) -> Flags:
    star = grid.transformers3w.in_service
    used = np.concatenate(
        [
            grid.lines.in_service,
            grid.transformers.in_service,
            grid.branches.in_service,
            star,
            star,
            star,
        ]
    )
    from_end = used & bus_in_service[sections.from_bus]
    to_end = used & bus_in_service[sections.to_bus]
    return np.stack([from_end, to_end], axis=1)


def _check_rated_voltages(grid: Grid) -> None:
    wrong = ~(grid.buses.vn_kv > 0) | ~np.isfinite(grid.buses.vn_kv)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadInput(
            f"bus {grid.buses.id[row]!r}: rated voltage is {grid.buses.vn_kv[row]} kV; give a positive number"
        )
