"""The closed grid as a forest: who is fed from where, in arrays that the sweep runs over.

`Layout` is what never changes, `Forest` one set of switch positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from gridloom.physics.arrays import Complexes, Flags, Floats, Indices, Rows
from gridloom.physics.errors import NotRadial
from gridloom.physics.forest_kernel import (
    gather_shunts,
    grow_forest,
    incidence,
    merge_parallel,
    open_ends,
)

if TYPE_CHECKING:
    from gridloom.physics.per_unit import PerUnitModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Incidence of buses, branches and ties, whatever the positions; edges are branches, then ties."""

    start: Indices
    edge: Indices
    other: Indices
    edge_bus: Indices
    """Bus at both ends of each edge, shape (edge, 2)."""
    in_service: Flags
    """Ends with every switch closed, shape (edge, 2)."""
    branch: Floats
    """Resistance, reactance, ratio and one over the ratio of each branch side by side, shape (branch, 6) [pu]."""
    switch_end: Indices
    """Edge and side that each switch opens, shape (switch, 2); side 2 is both."""
    switch_in_service: Flags
    roots: Indices
    """Bus of each source in service."""

    @classmethod
    def of(cls, model: PerUnitModel) -> Self:
        """Lay out the edges of `model`."""
        switches, sections = model.grid.switches, model.sections
        tie = np.flatnonzero(switches.element_kind == "bus")
        tie_bus = np.stack([switches.bus[tie], switches.element[tie]], axis=1)
        branch_bus = np.stack([sections.from_bus, sections.to_bus], axis=1)
        edge_bus = np.concatenate([branch_bus, tie_bus]).astype(np.int32)
        tie_used = model.bus_in_service[tie_bus].all(axis=1, keepdims=True)
        start, edge, other = incidence(model.n_bus, edge_bus)
        inverse = model.seen_from_ends.inverse_ratio
        parts = (sections.z, sections.ratio, inverse)
        return cls(
            start=start,
            edge=edge,
            other=other,
            edge_bus=edge_bus,
            in_service=np.concatenate([model.ends_in_service, np.repeat(tie_used, 2, axis=1)]),
            branch=np.stack([side for part in parts for side in (part.real, part.imag)], axis=1),
            switch_end=_switch_ends(model, tie),
            switch_in_service=np.array(switches.in_service),
            roots=model.grid.sources.bus[model.source_rows].astype(np.int32),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """Nodes in breadth-first order at one set of switch positions; shape (node,) unless said otherwise."""

    node_of_bus: Indices
    """Shape (n_bus,), -1 where dead."""
    parent: Indices
    parent_edge: Indices
    scale: Complexes
    """Voltage referred to the root over voltage."""
    inverse_scale: Complexes
    r: Floats
    """Referred resistance to the parent [pu]."""
    x: Floats
    """Referred reactance to the parent [pu]."""
    g: Floats
    """Referred conductance to earth [pu]."""
    b: Floats
    """Referred susceptance to earth [pu]."""
    ends: Flags
    """Connected ends of the branches, shape (branch, 2)."""

    @classmethod
    def of(
        cls, model: PerUnitModel, layout: Layout, closed: Flags, *, only_spanning: bool = False
    ) -> Self:
        """Search the closed grid.

        Args:
            model: The grid in per unit.
            layout: Its layout.
            closed: Position of each switch, shape (switch,).
            only_spanning: Leave out the branches that close loops instead of refusing them.

        Raises:
            NotRadial: If there is a loop other than parallel branches of equal ratio.
        """
        n_edge, n_branch, n_bus = len(layout.edge_bus), model.n_branch, model.n_bus
        conducts = np.empty((n_edge, 2), dtype=np.bool_)
        open_ends(layout.in_service, layout.switch_end, closed & layout.switch_in_service, conducts)
        node_of_bus = np.empty(n_bus, dtype=np.int32)
        parent, parent_edge = np.empty(n_bus, dtype=np.int32), np.empty(n_bus, dtype=np.int32)
        chord = np.empty(n_edge, dtype=np.int32)
        scale, inverse_scale = (
            np.empty(n_bus, dtype=np.complex128),
            np.empty(n_bus, dtype=np.complex128),
        )
        r, x = np.empty(n_bus), np.empty(n_bus)
        sections, seen = model.sections, model.seen_from_ends
        n, n_chord = grow_forest(
            layout.start, layout.edge, layout.other, conducts, sections.from_bus, layout.branch, layout.roots,
            node_of_bus, parent, parent_edge, scale, inverse_scale, r, x, chord,
        )  # fmt: skip
        g, b = np.empty(n), np.empty(n)
        if n_chord:
            left = merge_parallel(
                chord[:n_chord], parent, sections.from_bus, sections.to_bus, node_of_bus, sections.z, sections.ratio,
                scale, r, x,
            )  # fmt: skip
            if len(left) and not only_spanning:
                raise NotRadial(_loops(model, left, parent, parent_edge, node_of_bus))
        gather_shunts(
            node_of_bus, sections.from_bus, sections.to_bus, conducts, seen.y_from, seen.y_to, seen.y_open_from,
            seen.y_open_to, model.shunt_y, inverse_scale, g, b,
        )  # fmt: skip
        return cls(
            node_of_bus=node_of_bus,
            parent=parent[:n],
            parent_edge=parent_edge[:n],
            scale=scale[:n],
            inverse_scale=inverse_scale[:n],
            r=r[:n],
            x=x[:n],
            g=g,
            b=b,
            ends=conducts[:n_branch],
        )

    @property
    def n_nodes(self) -> int:
        """Number of live nodes."""
        return len(self.parent)


def _switch_ends(model: PerUnitModel, tie: Rows) -> Indices:
    switches = model.grid.switches
    out = np.full((len(switches), 2), -1, dtype=np.int32)
    out[tie, 0] = model.n_branch + np.arange(len(tie))
    out[tie, 1] = 2
    for kind in ("line", "transformer", "branch"):
        rows = np.flatnonzero(switches.element_kind == kind)
        branch = model.offsets[kind] + switches.element[rows]
        out[rows, 0] = branch
        out[rows, 1] = switches.bus[rows] != model.sections.from_bus[branch]
    star = model.grid.transformers3w
    for row in np.flatnonzero(switches.element_kind == "transformer3w").tolist():
        element, bus = int(switches.element[row]), int(switches.bus[row])
        legs = {"hv": star.hv_bus[element], "mv": star.mv_bus[element], "lv": star.lv_bus[element]}
        leg = next((name for name, at in legs.items() if at == bus), "hv")
        out[row] = model.offsets[leg] + element, 0 if leg == "hv" else 1
    return out


def _loops(
    model: PerUnitModel,
    chords: Indices,
    parent: Indices,
    parent_edge: Indices,
    node_of_bus: Indices,
) -> list[list[str]]:
    """Return the elements of the loop that each chord closes, the chord first; two trees meet at their sources."""
    loops = []
    for chord in chords.tolist():
        ends = (model.sections.from_bus[chord], model.sections.to_bus[chord])
        first, second = (_path(int(node_of_bus[bus]), parent, parent_edge) for bus in ends)
        shared = set(first) & set(second)
        around = [e for e in first if e not in shared] + [
            e for e in reversed(second) if e not in shared
        ]
        loops.append([model.branch_name(e) for e in (chord, *around)])
    return loops


def _path(node: int, parent: Indices, parent_edge: Indices) -> list[int]:
    path = []
    while parent[node] >= 0:
        path.append(int(parent_edge[node]))
        node = int(parent[node])
    return path
