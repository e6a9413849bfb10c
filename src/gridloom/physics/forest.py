"""The closed grid as a forest: who is fed from where, in arrays that the sweep runs over.

`Layout` is what never changes, `Forest` one set of switch positions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

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
from gridloom.physics.move_kernel import SEARCH_ALL, local_shunts, move_switches

if TYPE_CHECKING:
    from gridloom.physics.per_unit import PerUnitModel


_MOST_CHANGES = 64
"""Switches that may move before a search of the whole grid is the cheaper way."""


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
    """Edge and side that each switch opens, shape (switch, 2); a tie has one side that counts."""
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


@dataclass(slots=True, kw_only=True, eq=False)
class _Room:
    """Arrays behind a forest, with room for nodes to come; `n` and `n_listed` say how much is in use."""

    closed: Flags
    n_open: Indices
    conducts: Flags
    node_of_bus: Indices
    parent: Indices
    parent_edge: Indices
    scale: Complexes
    inverse_scale: Complexes
    r: Floats
    x: Floats
    g: Floats
    b: Floats
    bus_list: Indices
    first: Indices
    count: Indices
    n: int = 0
    n_listed: int = 0

    @classmethod
    def empty(cls, n_bus: int, n_edge: int, closed: Flags) -> Self:
        """Make room for a quarter more nodes than buses: holes and newcomers until the next full search."""
        n = n_bus + n_bus // 4 + 16
        return cls(
            closed=closed,
            n_open=np.empty((n_edge, 2), dtype=np.int32),
            conducts=np.empty((n_edge, 2), dtype=np.bool_),
            node_of_bus=np.empty(n_bus, dtype=np.int32),
            parent=np.empty(n, dtype=np.int32),
            parent_edge=np.empty(n, dtype=np.int32),
            scale=np.empty(n, dtype=np.complex128),
            inverse_scale=np.empty(n, dtype=np.complex128),
            r=np.empty(n),
            x=np.empty(n),
            g=np.empty(n),
            b=np.empty(n),
            bus_list=np.empty(3 * n_bus, dtype=np.int32),
            first=np.empty(n + 1, dtype=np.int32),
            count=np.empty(n, dtype=np.int32),
        )

    def copy(self) -> _Room:
        """Return a copy that shares nothing."""
        arrays = (spec.name for spec in fields(self) if spec.name not in {"n", "n_listed"})
        copies: dict[str, Any] = {name: getattr(self, name).copy() for name in arrays}
        return _Room(**copies, n=self.n, n_listed=self.n_listed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """Nodes, parents first, at one set of switch positions; shape (node,) unless said otherwise.

    Fresh from a full search they stand in breadth-first order. After `moved`, holes may stand between them: roots
    that no bus belongs to.
    """

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
    room: _Room

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
        room = _Room.empty(model.n_bus, len(layout.edge_bus), closed & layout.switch_in_service)
        open_ends(layout.in_service, layout.switch_end, room.closed, room.n_open, room.conducts)
        chord = np.empty(len(layout.edge_bus), dtype=np.int32)
        sections, seen = model.sections, model.seen_from_ends
        room.n, n_chord = grow_forest(
            layout.start, layout.edge, layout.other, room.conducts, sections.from_bus, layout.branch, layout.roots,
            room.node_of_bus, room.parent, room.parent_edge, room.scale, room.inverse_scale, room.r, room.x, chord,
            room.bus_list, room.first,
        )  # fmt: skip
        room.n_listed = int(room.first[room.n])
        np.subtract(room.first[1 : room.n + 1], room.first[: room.n], out=room.count[: room.n])
        if n_chord:
            left = merge_parallel(
                chord[:n_chord], room.parent, sections.from_bus, sections.to_bus, room.node_of_bus, sections.z,
                sections.ratio, room.scale, room.r, room.x,
            )  # fmt: skip
            if len(left) and not only_spanning:
                raise NotRadial(
                    _loops(model, left, room.parent, room.parent_edge, room.node_of_bus)
                )
        n = room.n
        gather_shunts(
            room.node_of_bus, sections.from_bus, sections.to_bus, room.conducts, seen.y_from, seen.y_to,
            seen.y_open_from, seen.y_open_to, model.shunt_y, room.inverse_scale[:n], room.g[:n], room.b[:n],
        )  # fmt: skip
        return cls._over(room, model.n_branch)

    def moved(self, model: PerUnitModel, layout: Layout, closed: Flags) -> Self | None:
        """Return the forest at other positions by looking only at what changed.

        This forest's own arrays are used for it and worth nothing afterwards.

        Returns:
            The forest, or None where the whole grid has to be searched: a tie, a parallel branch or a loop is touched,
            or too much has moved.
        """
        room = self.room
        closed = closed & layout.switch_in_service
        changed = np.flatnonzero(closed != room.closed)
        if len(changed) > _MOST_CHANGES or room.n_listed > 2 * model.n_bus:
            return None
        sections, seen, before = model.sections, model.seen_from_ends, room.n
        n, room.n_listed = move_switches(
            changed, closed, layout.switch_end, layout.in_service, room.n_open, room.conducts, layout.start,
            layout.edge, layout.other, sections.from_bus, sections.to_bus, layout.branch, room.node_of_bus,
            room.parent, room.parent_edge, room.scale, room.inverse_scale, room.r, room.x, room.g, room.b,
            room.bus_list, room.first, room.count, room.n, room.n_listed,
        )  # fmt: skip
        if n == SEARCH_ALL:
            return None
        room.n, room.closed = n, closed
        edges = layout.switch_end[changed, 0]
        near = room.node_of_bus[layout.edge_bus[edges[edges >= 0]].ravel()]
        local_shunts(
            np.concatenate([near.astype(np.int64), np.arange(before, n)]), room.bus_list, room.first, room.count,
            layout.start, layout.edge, room.conducts, sections.from_bus, seen.y_from, seen.y_to, seen.y_open_from,
            seen.y_open_to, model.shunt_y, room.inverse_scale, room.g, room.b,
        )  # fmt: skip
        return self._over(room, model.n_branch)

    @classmethod
    def _over(cls, room: _Room, n_branch: int) -> Self:
        n = room.n
        return cls(
            node_of_bus=room.node_of_bus,
            parent=room.parent[:n],
            parent_edge=room.parent_edge[:n],
            scale=room.scale[:n],
            inverse_scale=room.inverse_scale[:n],
            r=room.r[:n],
            x=room.x[:n],
            g=room.g[:n],
            b=room.b[:n],
            ends=room.conducts[:n_branch],
            room=room,
        )

    def copy(self) -> Self:
        """Return a forest that shares no array with this one."""
        return self._over(self.room.copy(), len(self.ends))

    @property
    def n_nodes(self) -> int:
        """Number of nodes, holes included."""
        return len(self.parent)


def _switch_ends(model: PerUnitModel, tie: Rows) -> Indices:
    switches = model.grid.switches
    out = np.full((len(switches), 2), -1, dtype=np.int32)
    out[tie, 0] = model.n_branch + np.arange(len(tie))
    out[tie, 1] = 0
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
