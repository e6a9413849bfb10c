"""Meshed power flow and batches by lightsim2grid, fed from the same per-unit model as the other engines.

Closed branches become its transformers (a ratio, a shift and half a shunt at each end); a branch open at one end
becomes a shunt; dead parts are left out. It takes constant power only, and one place that holds the angle.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from lightsim2grid.algorithm import AlgorithmType
from lightsim2grid.lightsim2grid_cpp import LSGrid, TimeSeriesCPP

from gridloom.core.errors import BadInput
from gridloom.core.units import KW_PER_MW
from gridloom.grid.topology import topology as topology_of
from gridloom.physics.arrays import Complexes, Flags, Floats, Rows, unit_phasor
from gridloom.physics.forest import Forest, Layout
from gridloom.physics.operating_point import OperatingPoint
from gridloom.physics.per_unit import PerUnitModel, bus_powers
from gridloom.physics.readout import read_all
from gridloom.physics.results import BatchResult, PowerFlowResult, result_from_voltages
from gridloom.physics.summing_kernel import sum_columns

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.grid.topology import Topology

TOLERANCE_PU = 1e-9
"""Largest power mismatch at a bus [pu on 1 MVA]."""
MOST_ITERATIONS = 50
_NO_LIMIT_MVAR = 1e9


class LightsimModel:
    """A grid as lightsim2grid sees it, at one set of switch positions."""

    def __init__(
        self, grid: Grid, topology: Topology | None = None, *, model: PerUnitModel | None = None
    ) -> None:
        """Build the model.

        Raises:
            BadInput: If a load depends on voltage, or sources stand at more than one place.
        """
        self.grid = grid
        self.model = PerUnitModel.of(grid) if model is None else model
        self.topology = topology_of(grid) if topology is None else topology
        self.ends = self.model.ends(self.topology)
        self.node_of_bus = self._live_nodes()
        self.n_nodes = int(self.node_of_bus.max(initial=-1)) + 1
        self._refuse_what_it_cannot()
        self.core = LSGrid()
        self.core.set_sn_mva(1.0)
        self._add_branches()
        self._add_shunts()
        self._add_injections()
        self.core.check_grid()
        # The sparse solver that every build has is slower; the loaders of lightsim2grid choose the same way.
        if AlgorithmType.NR_KLU in self.core.available_default_algorithms():
            self.core.change_algorithm(AlgorithmType.NR_KLU)

    def powerflow(self, state: OperatingPoint | None = None) -> PowerFlowResult:
        """Solve `state`, or what stands in the grid's tables."""
        state = OperatingPoint.of(self.grid) if state is None else state
        state.check(self.grid)
        started = time.perf_counter()
        drawn, held = self._drawn(state), self._held(state)
        for load in range(len(self.load_node)):
            self.core.change_p_load(load, drawn[load].real)
            self.core.change_q_load(load, drawn[load].imag)
        for unit, (p_mw, vm_pu) in enumerate(zip(held, self._held_vm(state), strict=True)):
            self.core.change_p_gen(unit, p_mw)
            self.core.change_v_gen(unit, vm_pu)
        v = np.asarray(self.core.ac_pf(self._flat(state), MOST_ITERATIONS, TOLERANCE_PU))
        converged = len(v) == self.n_nodes
        return result_from_voltages(
            self.model,
            self.ends,
            self._to_buses(v if converged else np.full(self.n_nodes, np.nan + 0j)),
            converged=converged,
            engine="lightsim",
            iterations=0,
            residual_pu=float("nan"),
            solve_ms=(time.perf_counter() - started) * 1e3,
        )

    def time_series(self, state: OperatingPoint) -> TimeSeriesCPP:
        """Run every scenario of `state` through its time series and return that, solved.

        Raises:
            BadInput: If a value is no number, or the source voltage differs between scenarios.
        """
        state.check(self.grid)
        if state.source_vm_pu.ndim > 1 and (state.source_vm_pu != state.source_vm_pu[0]).any():
            raise BadInput(
                "the lightsim engine holds one source voltage for all scenarios; use engine='radial'"
            )
        n = state.n_scenarios or 1
        drawn = np.broadcast_to(self._drawn(state), (n, len(self.load_node)))
        held = np.ascontiguousarray(np.broadcast_to(self._held(state), (n, len(self.unit_node))))
        series = TimeSeriesCPP(self.core)
        series.compute_Vs(
            held,
            np.zeros((n, 0)),
            np.ascontiguousarray(drawn.real),
            np.ascontiguousarray(drawn.imag),
            self._flat(state.scenario(0)),
            MOST_ITERATIONS,
            TOLERANCE_PU,
        )
        return series

    def powerflow_batch(self, state: OperatingPoint, *, with_loading: bool = True) -> BatchResult:
        """Solve every scenario; where one fails, the engine stops and the rest is not solved."""
        started = time.perf_counter()
        v = np.asarray(self.time_series(state).get_voltages())
        solved = np.asarray(np.abs(v[:, 0]) > 0)
        out = read_all(
            self.model, self.ends, self.node_of_bus, v, solved, with_loading=with_loading
        )
        return BatchResult(
            engine="lightsim",
            v_pu=out.v_pu,
            loading_pct=out.loading_pct,
            loss_kw=np.where(solved, out.loss, np.nan) * KW_PER_MW,
            converged=solved,
            iterations=0,
            solve_ms=(time.perf_counter() - started) * 1e3,
        )

    def _live_nodes(self) -> Rows:
        """Number the energised nodes; star points follow their high side where that is connected."""
        fused, live = self.topology.node_of_bus, self.topology.is_energised
        star, leg = self.grid.transformers3w, self.topology.transformer3w_closed
        around = np.stack([star.hv_bus, star.mv_bus, star.lv_bus], axis=1)
        star_live = (leg & live[around]).any(axis=1) & star.in_service
        out = np.full(self.model.n_bus, -1, dtype=np.int64)
        _, number = np.unique(fused[live], return_inverse=True)
        out[: len(live)][live] = number
        stars = len(live) + np.flatnonzero(star_live)
        out[stars] = number.max(initial=-1) + 1 + np.arange(len(stars))
        return out

    def _refuse_what_it_cannot(self) -> None:
        loads = self.grid.loads
        by_voltage = np.flatnonzero((loads.z_share != 0) | (loads.i_share != 0))
        if len(by_voltage):
            id_ = loads.id[by_voltage[0]]
            raise BadInput(
                f"load {id_!r} depends on voltage; the lightsim engine takes constant power only"
            )
        places = np.unique(self.node_of_bus[self.grid.sources.bus[self.model.source_rows]])
        if len(places) != 1:
            raise BadInput(
                f"sources stand at {len(places)} places; the lightsim engine takes one, use engine='pgm'"
            )

    def _add_branches(self) -> None:
        sections = self.model.sections
        f, t = self.node_of_bus[sections.from_bus], self.node_of_bus[sections.to_bus]
        self.closed: Flags = self.ends.all(axis=1) & (f >= 0) & (f != t)
        rows = np.flatnonzero(self.closed)
        base_kv = np.ones(self.n_nodes)
        live = self.node_of_bus >= 0
        base_kv[self.node_of_bus[live]] = self.model.base_kv[live]
        self.core.init_bus(self.n_nodes, 1, base_kv, 0, len(rows))
        nothing, none = np.zeros(0), np.zeros(0, dtype=np.int32)
        self.core.init_powerlines(nothing, nothing, nothing.astype(np.complex128), none, none)
        z, ratio = sections.z[rows], sections.ratio[rows]
        self.core.init_trafo(
            np.ascontiguousarray(z.real),
            np.ascontiguousarray(z.imag),
            sections.y[rows],
            np.abs(ratio),
            np.rad2deg(np.angle(ratio)),
            [True] * len(rows),
            f[rows].astype(np.int32),
            t[rows].astype(np.int32),
            True,  # noqa: FBT003 - the ratio does not change the impedance
        )

    def _add_shunts(self) -> None:
        sections, seen = self.model.sections, self.model.seen_from_ends
        y = np.zeros(self.n_nodes, dtype=np.complex128)
        live = self.node_of_bus >= 0
        np.add.at(y, self.node_of_bus[live], self.model.shunt_y[live])
        at_from, at_to = self.ends[:, 0], self.ends[:, 1]
        f, t = self.node_of_bus[sections.from_bus], self.node_of_bus[sections.to_bus]
        for mask, node, admittance in (
            (at_from & ~at_to & (f >= 0), f, seen.y_open_from),
            (at_to & ~at_from & (t >= 0), t, seen.y_open_to),
            (at_from & at_to & (f == t) & (f >= 0), f, seen.y_from + seen.y_to),
        ):
            np.add.at(y, node[mask], admittance[mask])
        nodes = np.flatnonzero(y)
        self.core.init_shunt(y[nodes].real.copy(), -y[nodes].imag, nodes.astype(np.int32))

    def _add_injections(self) -> None:
        grid = self.grid
        buses = np.concatenate([grid.loads.bus, grid.generators.bus, grid.storages.bus])
        nodes = self.node_of_bus[buses]
        self.load_node = np.unique(nodes[nodes >= 0])
        nothing = np.zeros(len(self.load_node))
        self.core.init_loads(nothing, nothing, self.load_node.astype(np.int32))
        held = np.isfinite(grid.generators.vm_pu) & grid.generators.in_service
        held &= self.node_of_bus[grid.generators.bus] >= 0
        self.held_rows = np.flatnonzero(held)
        source = self.model.source_rows[:1]
        self.unit_node = self.node_of_bus[
            np.concatenate([grid.sources.bus[source], grid.generators.bus[self.held_rows]])
        ]
        state = OperatingPoint.of(grid)
        limit = np.full(len(self.unit_node), _NO_LIMIT_MVAR)
        self.core.init_generators(
            self._held(state), self._held_vm(state), -limit, limit, self.unit_node.astype(np.int32)
        )
        self.core.add_gen_slackbus(0, 1.0)

    def _drawn(self, state: OperatingPoint) -> Complexes:
        """Return the consumption of each of its loads, shape (load,) or (scenario, load); held units are apart."""
        constant = bus_powers(self.model, state, with_held=False).constant
        out = np.zeros((*constant.shape[:-1], self.n_nodes), dtype=np.complex128)
        live = np.flatnonzero(self.node_of_bus >= 0)
        if constant.ndim == 1:
            np.add.at(out, self.node_of_bus[live], -constant[live])
        else:
            out = -sum_columns(constant, self.node_of_bus, self.n_nodes)
        return np.asarray(out[..., self.load_node])

    def _held(self, state: OperatingPoint) -> Floats:
        p_mw = state.generator_p_mw[..., self.held_rows]
        return np.concatenate([np.zeros((*p_mw.shape[:-1], 1)), p_mw], axis=-1)

    def _held_vm(self, state: OperatingPoint) -> Floats:
        vm = state.source_vm_pu if state.source_vm_pu.ndim == 1 else state.source_vm_pu[0]
        return np.concatenate(
            [vm[self.model.source_rows[:1]], self.grid.generators.vm_pu[self.held_rows]]
        )

    def _flat(self, state: OperatingPoint) -> Complexes:
        """Return the held voltage everywhere, turned by the ratios and shifts on the way."""
        forest = Forest.of(
            self.model, Layout.of(self.model), self.grid.switches.closed, only_spanning=True
        )
        angle_deg = self.grid.sources.va_deg[self.model.source_rows[:1]]
        held = self._held_vm(state)[0] * unit_phasor(angle_deg)[0]
        v = np.full(self.n_nodes, held, dtype=np.complex128)
        live = forest.node_of_bus >= 0
        v[self.node_of_bus[live]] = held * forest.inverse_scale[forest.node_of_bus[live]]
        return v

    def _to_buses(self, v: Complexes) -> Complexes:
        return np.append(v, np.nan)[self.node_of_bus]
