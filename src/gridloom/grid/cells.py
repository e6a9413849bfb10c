"""The tree of cells: from SimBench's subnets, or from the topology where a source names none.

A cell is what a message subject, an agent's right to act and an island are about: area > substation > feeder >
neighbourhood.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gridloom.grid.model import Cells
from gridloom.grid.tables import texts

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Rows, Texts
    from gridloom.grid.topology import Topology, Wiring

_LEVEL_KINDS = {"EHV": "nation", "HV": "area", "MV": "substation", "LV": "neighbourhood"}


def subnet_cells(subnets: Texts, hv_subnets: Texts, lv_subnets: Texts) -> tuple[Cells, Rows]:
    """Return the tree of cells and each bus's row in it, from SimBench's subnet names.

    A bus names its own subnet first and its feeder last (`MV3.101_LV4.301_Feeder1`). Feeders hang under their subnet,
    a subnet under the cell of its transformers' high sides.

    Args:
        subnets: Subnet of each bus, shape (bus,).
        hv_subnets: Subnet of the high-side bus of each transformer, shape (transformer,).
        lv_subnets: Subnet of its low-side bus, shape (transformer,).
    """
    parent: dict[str, str] = {}
    cell_of_bus = [_own_cell(text) for text in subnets.tolist()]
    for hv, lv in zip(hv_subnets.tolist(), lv_subnets.tolist(), strict=True):
        child, above = _own_subnet(lv), _own_cell(hv)
        if child != _own_subnet(hv):
            parent.setdefault(child, above)
    for cell in cell_of_bus:
        subnet = _own_subnet(cell)
        if cell != subnet:
            parent.setdefault(cell, subnet)
    names = sorted(set(cell_of_bus) | set(parent) | set(parent.values()), key=_natural)
    roots = [name for name in names if name not in parent]
    if len(roots) != 1:
        parent |= dict.fromkeys(roots, "grid")
        names = ["grid", *names]
    row = {name: at for at, name in enumerate(_parents_first(names, parent))}
    cells = Cells(
        id=texts(row),
        parent=np.array([row[parent[name]] if name in parent else -1 for name in row]),
        kind=texts(_kind(name) for name in row),
        name=texts(row),
    )
    return cells, np.array([row[cell] for cell in cell_of_bus], dtype=np.int64)


def derive_cells(grid: Grid) -> Grid:
    """Return `grid` with cells taken from its topology at normal switch positions.

    The buses that a source reaches without passing a line are its substation; what hangs below, piece by piece, are
    its feeders; the rest belongs to the area.
    """
    if not len(grid.buses):
        return grid
    at = grid.wiring.topology(grid.switches.closed)
    zone = _substation_of_node(grid, at)
    feeder, first_parent = _feeders(grid.wiring, at, zone)
    ids, parent, kind = ["grid"], [-1], ["area"]
    n_zones = int(zone.max(initial=-1)) + 1
    for number in range(n_zones):
        ids.append(f"substation{number + 1}")
        parent.append(0)
        kind.append("substation")
    for number, above in enumerate(first_parent):
        ids.append(f"feeder{number + 1}")
        parent.append(1 + above if above >= 0 else 0)
        kind.append("feeder")
    cell_of_node = np.where(zone >= 0, 1 + zone, np.where(feeder >= 0, 1 + n_zones + feeder, 0))
    cell = np.where(at.node_of_bus >= 0, np.append(cell_of_node, 0)[at.node_of_bus], 0)
    cells = Cells(id=texts(ids), parent=np.array(parent), kind=texts(kind), name=texts(ids))
    return grid.with_tables(cells=cells, buses=grid.buses.with_columns(cell=cell))


def _own_subnet(text: str) -> str:
    return text.partition("_")[0] or "grid"


def _own_cell(text: str) -> str:
    feeder = re.search(r"Feeder\d+$", text)
    return f"{_own_subnet(text)}_{feeder.group()}" if feeder else _own_subnet(text)


def _kind(name: str) -> str:
    if "_Feeder" in name:
        return "feeder"
    level = re.match(r"[A-Z]+", name)
    return _LEVEL_KINDS.get(level.group() if level else "", "area")


def _natural(name: str) -> tuple[object, ...]:
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)
    )


def _parents_first(names: list[str], parent: dict[str, str]) -> list[str]:
    def depth(name: str) -> int:
        steps = 0
        while name in parent and steps <= len(names):
            name = parent[name]
            steps += 1
        return steps

    return sorted(names, key=depth)


def _joins(wiring: Wiring, at: Topology, kinds: tuple[str, ...]) -> Rows:
    """Return the pairs of nodes joined by elements of `kinds`, shape (pair, 2)."""
    closed = {
        "line": at.line_closed,
        "transformer": at.transformer_closed,
        "transformer3w": at.transformer3w_closed,
        "branch": at.branch_closed,
    }
    found = [np.empty((0, 2), dtype=np.int64)]
    for kind in kinds:
        nodes, ends = at.node_of_bus[wiring.ends[kind].buses], closed[kind]
        for second in range(1, nodes.shape[1]):
            both = ends[:, 0] & ends[:, second]
            found.append(nodes[both][:, [0, second]])
    return np.concatenate(found)


def _substation_of_node(grid: Grid, at: Topology) -> Rows:
    """Return the substation of each node, -1 for none: what a source reaches through transformers alone."""
    from gridloom.grid.topology_kernel import group

    joins = _joins(grid.wiring, at, ("transformer", "transformer3w"))
    cluster, _ = group(np.ones(at.n_nodes, dtype=np.bool_), joins[:, 0].copy(), joins[:, 1].copy())
    source_nodes = at.node_of_bus[grid.wiring.source_bus]
    fed = np.unique(cluster[source_nodes[source_nodes >= 0]])
    number = np.full(at.n_nodes, -1, dtype=np.int64)
    number[fed] = np.arange(fed.size)
    return number[cluster]


def _feeders(wiring: Wiring, at: Topology, zone: Rows) -> tuple[Rows, list[int]]:
    """Return the feeder of each node (-1 in a substation or where dead) and the substation above each feeder."""
    from gridloom.grid.topology_kernel import group

    joins = _joins(wiring, at, ("line", "transformer", "transformer3w", "branch"))
    below = (zone < 0) & at.is_energised_node
    feeder, count = group(below, joins[:, 0].copy(), joins[:, 1].copy())
    above = [-1] * count
    for first, second in joins.tolist():
        for node, other in ((first, second), (second, first)):
            if zone[node] >= 0 and feeder[other] >= 0 and above[feeder[other]] < 0:
                above[feeder[other]] = int(zone[node])
    return feeder, above
