"""One call for every engine, one type of result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.physics.errors import NotRadial
from gridloom.physics.operating_point import OperatingPoint
from gridloom.physics.radial import RadialSolver

if TYPE_CHECKING:
    from gridloom.grid.model import Grid
    from gridloom.physics.results import BatchResult, PowerFlowResult

ENGINES: tuple[str, ...] = ("auto", "radial", "pgm", "lightsim")


def powerflow(
    grid: Grid, state: OperatingPoint | None = None, engine: str = "auto"
) -> PowerFlowResult:
    """Solve one operating point.

    Args:
        grid: The grid at its switch positions.
        state: Powers and source voltages; what stands in the grid's tables by default.
        engine: `radial` (own sweep), `pgm` (power-grid-model), `lightsim` (lightsim2grid), or `auto`: radial where
            the closed grid is a forest without voltage-holding generators, else pgm, and lightsim where that does
            not converge.

    Returns:
        The result; one that did not converge says so.

    Raises:
        BadInput: If a value is no number, the grid cannot be reduced, or no such engine; names the element.
        NotRadial: If the radial engine was asked for and the closed grid has a loop.
    """
    _check_engine(engine)
    state = OperatingPoint.of(grid) if state is None else state
    state.check(grid)
    if state.n_scenarios is not None:
        raise BadInput("powerflow takes one operating point; use powerflow_batch for scenarios")
    solver = _radial_solver(grid, engine)
    if solver is not None:
        return solver.powerflow(state)
    if engine == "lightsim":
        from gridloom.physics.lightsim import LightsimModel

        return LightsimModel(grid).powerflow(state)
    from gridloom.physics.pgm import PgmModel

    result = PgmModel(grid, state=state).powerflow()
    if engine == "auto" and not result.converged:
        # Heavily meshed grids with many voltage-holding units: a second opinion before saying no.
        from gridloom.physics.lightsim import LightsimModel

        try:
            second = LightsimModel(grid).powerflow(state)
        except BadInput:
            return result
        return second if second.converged else result
    return result


def powerflow_batch(
    grid: Grid,
    state: OperatingPoint,
    engine: str = "auto",
    *,
    with_loading: bool = True,
    n_threads: int = 1,
) -> BatchResult:
    """Solve many operating points on one topology.

    Args:
        grid: The grid at its switch positions.
        state: Columns of shape (scenario, n), or (n,) where all scenarios share them.
        engine: As in `powerflow`.
        with_loading: Whether branch loadings are wanted.
        n_threads: Threads of the radial and the pgm engine.

    Raises:
        BadInput: As `powerflow`.
        NotRadial: As `powerflow`.
    """
    _check_engine(engine)
    state.check(grid)
    solver = _radial_solver(grid, engine)
    if solver is not None:
        return solver.solve_batch(state, with_loading=with_loading, n_threads=n_threads)
    if engine == "lightsim":
        from gridloom.physics.lightsim import LightsimModel

        return LightsimModel(grid).powerflow_batch(state, with_loading=with_loading)
    from gridloom.physics.pgm import PgmModel

    return PgmModel(grid, state=state).powerflow_batch(
        state, with_loading=with_loading, n_threads=n_threads
    )


def random_scenarios(grid: Grid, n: int, rng: np.random.Generator) -> OperatingPoint:
    """Return `n` scenarios: every load at 0.2 to 1.2 of its power, every generator at 0 to 1, drawn evenly."""
    state = OperatingPoint.of(grid)
    load = rng.uniform(0.2, 1.2, (n, len(grid.loads)))
    generator = rng.uniform(0.0, 1.0, (n, len(grid.generators)))
    return replace(
        state,
        load_p_mw=state.load_p_mw * load,
        load_q_mvar=state.load_q_mvar * load,
        generator_p_mw=state.generator_p_mw * generator,
        generator_q_mvar=state.generator_q_mvar * generator,
    )


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise BadInput(f"no engine {engine!r}; choose one of {', '.join(ENGINES)}")


def _radial_solver(grid: Grid, engine: str) -> RadialSolver | None:
    """Return the radial solver where it was asked for, or may be chosen; None where another engine has to solve."""
    if engine not in {"auto", "radial"}:
        return None
    held = np.isfinite(grid.generators.vm_pu) & grid.generators.in_service
    if engine == "auto" and held.any():
        return None
    try:
        return RadialSolver(grid)
    except NotRadial:
        if engine == "radial":
            raise
        return None
