"""The reference engine: power-grid-model, fed from the same per-unit model as the radial solver.

Every branch becomes a `generic_branch`, every source stiff, every generator that holds a voltage a `sym_gen` with a
`voltage_regulator`. Ids, in this order without gaps: nodes (fused buses, star points, one of its own for each bus out
of service), branches in the order of `PerUnitModel`, sources, injections (one constant-power load a node that has
any), constant-current and constant-impedance loads, held generators, their regulators, shunts; `first_free_id` is
for sensors of the state estimator.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from power_grid_model import (
    CalculationMethod,
    ComponentType,
    LoadGenType,
    PowerGridModel,
    initialize_array,
)
from power_grid_model.errors import IterationDiverge, SparseMatrixError

from gridloom.core.errors import BadInput
from gridloom.core.units import BASE_MVA, KW_PER_MW, SQRT3
from gridloom.grid.topology import topology as topology_of
from gridloom.physics.arrays import Complexes, Flags, Floats, Rows
from gridloom.physics.operating_point import OperatingPoint
from gridloom.physics.per_unit import BusPowers, PerUnitModel, bus_powers
from gridloom.physics.readout import read_all
from gridloom.physics.results import BatchResult, PowerFlowResult, result_from_voltages
from gridloom.physics.summing_kernel import sum_columns

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.topology import Topology

type Structured = NDArray[np.void]
"""A structured array of power-grid-model: one record a component."""

STIFF_VA = 1e20
"""Short-circuit power of a stiff source: its own drop stays below 1e-12 pu."""
TOLERANCE_PU = 1e-10
MOST_ITERATIONS = 50
_VA = 1e6 * BASE_MVA


class PgmModel:
    """A grid as power-grid-model sees it, at one set of switch positions."""

    def __init__(
        self,
        grid: Grid,
        topology: Topology | None = None,
        *,
        model: PerUnitModel | None = None,
        state: OperatingPoint | None = None,
    ) -> None:
        """Build the model at the grid's own switch positions.

        Args:
            grid: The grid.
            topology: Its topology, where it is at hand.
            model: Its per-unit model, where it is at hand.
            state: Powers to start with; the grid's own by default.

        Raises:
            BadInput: If the grid cannot be reduced, or a ratio lies between two fused buses.
        """
        self.grid = grid
        self.topology = topology_of(grid) if topology is None else topology
        self.model = PerUnitModel.of(grid) if model is None else model
        self.ends = self.model.ends(self.topology)
        self.node_of_bus = self._nodes()
        self.n_nodes = int(self.node_of_bus.max(initial=-1)) + 1
        state = OperatingPoint.of(grid) if state is None else state
        state.check(grid)
        self._next = self.n_nodes
        self.input: dict[str, Structured] = {"node": self._node_input()}
        self._shorted = (
            self.node_of_bus[self.model.sections.from_bus]
            == self.node_of_bus[self.model.sections.to_bus]
        )
        self.branch_id = self._take(self.model.n_branch)
        self.input["generic_branch"] = self._branch_input()
        self.source_id = self._take(len(self.model.source_rows))
        self.input["source"] = self._source_input(state)
        self._add_powers(state)
        self._add_held_generators(state)
        self.input["shunt"] = self._shunt_input()
        self.first_free_id = self._next
        self.core = PowerGridModel(self.input, system_frequency=grid.frequency_hz)

    def powerflow(
        self,
        state: OperatingPoint | None = None,
        *,
        method: CalculationMethod = CalculationMethod.newton_raphson,
    ) -> PowerFlowResult:
        """Solve `state`, or what the model was built or last updated with."""
        started = time.perf_counter()
        if state is not None:
            self.core.update(update_data=self.update_data(state))
        nodes = self._calculate(method)
        v = (
            np.full(self.n_nodes, np.nan, dtype=np.complex128)
            if nodes is None
            else _voltages(nodes)
        )
        return result_from_voltages(
            self.model,
            self.ends,
            v[self.node_of_bus],
            converged=nodes is not None,
            engine="pgm",
            iterations=0,
            residual_pu=float("nan"),
            solve_ms=(time.perf_counter() - started) * 1e3,
        )

    def powerflow_batch(
        self, state: OperatingPoint, *, with_loading: bool = True, n_threads: int = 1
    ) -> BatchResult:
        """Solve every scenario of `state` by Newton-Raphson; one that does not converge spoils no other."""
        started = time.perf_counter()
        update = self.update_data(state)
        if state.n_scenarios is None:
            update = {name: part[None, :] for name, part in update.items()}
        output = self.core.calculate_power_flow(
            error_tolerance=TOLERANCE_PU,
            max_iterations=MOST_ITERATIONS,
            update_data=cast("Any", update),
            threading=-1 if n_threads == 1 else n_threads,
            output_component_types={"node"},
            continue_on_batch_error=True,
        )
        nodes = np.asarray(output[ComponentType.node])
        solved = np.ones(len(nodes), dtype=np.bool_)
        if self.core.batch_error is not None:
            solved[self.core.batch_error.failed_scenarios] = False
        dead = nodes["energized"][int(np.argmax(solved))] == 0
        node_of_bus = np.where(dead[self.node_of_bus], -1, self.node_of_bus)
        v = np.asarray(nodes["u_pu"] * np.exp(1j * nodes["u_angle"]), dtype=np.complex128)
        out = read_all(self.model, self.ends, node_of_bus, v, solved, with_loading=with_loading)
        return BatchResult(
            engine="pgm",
            v_pu=out.v_pu,
            loading_pct=out.loading_pct,
            loss_kw=np.where(solved, out.loss, np.nan) * KW_PER_MW,
            converged=solved,
            iterations=0,
            solve_ms=(time.perf_counter() - started) * 1e3,
        )

    def estimate(self, sensors: dict[str, Structured], *, tolerance_pu: float = 1e-8) -> Complexes:
        """Estimate the state from `sensors`, whose ids start at `first_free_id`.

        Returns:
            Complex voltage of each bus, star points included, NaN where dead, shape (n_bus,) [pu].

        Raises:
            power_grid_model.errors.PowerGridError: As the engine raises it, e.g. `NotObservableError`.
        """
        core = PowerGridModel(
            cast("Any", {**self.input, **sensors}), system_frequency=self.grid.frequency_hz
        )
        output = core.calculate_state_estimation(
            error_tolerance=tolerance_pu, output_component_types={"node"}
        )
        return _voltages(output[ComponentType.node])[self.node_of_bus]

    def set_ends(self, ends: Flags) -> None:
        """Open and close branch ends, shape (branch, 2), without fusing or splitting nodes."""
        changed = np.flatnonzero((ends != self.ends).any(axis=1) & ~self._shorted)
        update = initialize_array("update", "generic_branch", len(changed))
        update["id"] = self.branch_id[changed]
        update["from_status"], update["to_status"] = ends[changed, 0], ends[changed, 1]
        self.core.update(update_data={"generic_branch": update})
        self.ends = ends.copy()

    def update_data(self, state: OperatingPoint) -> dict[str, Structured]:
        """Return the update of all powers and source voltages; with scenarios, a batch update.

        Raises:
            BadInput: If a value of `state` is no number.
        """
        state.check(self.grid)
        powers, n = bus_powers(self.model, state, with_held=False), state.n_scenarios
        shape = (n,) if n else ()
        out = {
            "sym_load": initialize_array(
                "update", "sym_load", (*shape, len(self.input["sym_load"]))
            )
        }
        loads = out["sym_load"]
        loads["id"] = self.input["sym_load"]["id"]
        drawn = np.concatenate(
            [-self._at_nodes(part)[..., nodes] for part, nodes in self._parts(powers)], axis=-1
        )
        loads["p_specified"], loads["q_specified"] = drawn.real * _VA, drawn.imag * _VA
        if len(self.held_rows):
            held = initialize_array("update", "sym_gen", (*shape, len(self.held_rows)))
            held["id"] = self.input["sym_gen"]["id"]
            held["p_specified"] = state.generator_p_mw[..., self.held_rows] * 1e6
            out["sym_gen"] = held
        if state.source_vm_pu is not self.grid.sources.vm_pu:
            sources = initialize_array("update", "source", (*shape, len(self.source_id)))
            sources["id"], sources["u_ref"] = (
                self.source_id,
                state.source_vm_pu[..., self.model.source_rows],
            )
            out["source"] = sources
        return out

    def _calculate(self, method: CalculationMethod) -> Structured | None:
        try:
            output = self.core.calculate_power_flow(
                error_tolerance=TOLERANCE_PU,
                max_iterations=MOST_ITERATIONS,
                calculation_method=method,
                output_component_types={"node"},
            )
        except (IterationDiverge, SparseMatrixError):
            return None
        return np.asarray(output[ComponentType.node])

    def _take(self, n: int) -> Rows:
        start, self._next = self._next, self._next + n
        return np.arange(start, start + n)

    def _nodes(self) -> Rows:
        fused, n = self.topology.node_of_bus, self.topology.n_nodes
        star = n + np.arange(len(self.grid.transformers3w))
        out = np.concatenate([fused, star])
        alone = np.flatnonzero(out < 0)
        out[alone] = n + len(star) + np.arange(len(alone))
        return np.asarray(out, dtype=np.int64)

    def _node_input(self) -> Structured:
        nodes = initialize_array("input", "node", self.n_nodes)
        nodes["id"] = np.arange(self.n_nodes)
        nodes["u_rated"][self.node_of_bus] = self.model.base_kv * 1e3
        return np.asarray(nodes)

    def _branch_input(self) -> Structured:
        sections, kept = self.model.sections, ~self._shorted
        if (np.abs(sections.ratio[self._shorted] - 1) > 1e-9).any():
            branch = int(np.flatnonzero(self._shorted & (np.abs(sections.ratio - 1) > 1e-9))[0])
            raise BadInput(
                f"{self.model.branch_name(branch)} has a ratio and both its ends are fused by closed switches"
            )
        z_base = self.model.base_kv[sections.to_bus[kept]] ** 2 / BASE_MVA
        out = initialize_array("input", "generic_branch", int(kept.sum()))
        out["id"] = self.branch_id[kept]
        out["from_node"] = self.node_of_bus[sections.from_bus[kept]]
        out["to_node"] = self.node_of_bus[sections.to_bus[kept]]
        out["from_status"], out["to_status"] = self.ends[kept, 0], self.ends[kept, 1]
        z, y = sections.z[kept] * z_base, sections.y[kept] / z_base
        out["r1"], out["x1"], out["g1"], out["b1"] = z.real, z.imag, y.real, y.imag
        out["k"], out["theta"] = np.abs(sections.ratio[kept]), np.angle(sections.ratio[kept])
        # What the engine calls loading is then a share of the smaller end's rating.
        rated = self.model.rated_ka[kept] * SQRT3 * self.model.base_kv[self._branch_buses()[kept]]
        out["sn"] = np.nan_to_num(np.fmin(rated[:, 0], rated[:, 1]), nan=1.0) * 1e6
        return np.asarray(out)

    def _branch_buses(self) -> Rows:
        return np.stack([self.model.sections.from_bus, self.model.sections.to_bus], axis=1)

    def _source_input(self, state: OperatingPoint) -> Structured:
        rows, sources = self.model.source_rows, self.grid.sources
        out = initialize_array("input", "source", len(rows))
        out["id"], out["node"], out["status"] = (
            self.source_id,
            self.node_of_bus[sources.bus[rows]],
            1,
        )
        vm = state.source_vm_pu if state.source_vm_pu.ndim == 1 else sources.vm_pu
        out["u_ref"], out["u_ref_angle"] = vm[rows], np.deg2rad(sources.va_deg[rows])
        out["sk"], out["rx_ratio"] = STIFF_VA, 0.1
        return np.asarray(out)

    def _add_powers(self, state: OperatingPoint) -> None:
        grid, loads = self.grid, self.grid.loads
        any_bus = np.concatenate([loads.bus, grid.generators.bus, grid.storages.bus])
        self.injection_node = np.unique(self.node_of_bus[any_bus])
        self.current_node = np.unique(self.node_of_bus[loads.bus[loads.i_share != 0]])
        self.impedance_node = np.unique(self.node_of_bus[loads.bus[loads.z_share != 0]])
        nodes = (self.injection_node, self.current_node, self.impedance_node)
        kinds = (LoadGenType.const_power, LoadGenType.const_current, LoadGenType.const_impedance)
        self.injection_id = np.arange(self._next, self._next + len(nodes[0]))
        out = initialize_array("input", "sym_load", sum(map(len, nodes)))
        out["id"] = self._take(len(out))
        out["node"], out["status"] = np.concatenate(nodes), 1
        out["type"] = np.repeat([int(kind) for kind in kinds], [len(part) for part in nodes])
        first = state if state.n_scenarios is None else state.scenario(0)
        powers = bus_powers(self.model, first, with_held=False)
        drawn = np.concatenate([-self._at_nodes(part)[at] for part, at in self._parts(powers)])
        out["p_specified"], out["q_specified"] = drawn.real * _VA, drawn.imag * _VA
        self.input["sym_load"] = np.asarray(out)

    def _parts(self, powers: BusPowers) -> list[tuple[Complexes, Rows]]:
        parts = [(powers.constant, self.injection_node)]
        if powers.current is not None:
            parts.append((powers.current, self.current_node))
        if powers.impedance is not None:
            parts.append((powers.impedance, self.impedance_node))
        return parts

    def _at_nodes(self, bus_values: Complexes) -> Complexes:
        if bus_values.ndim == 2:
            return sum_columns(bus_values, self.node_of_bus, self.n_nodes)
        out = np.zeros(self.n_nodes, dtype=np.complex128)
        np.add.at(out, self.node_of_bus, bus_values)
        return out

    def _add_held_generators(self, state: OperatingPoint) -> None:
        generators = self.grid.generators
        self.held_rows = np.flatnonzero(np.isfinite(generators.vm_pu) & generators.in_service)
        if not len(self.held_rows):
            return
        rows = self.held_rows
        out = initialize_array("input", "sym_gen", len(rows))
        out["id"] = self._take(len(rows))
        out["node"], out["status"], out["type"] = (
            self.node_of_bus[generators.bus[rows]],
            1,
            LoadGenType.const_power,
        )
        p_mw: Floats = (
            state.generator_p_mw if state.n_scenarios is None else state.scenario(0).generator_p_mw
        )
        out["p_specified"], out["q_specified"] = p_mw[rows] * 1e6, 0.0
        regulators: Any = initialize_array("input", "voltage_regulator", len(rows))
        regulators["id"], regulators["regulated_object"] = self._take(len(rows)), out["id"]
        regulators["status"], regulators["u_ref"] = 1, generators.vm_pu[rows]
        self.input["sym_gen"], self.input["voltage_regulator"] = (
            np.asarray(out),
            np.asarray(regulators),
        )

    def _shunt_input(self) -> Structured:
        y = self.model.shunt_y.copy()
        sections, seen = self.model.sections, self.model.seen_from_ends
        # A branch between two buses of one node is no branch to the engine; what it puts to earth stays.
        at_from, at_to = self._shorted & self.ends[:, 0], self._shorted & self.ends[:, 1]
        closed = at_from & at_to
        from_y = np.where(closed, seen.y_from, seen.y_open_from)
        to_y = np.where(closed, seen.y_to, seen.y_open_to)
        np.add.at(y, sections.from_bus[at_from], from_y[at_from])
        np.add.at(y, sections.to_bus[at_to], to_y[at_to])
        bus = np.flatnonzero(y)
        out = initialize_array("input", "shunt", len(bus))
        out["id"], out["node"], out["status"] = self._take(len(bus)), self.node_of_bus[bus], 1
        z_base = self.model.base_kv[bus] ** 2 / BASE_MVA
        out["g1"], out["b1"] = y[bus].real / z_base, y[bus].imag / z_base
        return np.asarray(out)


def to_power_grid_model_input(grid: Grid) -> dict[str, Structured]:
    """Return `grid` as input data of power-grid-model, for use outside; ids as in the head of this module."""
    return PgmModel(grid).input


def _voltages(nodes: Structured) -> Complexes:
    v = nodes["u_pu"] * np.exp(1j * nodes["u_angle"])
    return np.where(nodes["energized"] == 1, v, np.nan)
