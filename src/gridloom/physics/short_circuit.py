"""Short-circuit currents after IEC 60909 by power-grid-model, for a fault on a bus or inside a line.

    short_circuit(grid, line="L7", share=0.3) -> ShortCircuitResult
    short_circuit(grid, bus="B2", fault_ohm=0.5, case="min")

Three-phase faults only: far from generators a fault between two phases draws sqrt(3)/2 of the three-phase current, and
earth faults need zero-sequence data that most grids lack. Loads, generators, charging and shunts are left out, as the
standard's equivalent source at the fault asks; transformers keep their tap. Currents of a faulted line are what flows
into it at its two ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from power_grid_model import (
    FaultPhase,
    FaultType,
    PowerGridModel,
    ShortCircuitVoltageScaling,
    initialize_array,
)

from gridloom.core.errors import BadInput
from gridloom.physics.pgm import PgmModel, Structured

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Floats
    from gridloom.grid.topology import Topology

DEFAULT_SK_MVA = 10_000.0
"""Short-circuit power of a source whose table gives none."""

_SCALING = {"max": ShortCircuitVoltageScaling.maximum, "min": ShortCircuitVoltageScaling.minimum}
_LEAST_SHARE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShortCircuitResult:
    """Initial symmetrical short-circuit currents."""

    fault_ka: float
    """Current into the fault, 0 where it is not energised [kA]."""
    line_from_ka: Floats
    """Current into the from end of each line, shape (line,) [kA]."""
    line_to_ka: Floats
    transformer_hv_ka: Floats
    """Current into the high side of each two-winding transformer, shape (transformer,) [kA]."""
    transformer_lv_ka: Floats
    branch_from_ka: Floats
    branch_to_ka: Floats
    v_pu: Floats
    """Voltage left at each bus, NaN where dead, shape (bus,) [pu]."""


def short_circuit(
    grid: Grid,
    *,
    line: str | None = None,
    bus: str | None = None,
    share: float = 0.5,
    fault_ohm: float = 0.0,
    case: Literal["max", "min"] = "max",
    topology: Topology | None = None,
) -> ShortCircuitResult:
    """Return the currents of one fault at the grid's switch positions.

    Args:
        grid: The grid.
        line: Id of the faulted line; give either this or `bus`.
        bus: Id of the faulted bus.
        share: Place of the fault along the line, 0 at its from end, 1 at its to end.
        fault_ohm: Resistance of the fault [ohm].
        case: Whether the voltage factor of the highest or of the lowest current is taken.
        topology: Topology of `grid`, where it is at hand.

    Raises:
        UnknownId: If there is no such line or bus.
        BadInput: If not exactly one place is named, or a value is out of range.
    """
    if (line is None) == (bus is None):
        raise BadInput("name either a line or a bus for the fault")
    if not 0.0 <= share <= 1.0:
        raise BadInput(f"share is {share}; give a place from 0 (from end) to 1 (to end)")
    if not fault_ohm >= 0.0:
        raise BadInput(f"fault_ohm is {fault_ohm}; give a resistance of at least 0 ohm")
    model = PgmModel(grid, topology)
    components = dict(model.input)
    components["source"] = _sources(model)
    components["generic_branch"] = _without_shunts(components["generic_branch"])
    for left_out in ("voltage_regulator", "sym_gen", "sym_load", "shunt"):
        components.pop(left_out, None)
    faulted = grid.lines.row(line) if line is not None else -1
    if bus is not None:
        node = int(model.node_of_bus[grid.buses.row(bus)])
    else:
        node = _split(model, components, faulted, min(max(share, _LEAST_SHARE), 1 - _LEAST_SHARE))
    fault = initialize_array("input", "fault", 1)
    fault["id"], fault["status"], fault["fault_object"] = model.first_free_id + 2, 1, node
    fault["fault_type"], fault["fault_phase"] = FaultType.three_phase, FaultPhase.abc
    fault["r_f"], fault["x_f"] = fault_ohm, 0.0
    components["fault"] = fault
    core = PowerGridModel(components, system_frequency=grid.frequency_hz)
    output = core.calculate_short_circuit(
        short_circuit_voltage_scaling=_SCALING[case],
        output_component_types={"node", "generic_branch", "fault"},
    )
    return _result(model, output["node"], output["generic_branch"], output["fault"], faulted)


def _sources(model: PgmModel) -> Structured:
    sources = model.input["source"].copy()
    table = model.grid.sources.take(model.model.source_rows)
    sources["sk"] = np.where(np.isfinite(table.sk_mva), table.sk_mva, DEFAULT_SK_MVA) * 1e6
    sources["rx_ratio"] = np.where(np.isfinite(table.rx), table.rx, 0.1)
    return sources


def _without_shunts(branches: Structured) -> Structured:
    out = branches.copy()
    out["g1"], out["b1"] = 0.0, 0.0
    return out


def _split(model: PgmModel, components: dict[str, Structured], row: int, share: float) -> int:
    """Cut the faulted line in two at a new node and return that node; the second half gets a new id."""
    node, second = model.first_free_id, model.first_free_id + 1
    branches = components["generic_branch"]
    at = np.flatnonzero(branches["id"] == model.branch_id[row])
    if not len(at):
        raise BadInput(
            f"line {model.grid.lines.id[row]!r}: both its ends are fused by closed switches"
        )
    near, far = branches[at].copy(), branches[at].copy()
    new = initialize_array("input", "node", 1)
    new["id"], new["u_rated"] = node, model.grid.buses.vn_kv[model.grid.lines.to_bus[row]] * 1e3
    for half, part in ((near, share), (far, 1 - share)):
        for name in ("r1", "x1", "g1", "b1"):
            half[name] *= part
    near["to_node"], near["to_status"] = node, 1
    far["id"], far["from_node"], far["from_status"], far["k"], far["theta"] = (
        second,
        node,
        1,
        1.0,
        0.0,
    )
    components["node"] = np.concatenate([components["node"], new])
    components["generic_branch"] = np.concatenate([np.delete(branches, at), near, far])
    return node


def _result(
    model: PgmModel, node: Structured, branch: Structured, fault: Structured, faulted: int
) -> ShortCircuitResult:
    ka = np.zeros((model.model.n_branch + 1, 2))
    row = branch["id"] - model.branch_id[0] if model.model.n_branch else branch["id"]
    # The second half of a split line is the last row of `ka`.
    row = np.where(branch["id"] == model.first_free_id + 1, model.model.n_branch, row)
    for side, name in enumerate(("i_from", "i_to")):
        ka[row, side] = np.nan_to_num(branch[name].max(axis=1)) / 1e3
    if faulted >= 0:
        ka[faulted, 1] = ka[-1, 1]
    v = np.full(max(model.n_nodes, int(node["id"].max()) + 1), np.nan)
    v[node["id"]] = np.where(node["energized"] == 1, node["u_pu"].max(axis=1), np.nan)
    parts = {}
    for kind, n in (
        ("line", len(model.grid.lines)),
        ("transformer", len(model.grid.transformers)),
        ("branch", len(model.grid.branches)),
    ):
        start = model.model.offsets[kind]
        parts[kind] = ka[start : start + n]
    return ShortCircuitResult(
        fault_ka=float(np.nan_to_num(fault["i_f"].max()) / 1e3),
        line_from_ka=parts["line"][:, 0],
        line_to_ka=parts["line"][:, 1],
        transformer_hv_ka=parts["transformer"][:, 0],
        transformer_lv_ka=parts["transformer"][:, 1],
        branch_from_ka=parts["branch"][:, 0],
        branch_to_ka=parts["branch"][:, 1],
        v_pu=v[model.node_of_bus[: len(model.grid.buses)]],
    )
