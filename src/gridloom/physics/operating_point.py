"""What every load, generator, storage and source does at one moment, or in many scenarios.

Columns follow the tables: loads hold consumption, generators and storages hold injection.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np

from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Floats, Table

_TABLE_OF = {
    "load_p_mw": "loads",
    "load_q_mvar": "loads",
    "generator_p_mw": "generators",
    "generator_q_mvar": "generators",
    "storage_p_mw": "storages",
    "storage_q_mvar": "storages",
    "source_vm_pu": "sources",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperatingPoint:
    """Power of every element, shape (n,) or (scenario, n); n is the length of its table."""

    load_p_mw: Floats
    """Consumption of each load at 1 pu [MW]."""
    load_q_mvar: Floats
    """Reactive consumption of each load at 1 pu [Mvar]."""
    generator_p_mw: Floats
    """Injection of each generator [MW]."""
    generator_q_mvar: Floats
    """Reactive injection of each generator that holds no voltage [Mvar]."""
    storage_p_mw: Floats
    """Injection of each storage, positive while it discharges [MW]."""
    storage_q_mvar: Floats
    """Reactive injection of each storage [Mvar]."""
    source_vm_pu: Floats
    """Voltage held by each source, shape (source,) [pu]."""

    @classmethod
    def of(cls, grid: Grid) -> Self:
        """Return the operating point that stands in the grid's own tables."""
        return cls(
            load_p_mw=grid.loads.p_mw,
            load_q_mvar=grid.loads.q_mvar,
            generator_p_mw=grid.generators.p_mw,
            generator_q_mvar=grid.generators.q_mvar,
            storage_p_mw=grid.storages.p_mw,
            storage_q_mvar=grid.storages.q_mvar,
            source_vm_pu=grid.sources.vm_pu,
        )

    @property
    def n_scenarios(self) -> int | None:
        """Number of scenarios, or None where no column has a scenario axis."""
        counts = {
            getattr(self, spec.name).shape[0]
            for spec in fields(self)
            if getattr(self, spec.name).ndim == 2
        }
        if len(counts) > 1:
            raise BadInput(f"columns disagree on the number of scenarios: {sorted(counts)}")
        return counts.pop() if counts else None

    def scenario(self, index: int) -> Self:
        """Return scenario `index` as an operating point of its own."""
        columns = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        return type(self)(**{name: c[index] if c.ndim == 2 else c for name, c in columns.items()})

    def check(self, grid: Grid) -> None:
        """Refuse wrong shapes and values that are no number.

        Raises:
            BadInput: Naming the first element, column and value at fault. Elements out of service are not looked at.
        """
        for spec in fields(self):
            table: Table = getattr(grid, _TABLE_OF[spec.name])
            _check_column(table, spec.name, getattr(self, spec.name))


def _check_column(table: Table, name: str, values: Floats) -> None:
    kind = name.split("_", maxsplit=1)[0]
    if values.ndim not in {1, 2} or values.shape[-1] != len(table):
        raise BadInput(f"{name} has shape {values.shape}; the grid has {len(table)} {kind} rows")
    if np.isfinite(np.sum(values)):
        return
    wrong = ~np.isfinite(values) & np.asarray(table.in_service)  # type: ignore[attr-defined]  # each of the four tables has it
    if not wrong.any():
        return
    where = np.argwhere(wrong)[0]
    value = values[tuple(where)]
    scenario = f" in scenario {where[0]}" if values.ndim == 2 else ""
    raise BadInput(
        f"{kind} {table.id[where[-1]]!r}: {name} is {value}{scenario}; give a finite number"
    )
