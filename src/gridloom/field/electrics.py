"""The true state of the grid: switch positions, blown fuses, voltages and flows."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.field.fault_network import FaultNetwork, connect
from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags, Rows
from gridloom.grid.topology import Topology
from gridloom.physics import (
    NotRadial,
    OperatingPoint,
    PowerFlowResult,
    RadialSolver,
    powerflow,
)


class Electrics:
    """Positions in, voltages out. Radial grids go to the fast solver, others to the general engine."""

    def __init__(self, grid: Grid, closed: Flags) -> None:
        """Take the true grid at its first positions, shape (switch,)."""
        self._grid = grid
        self.closed: Flags = np.array(closed)
        self.dead_lines: Flags = np.zeros(len(grid.lines), dtype=np.bool_)
        self._solver: RadialSolver | None = None
        self._is_radial = self._is_current = False

    def update(self, closed: Flags, dead_lines: Flags) -> None:
        """Take new positions, shape (switch,), and lines without a fuse, shape (line,)."""
        if not np.array_equal(dead_lines, self.dead_lines):
            self._solver = None
        self.closed, self.dead_lines = np.array(closed), np.array(dead_lines)
        self._is_current = False
        self.__dict__.pop("topology", None)

    @cached_property
    def topology(self) -> Topology:
        """What is connected at the present positions."""
        if not self.dead_lines.any():
            return self._grid.wiring.topology(self.closed)
        return self._present_grid().wiring.topology(self.closed)

    def fault_network(self, relayed: Rows) -> FaultNetwork:
        """Return the connections for a fault study, breakers in `relayed` kept apart."""
        return connect(self._grid, self.closed, relayed, self.dead_lines)

    def solve(self, point: OperatingPoint) -> PowerFlowResult:
        """Return the power flow of `point` at the present positions."""
        self._bring_up_to_date()
        if self._solver is not None and self._is_radial:
            return self._solver.powerflow(point)
        return powerflow(self._present_grid(), point, engine="pgm")

    def _bring_up_to_date(self) -> None:
        if self._is_current:
            return
        self._is_current = True
        try:
            if self._solver is None:
                self._solver = RadialSolver(self._present_grid())
            else:
                self._solver.update_switches(self.closed)
        except NotRadial:
            self._is_radial = False
        except BadInput:
            # A generator that holds a voltage: never a case for the radial solver.
            self._is_radial = False
        else:
            self._is_radial = True

    def _present_grid(self) -> Grid:
        grid = self._grid.with_positions(self.closed)
        if not self.dead_lines.any():
            return grid
        lines = grid.lines.with_columns(in_service=grid.lines.in_service & ~self.dead_lines)
        return grid.with_tables(lines=lines)
