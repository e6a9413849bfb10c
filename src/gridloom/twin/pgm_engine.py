"""The reference engine: power-grid-model's Newton-Raphson estimator on the same rows as ours.

It has no error that rows share, so the meters' voltages count as independent there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from power_grid_model import (
    CalculationMethod,
    ComponentType,
    MeasuredTerminalType,
    PowerGridModel,
    initialize_array,
)
from power_grid_model.errors import PowerGridError

from gridloom.core.units import BASE_MVA
from gridloom.physics.pgm import PgmModel
from gridloom.twin.measurements import Quantity
from gridloom.twin.wls import Solution, evaluate_at

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.physics.arrays import Complexes, Rows
    from gridloom.physics.per_unit import PerUnitModel
    from gridloom.physics.pgm import Structured
    from gridloom.twin.evidence import Evidence
    from gridloom.twin.layout import Layout

_VA = 1e6 * BASE_MVA
_TOLERANCE, _MOST_ITERATIONS = 1e-8, 50


class PgmEngine:
    """One grid at one topology in power-grid-model, fed with new rows every cycle."""

    def __init__(self, model: PerUnitModel, grid: Grid, layout: Layout) -> None:
        """Build the engine's model of `grid`, whose switches stand as in `layout`."""
        self._layout = layout
        self._pgm = PgmModel(grid, layout.topology, model=model)
        node_of_bus = layout.live.node_of_bus
        live = np.flatnonzero(node_of_bus >= 0)
        self._pgm_node = np.zeros(layout.n_nodes, dtype=np.int64)
        self._pgm_node[node_of_bus[live]] = self._pgm.node_of_bus[live]
        self._volts = np.zeros(layout.n_nodes)
        self._volts[node_of_bus[live]] = model.base_kv[live] * 1e3
        joined = np.flatnonzero(layout.live.branch_of_row >= 0)
        self._pgm_branch = np.zeros(len(joined), dtype=np.int64)
        self._pgm_branch[layout.live.branch_of_row[joined]] = self._pgm.branch_id[joined]

        # One load a node carries all that is measured there; what it consists of is no matter here.
        load = self._pgm.input["sym_load"]
        load = load[np.isin(load["id"], self._pgm.injection_id)]
        self._input = {
            name: self._pgm.input[name] for name in ("node", "generic_branch", "source", "shunt")
        }
        self._input["sym_load"] = load
        of_pgm_node = np.full(self._pgm.n_nodes, -1, dtype=np.int64)
        of_pgm_node[load["node"]] = load["id"]
        self._load = of_pgm_node[self._pgm_node]

    def voltages(self, evidence: Evidence) -> tuple[Complexes, bool]:
        """Return the estimated voltage of each node, shape (node,), and whether the engine was content."""
        sensors = self._sensors(evidence)
        core = PowerGridModel(
            {**self._input, **sensors}, system_frequency=self._pgm.grid.frequency_hz
        )
        try:
            output = core.calculate_state_estimation(
                error_tolerance=_TOLERANCE,
                max_iterations=_MOST_ITERATIONS,
                calculation_method=CalculationMethod.newton_raphson,
                output_component_types={ComponentType.node},
            )
        except PowerGridError:
            return self._layout.live.network.flat_start, False
        nodes = np.asarray(output[ComponentType.node])[self._pgm_node]
        voltage: Complexes = nodes["u_pu"] * np.exp(1j * nodes["u_angle"])
        return voltage, True

    def solve(self, evidence: Evidence) -> Solution:
        """Estimate; residuals and variances are ours, at the engine's voltages."""
        voltage, converged = self.voltages(evidence)
        return evaluate_at(
            self._layout.equations,
            evidence.value,
            evidence.weight,
            voltage,
            common=self._layout.common,
            converged=converged,
        )

    def _sensors(self, evidence: Evidence) -> dict[str, Structured]:
        quantity, place = self._layout.equations.quantity, self._layout.equations.place
        used = evidence.weight > 0
        rows = np.flatnonzero(used & (quantity == Quantity.VOLTAGE))
        volts = initialize_array("input", "sym_voltage_sensor", len(rows))
        volts["id"] = self._pgm.first_free_id + np.arange(len(rows))
        volts["measured_object"] = self._pgm_node[place[rows]]
        base = self._volts[place[rows]]
        volts["u_measured"] = evidence.value[rows] * base
        volts["u_sigma"] = evidence.weight[rows] ** -0.5 * base
        return {
            "sym_voltage_sensor": np.asarray(volts),
            "sym_power_sensor": self._power_sensors(evidence, len(rows)),
        }

    def _power_sensors(self, evidence: Evidence, taken: int) -> Structured:
        quantity, place = self._layout.equations.quantity, self._layout.equations.place
        parts: list[tuple[Rows, Rows, Rows, int]] = []
        for p, q, target, terminal in (
            (Quantity.P_INJECTION, Quantity.Q_INJECTION, self._load, MeasuredTerminalType.load),
            (
                Quantity.P_FROM,
                Quantity.Q_FROM,
                self._pgm_branch,
                MeasuredTerminalType.branch_from,
            ),
            (Quantity.P_TO, Quantity.Q_TO, self._pgm_branch, MeasuredTerminalType.branch_to),
        ):
            p_rows, q_rows = np.flatnonzero(quantity == p), np.flatnonzero(quantity == q)
            use = (evidence.weight[p_rows] > 0) & (evidence.weight[q_rows] > 0)
            # The engine knows by itself that nothing injects nothing, and has no load there.
            use &= target[place[p_rows]] >= 0
            p_rows, q_rows = p_rows[use], q_rows[use]
            parts.append((p_rows, q_rows, target[place[p_rows]], int(terminal)))
        out = initialize_array("input", "sym_power_sensor", sum(len(part[0]) for part in parts))
        out["id"] = self._pgm.first_free_id + taken + np.arange(len(out))
        p_rows, q_rows = (np.concatenate([part[at] for part in parts]) for at in range(2))
        out["measured_object"] = np.concatenate([part[2] for part in parts])
        out["measured_terminal_type"] = np.repeat(
            [part[3] for part in parts], [len(part[0]) for part in parts]
        )
        # A load's sensor counts consumption.
        sign = np.where(np.arange(len(out)) < len(parts[0][0]), -_VA, _VA)
        out["p_measured"], out["q_measured"] = (
            evidence.value[p_rows] * sign,
            evidence.value[q_rows] * sign,
        )
        out["p_sigma"], out["q_sigma"] = (
            evidence.weight[p_rows] ** -0.5 * _VA,
            evidence.weight[q_rows] ** -0.5 * _VA,
        )
        return np.asarray(out)
