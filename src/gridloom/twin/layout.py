"""Which rows of evidence exist at a topology, and where each stands in the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.physics.arrays import Flags, Floats, Rows
from gridloom.twin.equations import Equations
from gridloom.twin.measurements import Quantity
from gridloom.twin.network import LiveNetwork, live_network
from gridloom.twin.sensors import Elements, Sensors
from gridloom.twin.wls import CommonError

if TYPE_CHECKING:
    from gridloom.grid.topology import Topology
    from gridloom.physics.per_unit import PerUnitModel


_COMMON_PU, _CARRIED_PU = 3e-4, 2e-3
"""Standard deviation of what all meters' voltages may have in common [pu]: late and on a documented model; and carried
to now by telemetry, whose noise of one instrument is the second figure."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Rows in this order: P and Q of the free nodes, voltages, voltages of the sources, P, Q and I of the flows."""

    topology: Topology
    live: LiveNetwork
    ends: Flags
    """Connected branch ends of the per-unit model, shape (branch, 2)."""
    equations: Equations
    free_node: Rows
    """Nodes without a source: what they inject is known from their elements."""
    stiffness: Floats
    """Magnitude of the own admittance of each free node [pu]."""
    element_used: Rows
    """Elements in service at a live node."""
    element_node: Rows
    """Their nodes."""
    voltage_row: Rows
    """Instrument of each voltage row."""
    voltage_is_meter: Flags
    source: Rows
    """Sources at a live node: their documented voltage stands in while nothing better is known."""
    flow_row: Rows
    """Instrument of each flow."""
    flow_base_ka: Floats
    """Current of 1 MVA at each flow."""
    instrument: Rows
    """Instrument of each row of the equations; -1 at a node, where there may be several, shape (m,)."""
    common: CommonError
    """What all meters' voltages share."""

    @property
    def n_nodes(self) -> int:
        """Live nodes."""
        return self.live.network.n_nodes


def layout_of(
    model: PerUnitModel, topology: Topology, sensors: Sensors, elements: Elements
) -> Layout:
    """Work out everything that a topology decides."""
    live = live_network(model, topology)
    node_of_bus, network = live.node_of_bus, live.network
    source_node = node_of_bus[model.grid.sources.bus[model.source_rows]]
    is_free = np.ones(network.n_nodes, dtype=np.bool_)
    source = model.source_rows[source_node >= 0]
    is_free[source_node[source_node >= 0]] = False
    free = np.flatnonzero(is_free)
    element_node = node_of_bus[elements.bus]
    used = np.flatnonzero(elements.in_service & (element_node >= 0))
    voltage_node = node_of_bus[sensors.voltage_bus]
    seen = np.flatnonzero(voltage_node >= 0)
    branch = live.branch_of_row[sensors.flow_branch]
    flow = np.flatnonzero(branch >= 0)
    at_to = 2 * sensors.flow_side[flow]
    quantity = np.concatenate(
        [
            np.full(len(free), Quantity.P_INJECTION),
            np.full(len(free), Quantity.Q_INJECTION),
            np.full(len(seen) + len(source), Quantity.VOLTAGE),
            Quantity.P_FROM + at_to,
            Quantity.Q_FROM + at_to,
            Quantity.I_FROM + sensors.flow_side[flow],
        ]
    )
    at_source = node_of_bus[model.grid.sources.bus[source]]
    place = np.concatenate([free, free, voltage_node[seen], at_source, *[branch[flow]] * 3])
    nobody, none = (
        np.full(2 * len(free), -1, dtype=np.int64),
        np.full(len(source), -1, dtype=np.int64),
    )
    flow_row, voltage_row = sensors.flow_row[flow], sensors.voltage_row[seen]
    carried = _CARRIED_PU / np.sqrt(max(1, int((~sensors.voltage_is_meter[seen]).sum())))
    of_meters = np.zeros(len(place), dtype=np.bool_)
    of_meters[2 * len(free) + np.flatnonzero(sensors.voltage_is_meter[seen])] = True
    return Layout(
        topology=topology,
        live=live,
        ends=model.ends(topology),
        equations=Equations(network, quantity, place),
        free_node=free,
        stiffness=np.abs(network.admittance.diagonal())[free],
        element_used=used,
        element_node=element_node[used],
        voltage_row=voltage_row,
        voltage_is_meter=sensors.voltage_is_meter[seen],
        flow_row=flow_row,
        flow_base_ka=model.current_base_ka[sensors.flow_branch[flow], sensors.flow_side[flow]],
        source=source,
        instrument=np.concatenate([nobody, voltage_row, none, *[flow_row] * 3]),
        common=CommonError(rows=of_meters, sigma=float(np.hypot(_COMMON_PU, carried))),
    )
