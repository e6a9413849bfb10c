"""`gridloom powerflow`: solve a grid once or in many scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from gridloom.cli.grids import load_checked
from gridloom.cli.options import Json
from gridloom.cli.output import emit
from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    from gridloom.grid import Grid
    from gridloom.physics import BatchResult, PowerFlowResult


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
    scenarios: Annotated[
        int, Parameter(help="Solve N scenarios of random loads, loads at 20 to 120 %.")
    ] = 0,
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
    import numpy as np

    from gridloom.physics import powerflow as solve
    from gridloom.physics import powerflow_batch, random_scenarios

    if scenarios < 0:
        message = f"--scenarios is {scenarios}; give a number from 0"
        raise BadInput(message)
    model = load_checked(grid)
    if scenarios == 0:
        result = solve(model, engine=engine)
        summary = _single(model, result)
        columns = {"bus": model.buses.id, "v_pu": result.v_pu, "angle_rad": result.angle_rad}
    else:
        batch = powerflow_batch(
            model, random_scenarios(model, scenarios, np.random.default_rng(seed)), engine=engine
        )
        summary = _many(model, batch, scenarios)
        columns = {
            "scenario": np.arange(scenarios),
            "loss_kw": batch.loss_kw,
            "converged": batch.converged,
        }
    if out is not None:
        _write(out, columns)
    emit(summary, as_json=json)
    return 0


def _single(grid: Grid, result: PowerFlowResult) -> PowerFlowSummary:
    # Where the iteration stopped without a solution is no figure of the grid.
    nothing = float("nan")
    return PowerFlowSummary(
        converged=result.converged,
        engine=result.engine,
        buses=len(grid.buses),
        scenarios=1,
        loss_kw=result.loss_kw if result.converged else nothing,
        v_min_pu=result.v_min_pu if result.converged else nothing,
        v_max_pu=result.v_max_pu if result.converged else nothing,
        max_loading_pct=result.max_loading_pct if result.converged else nothing,
        solve_ms=result.solve_ms,
    )


def _many(grid: Grid, batch: BatchResult, scenarios: int) -> PowerFlowSummary:
    import numpy as np

    done = batch.converged
    loading = batch.loading_pct[done] if batch.loading_pct.size else np.empty(0)
    return PowerFlowSummary(
        converged=bool(done.all()),
        engine=batch.engine,
        buses=len(grid.buses),
        scenarios=scenarios,
        loss_kw=float(batch.loss_kw[done].mean()) if done.any() else float("nan"),
        v_min_pu=float(np.nanmin(batch.v_pu[done])) if done.any() else float("nan"),
        v_max_pu=float(np.nanmax(batch.v_pu[done])) if done.any() else float("nan"),
        max_loading_pct=float(np.nanmax(loading)) if np.isfinite(loading).any() else float("nan"),
        solve_ms=batch.solve_ms,
    )


def _write(path: Path, columns: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.write_table(pa.table(columns), path)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise BadInput(message) from None
