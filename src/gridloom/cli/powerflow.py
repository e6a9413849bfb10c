"""`gridloom powerflow`: solve a grid once or in many scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from gridloom.cli.options import Json, progress
from gridloom.cli.output import emit
from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    from gridloom.grid import Grid
    from gridloom.physics import BatchResult, OperatingPoint, PowerFlowResult


class PowerFlowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridloom powerflow` prints."""

    converged: bool
    engine: str
    buses: int
    scenarios: int
    loss_kw: float
    v_min_pu: float
    v_max_pu: float
    max_loading_pct: float
    solve_ms: float


def powerflow(
    grid: str,
    *,
    engine: Literal["auto", "radial", "pgm", "lightsim"] = "auto",
    scenarios: Annotated[int, Parameter(help="Solve N scenarios of random loads, 20 to 120 % of rated.")] = 0,
    seed: int = 1,
    out: Annotated[Path | None, Parameter(help="Write voltages to a Parquet file.")] = None,
    json: Json = False,
) -> int:
    """Solve the power flow of a grid.

    Parameters
    ----------
    grid
        Grid URI or file, for instance `simbench:1-MV-urban--0-sw`.
    engine
        `radial` is Gridloom's own kernel, `pgm` power-grid-model, `lightsim` lightsim2grid; `auto` picks.
    seed
        Seed of the random scenarios.
    """
    from gridloom.grid import load  # noqa: PLC0415 - heavy
    from gridloom.physics import powerflow as solve  # noqa: PLC0415
    from gridloom.physics import powerflow_batch  # noqa: PLC0415

    if scenarios < 0:
        message = f"--scenarios is {scenarios}; give a number from 0"
        raise BadInput(message)
    with progress(f"loading {grid}"):
        model = load(grid)
    if scenarios == 0:
        result = solve(model, engine=engine)
        summary = _single(model, result)
        columns = {"bus": model.buses.id, "v_pu": result.v_pu, "angle_rad": result.angle_rad}
    else:
        batch = powerflow_batch(model, random_scenarios(model, scenarios, seed), engine=engine)
        summary = _many(model, batch, scenarios)
        columns = {"scenario": range(scenarios), "loss_kw": batch.loss_kw, "converged": batch.converged}
    if out is not None:
        _write(out, columns)
    emit(summary, as_json=json)
    return 0
