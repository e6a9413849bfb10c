"""One call for every engine, one type of result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.physics.errors import NotRadial
from gridloom.physics.operating_point import OperatingPoint

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.physics.results import PowerFlowResult

type Engine = Literal["auto", "radial", "pgm", "lightsim"]
ENGINES: tuple[str, ...] = ("auto", "radial", "pgm", "lightsim")


def powerflow(
    grid: Grid, state: OperatingPoint | None = None, engine: str = "auto"
) -> PowerFlowResult:
    """Solve one operating point.

    Args:
        grid: The grid at its switch positions.
        state: Powers and source voltages; what stands in the grid's tables by default.
        engine: `radial` (own sweep), `pgm` (power-grid-model), `lightsim` (lightsim2grid), or `auto`: radial where
            the closed grid is a forest without voltage-holding generators, else pgm.

    Returns:
        The result; one that did not converge says so.

    Raises:
        BadInput: If a value is no number, the grid cannot be reduced, or no such engine; names the element.
        NotRadial: If the radial engine was asked for and the closed grid has a loop.
    """
    if engine not in ENGINES:
        raise BadInput(f"no engine {engine!r}; choose one of {', '.join(ENGINES)}")
    state = OperatingPoint.of(grid) if state is None else state
    state.check(grid)
    if state.n_scenarios is not None:
        raise BadInput("powerflow takes one operating point; use powerflow_batch for scenarios")
    if engine in {"auto", "radial"}:
        from gridloom.physics.radial import RadialSolver

        held = np.isfinite(grid.generators.vm_pu) & grid.generators.in_service
        if engine == "radial" or not held.any():
            try:
                return RadialSolver(grid).powerflow(state)
            except NotRadial:
                if engine == "radial":
                    raise
    if engine == "lightsim":
        from gridloom.physics.lightsim import LightsimModel

        return LightsimModel(grid).powerflow(state)
    from gridloom.physics.pgm import PgmModel

    return PgmModel(grid, state=state).powerflow()
