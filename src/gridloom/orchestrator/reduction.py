"""The medium-voltage grid alone: what stands below a distribution transformer becomes one load.

Planning looks at hundreds of switchings a second and none of them touches a low-voltage switch. So each
low-voltage island that hangs on one transformer is replaced by the power that the transformer draws now, and by
the voltage that its medium-voltage bus must keep for the last customer behind it. The gate does not use this: it
checks the whole grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.grid.topology_kernel import group
from gridloom.physics.operating_point import OperatingPoint

if TYPE_CHECKING:
    from gridloom.grid.model import Grid, Loads, Switches
    from gridloom.grid.tables import Flags, Floats, Rows, Table
    from gridloom.physics.results import PowerFlowResult

_LOW_VOLTAGE_KV = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduction:
    """A grid without its low-voltage islands; tables below hold rows of the whole grid."""

    whole: Grid
    grid: Grid
    buses: Rows
    lines: Rows
    transformers: Rows
    branches: Rows
    switches: Rows
    loads: Rows
    """Loads that stay; the aggregates stand behind them in the reduced table."""
    generators: Rows
    storages: Rows
    sources: Rows
    feeders: Rows
    """Transformers that became loads, shape (aggregate,)."""
    island_bus: Rows
    """Low-voltage buses that were taken away."""
    island_aggregate: Rows
    """The aggregate each of them went into."""

    @classmethod
    def of(cls, grid: Grid) -> Reduction:
        """Take every low-voltage island with exactly one transformer and no source out of `grid`."""
        return _reduce(grid)

    def positions(self, closed: Flags) -> Flags:
        """Return the positions of the remaining switches."""
        return closed[self.switches]

    def operating_point(self, state: OperatingPoint, base: PowerFlowResult) -> OperatingPoint:
        """Return what every remaining element does; aggregates draw what they drew in `base`."""
        flow = base.transformer_flow
        return OperatingPoint(
            load_p_mw=np.concatenate(
                [state.load_p_mw[self.loads], _zero(flow.p_from_mw[self.feeders])]
            ),
            load_q_mvar=np.concatenate(
                [state.load_q_mvar[self.loads], _zero(flow.q_from_mvar[self.feeders])]
            ),
            generator_p_mw=state.generator_p_mw[self.generators],
            generator_q_mvar=state.generator_q_mvar[self.generators],
            storage_p_mw=state.storage_p_mw[self.storages],
            storage_q_mvar=state.storage_q_mvar[self.storages],
            source_vm_pu=state.source_vm_pu[self.sources],
        )

    def voltage_limits(self, base: PowerFlowResult) -> tuple[Floats, Floats]:
        """Return the limits of the remaining buses that also keep everybody behind them within theirs.

        The drop behind each transformer is taken as in `base`; where a customer is beyond a limit already, the
        present voltage is the limit.
        """
        v_pu, table = base.v_pu, self.whole.buses
        low = np.array(table.v_min_pu[self.buses])
        high = np.array(table.v_max_pu[self.buses])
        head = self.whole.transformers.hv_bus[self.feeders]
        row_of = np.full(len(table), -1, dtype=np.int64)
        row_of[self.buses] = np.arange(len(self.buses))
        at = row_of[head[self.island_aggregate]]
        drop = v_pu[head[self.island_aggregate]] - v_pu[self.island_bus]
        known = np.isfinite(drop)
        need = table.v_min_pu[self.island_bus] + drop
        bear = table.v_max_pu[self.island_bus] + drop
        np.maximum.at(low, at[known], need[known])
        np.minimum.at(high, at[known], bear[known])
        return low, high


def _zero(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, 0.0)


def _reduce(grid: Grid) -> Reduction:
    island, n_islands = _low_voltage_islands(grid)
    transformers = grid.transformers
    low_side = island[transformers.lv_bus]
    hangs = (low_side >= 0) & (island[transformers.hv_bus] < 0)
    taps = np.bincount(low_side[hangs], minlength=n_islands)
    single = taps == 1
    # Anything else that enters an island (sources, other kinds of branches) keeps it whole.
    for bus in (
        grid.sources.bus,
        transformers.lv_bus[~hangs],
        transformers.hv_bus[~hangs],
        grid.branches.from_bus,
        grid.branches.to_bus,
        grid.transformers3w.hv_bus,
        grid.transformers3w.mv_bus,
        grid.transformers3w.lv_bus,
    ):
        inside = island[bus]
        single[inside[inside >= 0]] = False
    gone_bus = (island >= 0) & np.append(single, False)[island]
    feeders = np.flatnonzero(hangs & np.append(single, False)[low_side])
    aggregate_of_island = np.full(n_islands, -1, dtype=np.int64)
    aggregate_of_island[low_side[feeders]] = np.arange(len(feeders))
    island_bus = np.flatnonzero(gone_bus)
    return _assemble(grid, gone_bus, feeders, aggregate_of_island[island[island_bus]])


def _low_voltage_islands(grid: Grid) -> tuple[Rows, int]:
    """Group low-voltage buses over lines and couplers, whatever the switches' positions."""
    low = grid.buses.vn_kv < _LOW_VOLTAGE_KV
    couplers = grid.switches.element_kind == "bus"
    a = np.concatenate([grid.lines.from_bus, grid.switches.bus[couplers]])
    b = np.concatenate([grid.lines.to_bus, grid.switches.element[couplers]])
    return group(low, np.ascontiguousarray(a), np.ascontiguousarray(b))


