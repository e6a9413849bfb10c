"""Where each instrument is connected, and what is truly there after a power flow."""

from __future__ import annotations

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.core.units import KW_PER_MW
from gridloom.field.truth import voltage_factor
from gridloom.grid.instruments import Instruments
from gridloom.grid.model import Grid
from gridloom.grid.tables import Floats, Rows
from gridloom.ioe.frames import COLUMNS, FrameKind
from gridloom.physics import OperatingPoint, PowerFlowResult

FRAME_KIND: dict[str, FrameKind] = {
    "meter": FrameKind.METER,
    "branch": FrameKind.BRANCH,
    "bus": FrameKind.BUS,
    "switch": FrameKind.SWITCH,
    "indicator": FrameKind.INDICATOR,
    "relay": FrameKind.RELAY,
}
"""Kind of frame that an instrument's readings travel in. Synchrophasors (`pmu`) are not simulated."""

_A_PER_KA = 1000.0


class Probes:
    """The true values at the instruments that read analogue quantities, once per power flow.

    `true` holds one array per kind: METER (3, n), BRANCH (4, n), BUS (1, n), columns as in `ioe.frames.COLUMNS`;
    `slot` is an instrument's place in the array of its kind.
    """

    def __init__(self, grid: Grid, instruments: Instruments) -> None:
        """Resolve every reference once."""
        self._grid = grid
        kinds = instruments.kind
        self.rows: dict[FrameKind, Rows] = {
            frame: np.flatnonzero(kinds == name) for name, frame in FRAME_KIND.items()
        }
        self.slot: Rows = np.zeros(len(instruments), dtype=np.int64)
        for rows in self.rows.values():
            self.slot[rows] = np.arange(len(rows))
        self._meters = _by_element(instruments, self.rows[FrameKind.METER])
        self._branches = _by_element(instruments, self.rows[FrameKind.BRANCH])
        self._side = instruments.side[self.rows[FrameKind.BRANCH]]
        self._bus: Rows = instruments.element[self.rows[FrameKind.BUS]]
        self.true: dict[FrameKind, Floats] = {
            kind: np.full((len(COLUMNS[kind]), len(self.rows[kind])), np.nan)
            for kind in (FrameKind.METER, FrameKind.BRANCH, FrameKind.BUS)
        }

    def take(self, point: OperatingPoint, result: PowerFlowResult) -> None:
        """Compute what is true at every instrument."""
        self.true[FrameKind.METER] = self._meter_values(point, result)
        self.true[FrameKind.BRANCH] = self._branch_values(result)
        self.true[FrameKind.BUS] = result.v_pu[self._bus][None, :]

    def _meter_values(self, point: OperatingPoint, result: PowerFlowResult) -> Floats:
        grid, v_pu = self._grid, result.v_pu
        values = np.full((3, len(self.rows[FrameKind.METER])), np.nan)
        for kind, (places, elements) in self._meters.items():
            if kind == "load":
                v = v_pu[grid.loads.bus[elements]]
                share = voltage_factor(
                    v, grid.loads.z_share[elements], grid.loads.i_share[elements]
                )
                p_mw, q_mvar = (
                    -point.load_p_mw[elements] * share,
                    -point.load_q_mvar[elements] * share,
                )
                used = grid.loads.in_service[elements]
            elif kind == "generator":
                v = v_pu[grid.generators.bus[elements]]
                p_mw, q_mvar = point.generator_p_mw[elements], point.generator_q_mvar[elements]
                used = grid.generators.in_service[elements]
            elif kind == "storage":
                v = v_pu[grid.storages.bus[elements]]
                p_mw, q_mvar = point.storage_p_mw[elements], point.storage_q_mvar[elements]
                used = grid.storages.in_service[elements]
            else:
                raise BadInput(f"a meter cannot stand at a {kind}")
            works = used & ~np.isnan(v)
            values[0, places] = np.where(works, p_mw * KW_PER_MW, 0.0)
            values[1, places] = np.where(works, q_mvar * KW_PER_MW, 0.0)
            values[2, places] = v
        return values

    def _branch_values(self, result: PowerFlowResult) -> Floats:
        grid, v_pu = self._grid, result.v_pu
        values = np.full((4, len(self.rows[FrameKind.BRANCH])), np.nan)
        for kind, (places, elements) in self._branches.items():
            if kind == "line":
                flow, ends = result.line_flow, (grid.lines.from_bus, grid.lines.to_bus)
            elif kind == "transformer":
                units = grid.transformers
                flow, ends = result.transformer_flow, (units.hv_bus, units.lv_bus)
            elif kind == "branch":
                flow, ends = result.branch_flow, (grid.branches.from_bus, grid.branches.to_bus)
            else:
                raise BadInput(f"a flow cannot be measured at a {kind}")
            at_from = self._side[places] == 0
            p_mw = np.where(at_from, flow.p_from_mw[elements], flow.p_to_mw[elements])
            q_mvar = np.where(at_from, flow.q_from_mvar[elements], flow.q_to_mvar[elements])
            i_ka = np.where(at_from, flow.i_from_ka[elements], flow.i_to_ka[elements])
            values[0, places] = np.nan_to_num(p_mw) * KW_PER_MW
            values[1, places] = np.nan_to_num(q_mvar) * KW_PER_MW
            values[2, places] = v_pu[np.where(at_from, ends[0][elements], ends[1][elements])]
            values[3, places] = np.nan_to_num(i_ka) * _A_PER_KA
        return values


def _by_element(instruments: Instruments, rows: Rows) -> dict[str, tuple[Rows, Rows]]:
    """Return (places among `rows`, element rows) by kind of element."""
    kinds = instruments.element_kind[rows]
    found = {}
    for kind in sorted(set(kinds.tolist())):
        places = np.flatnonzero(kinds == kind)
        found[kind] = (places, instruments.element[rows[places]])
    return found
