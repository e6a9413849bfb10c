"""Where the current of a three-phase fault flows, and which breakers stand around it.

Every source holds 1 pu behind its short-circuit impedance, the fault is a small resistance to earth: one linear
system, the same for radial and looped grids (superposition method, IEC 60909 without its voltage factor).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from gridloom.core.units import BASE_MVA, SQRT3
from gridloom.field.fault_network import LINE, MAX_LV_KV, Complexes, Edges, FaultNetwork
from gridloom.grid.tables import Flags, Floats, Rows

_LEVEL_SHARE = 0.9
"""Grids below this share of the fault's rated voltage feed nothing back and are left out."""
_NONE_KA = 1e-6
_LEAST_FAULT_PU = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaultCurrents:
    """What a fault drives through the grid."""

    total_ka: float
    """Into the fault, at the fault's voltage [kA]."""
    line_ka: Floats
    """At each line end, shape (line, 2) [kA]."""
    breaker_ka: dict[int, float]
    """Through each relayed breaker that sees current, by row in switches [kA]."""
    trips: tuple[int, ...]
    """Relayed breakers nearest around the fault that see more than their pick-up."""
    fuses: tuple[tuple[int, int], ...]
    """(line, side) of the feeder fuses on the fault's way, nearest to the transformer; low voltage only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlace:
    """Where on which line, and through what."""

    line: int
    fraction: float
    """Distance from the from bus as a share of the length, inside (0, 1)."""
    resistance_ohm: float = 0.0


def fault_currents(
    network: FaultNetwork,
    place: FaultPlace,
    pickup_ka: Floats,
    failed: frozenset[int] = frozenset(),
) -> FaultCurrents | None:
    """Return the currents of a fault, or None where the line carries no voltage.

    Args:
        network: The switching state.
        place: The fault.
        pickup_ka: Pick-up of the relay on each breaker, shape (switch,), infinite without a relay [kA].
        failed: Breakers that did not open: the ones behind them have to.

    Returns:
        Currents, and what protection stands nearest.
    """
    edges, fault_node = _with_fault(network, place)
    vn_kv = np.append(
        network.vn_kv, network.grid.buses.vn_kv[network.grid.lines.from_bus[place.line]]
    )
    edges = _that_matter(edges, vn_kv, fault_node)
    part = _component(edges, fault_node, len(vn_kv))
    fed = part[network.source_node]
    if not fed.any():
        return None
    edges = edges.take(part[edges.near])
    v_pu = _voltages(network, edges, fault_node, place, fed, part)
    base_ka = BASE_MVA / SQRT3 / vn_kv
    i_pu = np.abs((v_pu[edges.near] - v_pu[edges.far]) / edges.z_pu)
    side_ka = np.stack([i_pu * base_ka[edges.near], i_pu * base_ka[edges.far]], axis=1)
    line_ka = _line_currents(edges, side_ka, place.line, fault_node, len(network.grid.lines))
    return FaultCurrents(
        total_ka=float(line_ka[place.line].sum()),
        line_ka=line_ka,
        breaker_ka=_breaker_currents(edges, side_ka),
        trips=_trips(edges, side_ka, fault_node, pickup_ka, failed),
        fuses=_fuses(network, edges, i_pu, v_pu) if vn_kv[fault_node] <= MAX_LV_KV else (),
    )


def _that_matter(edges: Edges, vn_kv: Floats, fault_node: int) -> Edges:
    """Leave out what feeds nothing back: grids of lower voltage, and low-voltage grids next door."""
    lower_kv = np.minimum(vn_kv[edges.near], vn_kv[edges.far])
    edges = edges.take(lower_kv >= _LEVEL_SHARE * vn_kv[fault_node])
    if vn_kv[fault_node] > MAX_LV_KV:
        return edges
    is_lv = np.maximum(vn_kv[edges.near], vn_kv[edges.far]) <= MAX_LV_KV
    own = _component(edges.take(is_lv), fault_node, len(vn_kv))
    return edges.take(~is_lv | own[edges.near])


def _with_fault(network: FaultNetwork, place: FaultPlace) -> tuple[Edges, int]:
    """Split the faulted line into its two parts; an open end has none."""
    grid, line = network.grid, place.line
    fault_node = len(network.vn_kv)
    edges = network.edges
    whole = (edges.kind == LINE) & (edges.element == line)
    buses = np.array([grid.lines.from_bus[line], grid.lines.to_bus[line]])
    nodes = network.node_of_bus[buses]
    ends = np.flatnonzero(np.asarray(network.topology.line_closed)[line] & (nodes >= 0))
    share = np.array([place.fraction, 1.0 - place.fraction])[ends]
    z_pu = network.line_z_pu(np.full(len(ends), line)) * share
    parts = Edges(
        kind=np.full(len(ends), LINE),
        element=np.full(len(ends), line),
        side=ends,
        near=nodes[ends],
        far=np.full(len(ends), fault_node),
        z_pu=z_pu,
        near_breaker=_breaker_at_ends(network, line, buses[ends]),
        far_breaker=np.full(len(ends), -1),
    )
    return Edges.join(edges.take(~whole), parts), fault_node


def _breaker_at_ends(network: FaultNetwork, line: int, buses: Rows) -> Rows:
    found = [network.breaker_at.get((LINE, line, bus), -1) for bus in buses.tolist()]
    return np.array(found, dtype=np.int64)


def _component(edges: Edges, node: int, n: int) -> Flags:
    links = coo_matrix((np.ones(len(edges)), (edges.near, edges.far)), shape=(n, n))
    _, label = connected_components(links, directed=False)
    return np.asarray(label == label[node])


def _voltages(
    network: FaultNetwork, edges: Edges, fault_node: int, place: FaultPlace, fed: Flags, part: Flags
) -> Complexes:
    """Solve Y V = I with the sources as Norton equivalents and the fault as a shunt."""
    n = len(part)
    small = np.full(n, -1)
    small[part] = np.arange(np.count_nonzero(part))
    m = int(part.sum())
    a, b, y = small[edges.near], small[edges.far], 1.0 / edges.z_pu
    source = small[network.source_node[fed]]
    y_source = 1.0 / network.source_z_pu[fed]
    line_from = network.grid.lines.from_bus[place.line]
    base_ohm = network.grid.buses.vn_kv[line_from] ** 2 / BASE_MVA
    y_fault = 1.0 / max(place.resistance_ohm / base_ohm, _LEAST_FAULT_PU)
    rows = np.concatenate([a, b, a, b, source, [small[fault_node]]])
    columns = np.concatenate([a, b, b, a, source, [small[fault_node]]])
    values = np.concatenate([y, y, -y, -y, y_source, [y_fault]])
    matrix = csc_matrix((values, (rows, columns)), shape=(m, m))
    injected = np.zeros(m, dtype=np.complex128)
    np.add.at(injected, source, y_source)
    v_pu = np.zeros(n, dtype=np.complex128)
    v_pu[part] = splu(matrix).solve(injected)
    return v_pu


def _line_currents(
    edges: Edges, side_ka: Floats, line: int, fault_node: int, n_lines: int
) -> Floats:
    found = np.zeros((n_lines, 2))
    whole = (edges.kind == LINE) & (edges.far != fault_node)
    found[edges.element[whole]] = side_ka[whole]
    for row in np.flatnonzero(edges.far == fault_node):
        found[line, int(edges.side[row])] = side_ka[row, 0]
    return found


def _breaker_currents(edges: Edges, side_ka: Floats) -> dict[int, float]:
    found: dict[int, float] = {}
    for column, breaker in enumerate((edges.near_breaker, edges.far_breaker)):
        for row in np.flatnonzero((breaker >= 0) & (side_ka[:, column] > _NONE_KA)):
            found[int(breaker[row])] = float(side_ka[row, column])
    return found


def _trips(
    edges: Edges, side_ka: Floats, fault_node: int, pickup_ka: Floats, failed: frozenset[int]
) -> tuple[int, ...]:
    """Walk out from the fault until breakers that see the fault stop the way."""
    around: dict[int, list[tuple[int, bool]]] = {}
    for row, (near, far) in enumerate(zip(edges.near.tolist(), edges.far.tolist(), strict=True)):
        around.setdefault(near, []).append((row, True))
        around.setdefault(far, []).append((row, False))
    trips: set[int] = set()
    seen, queue = {fault_node}, deque([fault_node])
    while queue:
        for row, is_near in around.get(queue.popleft(), ()):
            here, there = (0, 1) if is_near else (1, 0)
            breakers = (edges.near_breaker[row], edges.far_breaker[row])
            stops = [
                int(breakers[side])
                for side in (here, there)
                if breakers[side] >= 0
                and int(breakers[side]) not in failed
                and side_ka[row, side] > pickup_ka[breakers[side]]
            ]
            if stops:
                trips.add(stops[0])
                continue
            beyond = int(edges.far[row] if is_near else edges.near[row])
            if beyond not in seen:
                seen.add(beyond)
                queue.append(beyond)
    return tuple(sorted(trips))


def _fuses(
    network: FaultNetwork, edges: Edges, i_pu: Floats, v_pu: Complexes
) -> tuple[tuple[int, int], ...]:
    """Return the low-voltage line ends at transformers through which the fault is fed."""
    line_kv = network.grid.buses.vn_kv[network.grid.lines.from_bus]
    is_line = edges.kind == LINE
    is_lv = np.zeros(len(edges), dtype=np.bool_)
    is_lv[is_line] = line_kv[edges.element[is_line]] <= MAX_LV_KV
    flowing = np.flatnonzero(is_lv & (i_pu > _NONE_KA))
    units = network.grid.transformers
    heads = set(network.node_of_bus[units.lv_bus].tolist())
    found = set()
    for row in flowing.tolist():
        for node, side in ((int(edges.near[row]), 0), (int(edges.far[row]), 1)):
            other = int(edges.far[row] if side == 0 else edges.near[row])
            if node in heads and abs(v_pu[node]) > abs(v_pu[other]):
                at = int(edges.side[row]) if side == 0 else 1
                found.add((int(edges.element[row]), at))
    return tuple(sorted(found))