def _assemble(grid: Grid, gone_bus: Flags, feeders: Rows, aggregate: Rows) -> Reduction:
    stays = ~gone_bus
    row_of = np.cumsum(stays) - 1
    keep = {
        "lines": stays[grid.lines.from_bus] & stays[grid.lines.to_bus],
        "transformers": _without(len(grid.transformers), feeders),
        "transformers3w": np.ones(len(grid.transformers3w), dtype=np.bool_),
        "branches": np.ones(len(grid.branches), dtype=np.bool_),
        "loads": stays[grid.loads.bus],
        "generators": stays[grid.generators.bus],
        "storages": stays[grid.storages.bus],
        "shunts": stays[grid.shunts.bus],
        "sources": stays[grid.sources.bus],
    }
    rows = {name: np.flatnonzero(mask) for name, mask in keep.items()}
    switches = _switches_that_stay(grid, stays, keep)
    tables = {name: _moved(getattr(grid, name).take(rows[name]), row_of) for name in rows}
    tables["buses"] = grid.buses.take(np.flatnonzero(stays))
    tables["switches"] = _moved_switches(grid, switches, row_of, keep)
    tables["loads"] = _with_aggregates(tables["loads"], grid, feeders, row_of)
    return Reduction(
        whole=grid,
        grid=grid.with_tables(**tables),
        buses=np.flatnonzero(stays),
        switches=switches,
        feeders=feeders,
        island_bus=np.flatnonzero(gone_bus),
        island_aggregate=aggregate,
        **{
            name: rows[name]
            for name in (
                "lines",
                "transformers",
                "branches",
                "loads",
                "generators",
                "storages",
                "sources",
            )
        },
    )


def _without(n: int, rows: Rows) -> Flags:
    mask = np.ones(n, dtype=np.bool_)
    mask[rows] = False
    return mask


_BUS_COLUMNS = ("bus", "from_bus", "to_bus", "hv_bus", "mv_bus", "lv_bus")
_TABLE_OF_KIND = {
    "line": "lines",
    "transformer": "transformers",
    "transformer3w": "transformers3w",
    "branch": "branches",
}


def _moved[T: Table](table: T, row_of: Rows) -> T:
    names = [name for name in _BUS_COLUMNS if name in table.column_names()]
    return table.with_columns(**{name: row_of[getattr(table, name)] for name in names})


def _switches_that_stay(grid: Grid, stays: Flags, keep: dict[str, Flags]) -> Rows:
    switches = grid.switches
    mask = stays[switches.bus].copy()
    couples = switches.element_kind == "bus"
    mask[couples] &= stays[switches.element[couples]]
    for kind, name in _TABLE_OF_KIND.items():
        at = switches.element_kind == kind
        mask[at] &= keep[name][switches.element[at]]
    return np.flatnonzero(mask)


def _moved_switches(grid: Grid, rows: Rows, row_of: Rows, keep: dict[str, Flags]) -> Switches:
    table = grid.switches.take(rows)
    element = np.array(table.element)
    couples = table.element_kind == "bus"
    element[couples] = row_of[element[couples]]
    for kind, name in _TABLE_OF_KIND.items():
        at = table.element_kind == kind
        element[at] = (np.cumsum(keep[name]) - 1)[element[at]]
    return table.with_columns(bus=row_of[table.bus], element=element)


def _with_aggregates(loads: Loads, grid: Grid, feeders: Rows, row_of: Rows) -> Loads:
    n = len(feeders)
    zeros, nothing = np.zeros(n), [""] * n
    added = {
        "id": [f"behind {grid.transformers.id[row]}" for row in feeders],
        "bus": row_of[grid.transformers.hv_bus[feeders]],
        "profile": nothing,
        "customers": np.zeros(n, dtype=np.int64),
        "priority": np.zeros(n, dtype=np.int64),
        "in_service": grid.transformers.in_service[feeders],
    }
    columns = {
        name: np.concatenate(
            [
                getattr(loads, name),
                np.asarray(added.get(name, zeros), dtype=getattr(loads, name).dtype),
            ]
        )
        for name in loads.column_names()
    }
    return type(loads)(**columns)
