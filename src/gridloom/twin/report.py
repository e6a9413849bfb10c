"""From the solved network back to the grid's tables: what a `GridState` says about every element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gridloom.grid.identity import state_hash
from gridloom.grid.instruments import Instruments
from gridloom.physics.arrays import Complexes, Flags, Floats
from gridloom.physics.per_unit import PerUnitModel
from gridloom.physics.results import result_from_voltages
from gridloom.twin.bad_data import Residuals
from gridloom.twin.evidence import Evidence, P, Q
from gridloom.twin.layout import Layout
from gridloom.twin.measurements import Origin
from gridloom.twin.sensors import Elements, Sensors
from gridloom.twin.state import GridState, SuspectReading
from gridloom.twin.wls import Covariance, Solution

_CHI_SQUARE_QUANTILE = 2.326
"""Standard normal quantile of 99 %: with thousands of degrees of freedom the normal limit is exact enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Everything that a cycle computed, in the order of the network."""

    layout: Layout
    evidence: Evidence
    solution: Solution
    spread: Covariance
    residuals: Residuals
    observable: Flags
    suspects: tuple[SuspectReading, ...]


def grid_state(  # noqa: PLR0913 - one cycle's facts, each from another source
    model: PerUnitModel,
    elements: Elements,
    instruments: Instruments,
    sensors: Sensors,
    estimate: Estimate,
    *,
    positions: Flags,
    now_ns: int,
    engine: str,
    seconds: float,
) -> GridState:
    """Map an estimate to the tables of the grid."""
    grid, layout = model.grid, estimate.layout
    n_bus = len(grid.buses)
    node_of_bus = layout.live.node_of_bus
    live = node_of_bus >= 0
    voltage = np.full(model.n_bus, np.nan, dtype=np.complex128)
    voltage[live] = estimate.solution.voltage[node_of_bus[live]]
    flows = result_from_voltages(
        model,
        layout.ends,
        voltage,
        converged=estimate.solution.converged,
        engine=engine,
        iterations=estimate.solution.iterations,
        residual_pu=estimate.solution.step,
        solve_ms=0.0,
    )
    sigma = np.full(model.n_bus, np.nan)
    sigma[live] = estimate.spread.v_sigma_pu[node_of_bus[live]]
    observable = np.zeros(model.n_bus, dtype=np.bool_)
    observable[live] = estimate.observable[node_of_bus[live]]
    injection = _element_injections(estimate, elements, voltage)
    loads, generators = elements.n_loads, elements.n_loads + elements.n_generators
    lines, transformers = flows.line_flow, flows.transformer_flow
    residuals, n = estimate.residuals, len(instruments)
    redundancy = _per_instrument(estimate, sensors, elements, residuals.redundancy, n)
    supported = np.where(residuals.is_critical, 0.0, 1.0)
    chi_square, limit = _chi_square(estimate)
    return GridState(
        time_ns=now_ns,
        state_hash=state_hash(grid.with_positions(positions)),
        positions=positions,
        is_energised=live[:n_bus],
        v_pu=np.abs(voltage[:n_bus]),
        angle_rad=np.angle(voltage[:n_bus]),
        v_sigma_pu=sigma[:n_bus],
        freshness_s=_freshness(model, instruments, sensors, estimate.evidence),
        is_observable=observable[:n_bus],
        line_p_mw=lines.p_from_mw,
        line_q_mvar=lines.q_from_mvar,
        line_i_ka=np.fmax(lines.i_from_ka, lines.i_to_ka),
        line_loading_pct=lines.loading_pct,
        transformer_p_mw=transformers.p_from_mw,
        transformer_q_mvar=transformers.q_from_mvar,
        transformer_loading_pct=transformers.loading_pct,
        load_p_mw=-injection[P, :loads],
        load_q_mvar=-injection[Q, :loads],
        generator_p_mw=injection[P, loads:generators],
        generator_q_mvar=injection[Q, loads:generators],
        storage_p_mw=injection[P, generators:],
        storage_q_mvar=injection[Q, generators:],
        source_vm_pu=np.abs(voltage[grid.sources.bus]),
        converged=estimate.solution.converged,
        engine=engine,
        iterations=estimate.solution.iterations,
        measured_share=_measured_share(estimate),
        redundancy=np.where(np.isfinite(redundancy), redundancy, np.nan),
        is_critical=_per_instrument(estimate, sensors, elements, supported, n) == 0.0,
        chi_square=chi_square,
        chi_square_limit=limit,
        suspects=estimate.suspects,
        seconds=seconds,
    )


def _element_injections(estimate: Estimate, elements: Elements, voltage: Complexes) -> Floats:
    """Return what each element injects, shape (2, element): a node's residual is shared out by variance.

    What is dead injects nothing.
    """
    layout, injections = estimate.layout, estimate.evidence.injections
    used, node, free = layout.element_used, layout.element_node, layout.free_node
    value = np.zeros((2, len(elements)))
    value[:, used] = injections.value[:, used]
    for part in (P, Q):
        residual = np.zeros(layout.n_nodes)
        rows = slice(part * len(free), (part + 1) * len(free))
        residual[free] = estimate.solution.residual[rows]
        variance = injections.variance[part, used]
        total = np.bincount(node, variance, layout.n_nodes)
        value[part, used] -= residual[node] * variance / np.maximum(total[node], 1e-30)
    value[:, np.isnan(voltage[elements.bus].real)] = 0.0
    return value


def _chi_square(estimate: Estimate) -> tuple[float, float]:
    network = estimate.layout.live.network
    states = 2 * network.n_nodes - len(network.reference)
    freedom = int((estimate.evidence.weight > 0).sum()) - states
    if freedom <= 0:
        return 0.0, np.inf
    limit = 1.0 + _CHI_SQUARE_QUANTILE * float(np.sqrt(2.0 / freedom))
    return estimate.solution.objective / freedom, limit


def _measured_share(estimate: Estimate) -> float:
    origin = estimate.evidence.origin[: len(estimate.layout.free_node)]
    asked = int((origin != Origin.ZERO).sum())
    return float((origin == Origin.METER).sum() / asked) if asked else 0.0


def _per_instrument(
    estimate: Estimate, sensors: Sensors, elements: Elements, of_row: Floats, n_instruments: int
) -> Floats:
    """Return the least of a figure of each instrument's rows; infinite where it has none, shape (instrument,).

    What is not finite does not count. A node's row stands for all meters at the node.
    """
    layout = estimate.layout
    of_row = np.where(np.isfinite(of_row), of_row, np.inf)
    least = np.full(n_instruments, np.inf)
    own = layout.instrument >= 0
    np.minimum.at(least, layout.instrument[own], of_row[own])
    n = len(layout.free_node)
    at_node = np.full(layout.n_nodes, np.inf)
    at_node[layout.free_node] = np.minimum(of_row[:n], of_row[n : 2 * n])
    by_element = np.full(len(elements), np.inf)
    by_element[layout.element_used] = at_node[layout.element_node]
    meter = sensors.meter_row
    least[meter] = np.minimum(least[meter], by_element[sensors.meter_element])
    return least


def _freshness(
    model: PerUnitModel, instruments: Instruments, sensors: Sensors, evidence: Evidence
) -> Floats:
    """Return the age of the newest reading at each bus, or where there is none, in its cell."""
    buses = model.grid.buses
    age = evidence.age_s
    at_bus = np.full(model.n_bus, np.inf)
    np.minimum.at(at_bus, sensors.voltage_bus, age[sensors.voltage_row])
    in_cell = np.full(len(model.grid.cells), np.inf)
    row = sensors.voltage_row
    np.minimum.at(in_cell, instruments.cell[row], age[row])
    own = at_bus[: len(buses)]
    return np.where(np.isfinite(own), own, in_cell[buses.cell])
