"""The live double: a grid, its latest estimate, and forks that ask "what if" without touching either."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags, Floats, Rows
from gridloom.physics.operating_point import OperatingPoint
from gridloom.physics.powerflow import powerflow
from gridloom.twin.state import GridState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gridloom.physics.results import PowerFlowResult


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fork:
    """A grid and what its elements do: a place to try things. Everything in it is shared and immutable."""

    grid: Grid
    point: OperatingPoint

    def with_switches(self, *, open: Iterable[str] = (), closed: Iterable[str] = ()) -> Self:  # noqa: A002 - the planner's own words
        """Return a fork with the named switches open or closed.

        Raises:
            UnknownId: If there is no such switch; the message names near ids.
        """
        return replace(self, grid=self.grid.with_switches(open=open, closed=closed))

    def with_positions(self, closed: Flags) -> Self:
        """Return a fork with all switch positions given, shape (switch,)."""
        return replace(self, grid=self.grid.with_positions(closed))

    def with_point(self, point: OperatingPoint) -> Self:
        """Return a fork in which the elements do something else."""
        return replace(self, point=point)

    def powerflow(self, engine: str = "auto") -> PowerFlowResult:
        """Solve the fork; engines and errors as in `physics.powerflow`."""
        return powerflow(self.grid, self.point, engine)


class Twin:
    """The grid as documented and as estimated. `update` swaps the state; forks made before keep theirs."""

    def __init__(self, grid: Grid) -> None:
        """Start without an estimate: until one comes, the grid's own tables stand for the load."""
        self._grid = grid
        self._state: GridState | None = None

    @property
    def grid(self) -> Grid:
        """The grid at its last known switch positions."""
        return self._grid

    @property
    def state(self) -> GridState | None:
        """The latest estimate."""
        return self._state

    def update(self, state: GridState) -> None:
        """Take over an estimate; one that did not converge moves the switches but not the powers."""
        self._grid = self._grid.with_positions(state.positions)
        if state.converged or self._state is None:
            self._state = state

    def fork(self) -> Fork:
        """Return the present as a fork; costs nothing but the conversion of voltage-dependent loads."""
        if self._state is None or not self._state.converged:
            return Fork(grid=self._grid, point=OperatingPoint.of(self._grid))
        return Fork(grid=self._grid, point=operating_point(self._grid, self._state))


def operating_point(grid: Grid, state: GridState) -> OperatingPoint:
    """Return what every element does in `state`, loads brought to 1 pu where they depend on voltage.

    Loads that are dead stand with nothing: what they would draw is a forecast's business. A dead source keeps its
    documented voltage.
    """
    loads, generators, storages = grid.loads, grid.generators, grid.storages
    v = _known(state.v_pu, loads.bus, 1.0)
    share = loads.z_share * v**2 + loads.i_share * v + (1.0 - loads.z_share - loads.i_share)
    source_vm = np.where(np.isfinite(state.source_vm_pu), state.source_vm_pu, grid.sources.vm_pu)
    return OperatingPoint(
        load_p_mw=np.where(loads.in_service, state.load_p_mw / share, 0.0),
        load_q_mvar=np.where(loads.in_service, state.load_q_mvar / share, 0.0),
        generator_p_mw=np.where(generators.in_service, state.generator_p_mw, 0.0),
        generator_q_mvar=np.where(generators.in_service, state.generator_q_mvar, 0.0),
        storage_p_mw=np.where(storages.in_service, state.storage_p_mw, 0.0),
        storage_q_mvar=np.where(storages.in_service, state.storage_q_mvar, 0.0),
        source_vm_pu=source_vm,
    )


def _known(values: Floats, rows: Rows, otherwise: float) -> Floats:
    taken = values[rows]
    return np.where(np.isfinite(taken), taken, otherwise)
