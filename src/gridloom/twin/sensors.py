"""Which instrument reads which quantity of the model, worked out once per grid.

Elements that inject (loads, generators, storages) are numbered one after the other, in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.physics.arrays import Flags, Floats, Rows

if TYPE_CHECKING:
    from gridloom.grid.instruments import Instruments
    from gridloom.grid.model import Grid
    from gridloom.physics.per_unit import PerUnitModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """Everything that injects, shape (element,)."""

    bus: Rows
    in_service: Flags
    rated: Floats
    """Rated injection, negative for a load, shape (2, element): P [MW] and Q [Mvar]."""
    group: Rows
    """Elements of one table and profile behave alike."""
    n_loads: int
    n_generators: int

    @classmethod
    def of(cls, grid: Grid) -> Elements:
        """Number the elements of `grid`."""
        tables = (grid.loads, grid.generators, grid.storages)
        profiles = (grid.loads.profile, grid.generators.profile, grid.storages.profile)
        names = [f"{at} {name}" for at, column in enumerate(profiles) for name in column.tolist()]
        size = np.nan_to_num(grid.storages.sn_mva, nan=0.0)
        size = np.where(size > 0, size, np.abs(grid.storages.p_mw))
        held = np.isfinite(grid.generators.vm_pu)
        q_held = np.nan_to_num(grid.generators.sn_mva, nan=0.0) * 0.5
        return cls(
            bus=np.concatenate([table.bus for table in tables]),
            in_service=np.concatenate([table.in_service for table in tables]),
            rated=np.stack(
                [
                    np.concatenate([-grid.loads.p_mw, grid.generators.p_mw, size]),
                    np.concatenate(
                        [
                            -grid.loads.q_mvar,
                            np.where(held, q_held, grid.generators.q_mvar),
                            np.zeros(len(size)),
                        ]
                    ),
                ]
            ),
            group=np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64),
            n_loads=len(grid.loads),
            n_generators=len(grid.generators),
        )

    def __len__(self) -> int:
        """Return the number of elements."""
        return len(self.bus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """Instruments by what they read; `*_row` are rows in the table of instruments."""

    meter_row: Rows
    meter_element: Rows
    """Element behind each meter, shape (meter,)."""
    flow_row: Rows
    flow_branch: Rows
    """Branch of the per-unit model, shape (flow,)."""
    flow_side: Rows
    """0 at the from, 1 at the to side."""
    voltage_row: Rows
    voltage_bus: Rows
    voltage_is_meter: Flags
    """True for a meter's voltage: late, and spoilt with the meter."""

    @classmethod
    def of(
        cls, grid: Grid, instruments: Instruments, model: PerUnitModel, elements: Elements
    ) -> Sensors:
        """Resolve every reference of `instruments`.

        Raises:
            BadInput: If an instrument points outside its table; names the instrument.
        """
        kinds, element_kinds = instruments.kind, instruments.element_kind
        _check(grid, instruments)
        starts = {
            "load": 0,
            "generator": elements.n_loads,
            "storage": elements.n_loads + elements.n_generators,
        }
        meter = np.flatnonzero((kinds == "meter") & np.isin(element_kinds, list(starts)))
        first = np.array([starts[kind] for kind in element_kinds[meter].tolist()], dtype=np.int64)
        offsets = {kind: model.offsets[kind] for kind in ("line", "transformer", "branch")}
        flow = np.flatnonzero((kinds == "branch") & np.isin(element_kinds, list(offsets)))
        begin = np.array([offsets[kind] for kind in element_kinds[flow].tolist()], dtype=np.int64)
        bus = np.flatnonzero((kinds == "bus") & (element_kinds == "bus"))
        meter_element = first + instruments.element[meter]
        branch, side = begin + instruments.element[flow], instruments.side[flow]
        ends = np.stack([model.sections.from_bus, model.sections.to_bus], axis=1)
        return cls(
            meter_row=meter,
            meter_element=meter_element,
            flow_row=flow,
            flow_branch=branch,
            flow_side=side,
            voltage_row=np.concatenate([meter, flow, bus]),
            voltage_bus=np.concatenate(
                [elements.bus[meter_element], ends[branch, side], instruments.element[bus]]
            ),
            voltage_is_meter=np.arange(len(meter) + len(flow) + len(bus)) < len(meter),
        )


_TABLES = {
    "load": "loads",
    "generator": "generators",
    "storage": "storages",
    "line": "lines",
    "transformer": "transformers",
    "branch": "branches",
    "bus": "buses",
}


def _check(grid: Grid, instruments: Instruments) -> None:
    for kind, name in _TABLES.items():
        rows = np.flatnonzero(instruments.element_kind == kind)
        size = len(getattr(grid, name))
        element = instruments.element[rows]
        wrong = rows[(element < 0) | (element >= size)]
        if len(wrong):
            row = int(wrong[0])
            raise BadInput(
                f"instrument {instruments.id[row]!r} stands at {kind} row {instruments.element[row]}; "
                f"the grid has {size} of them"
            )
    wrong = np.flatnonzero((instruments.kind == "branch") & ~np.isin(instruments.side, (0, 1)))
    if len(wrong):
        row = int(wrong[0])
        raise BadInput(
            f"instrument {instruments.id[row]!r} has side {instruments.side[row]}; give 0 (from) or 1 (to)"
        )
