"""`gridloom estimate`: one state estimate of a grid from a file of readings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from gridloom.cli.grids import load_checked
from gridloom.cli.options import Json, progress
from gridloom.cli.output import emit
from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

    from gridloom.grid import Grid
    from gridloom.ioe.telemetry import Readings
    from gridloom.twin.state import GridState


class SuspectView(msgspec.Struct, frozen=True):
    """A reading that the rest of the grid contradicts."""

    instrument: str
    quantity: str
    measured: float
    estimated: float
    normalised_residual: float


class EstimateSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridloom estimate` prints."""

    converged: bool
    engine: str
    buses: int
    readings: int
    observable_buses: int
    """Fixed by readings alone, without what customers usually do."""
    v_min_pu: float
    v_max_pu: float
    v_sigma_mean_pu: float
    """Mean standard deviation of the estimated voltages."""
    max_loading_pct: float
    chi_square: float
    """Weighted residuals over their expectation: near 1 when model and readings agree."""
    suspects: list[SuspectView]
    estimate_ms: float


def estimate(
    grid: str,
    *,
    readings: Annotated[
        Path,
        Parameter(help="Parquet: instrument, time_ns and p_kw, q_kvar, v_pu, i_a as measured."),
    ],
    instruments: Annotated[
        Path | None, Parameter(help="Parquet: id, kind, element_kind, element_id, side, class_pct.")
    ] = None,
    seed: int = 1,
    mv_share: float = 0.05,
    engine: Literal["wls", "pgm"] = "wls",
    out: Annotated[
        Path | None, Parameter(help="Write bus, v_pu, v_sigma_pu, is_observable to Parquet.")
    ] = None,
    json: Json = False,
) -> int:
    """Estimate the state of a grid from readings, and name the readings that cannot be true.

    Parameters
    ----------
    grid
        Grid URI or file, at its normal switch positions.
    seed
        Seed of the standard instrument plan, which is used when no instruments are given.
    mv_share
        Share of medium-voltage buses with a voltage measurement in the standard plan.
    engine
        `wls` is Gridloom's own, `pgm` power-grid-model; both see the same rows.
    """
    import numpy as np

    from gridloom.cli.instrument_files import read_instruments, read_readings
    from gridloom.grid.instruments import place_instruments
    from gridloom.twin.estimation import Estimator

    model = load_checked(grid)
    if instruments is None:
        table = place_instruments(model, rng=np.random.default_rng(seed), mv_share=mv_share)
    else:
        table = read_instruments(model, instruments)
    values = read_readings(table, readings)
    now_ns = int(values.time_ns.max())
    with progress("estimating"):
        estimator = Estimator(model, table, engine=engine)
        estimator.read(values, now_ns)
        state = estimator.estimate(np.array(model.switches.closed), now_ns)
    if out is not None:
        _write(out, model, state)
    emit(_summary(model, values, state), as_json=json)
    return 0


def _summary(grid: Grid, readings: Readings, state: GridState) -> EstimateSummary:
    import numpy as np

    loading = np.concatenate([state.line_loading_pct, state.transformer_loading_pct])
    known = np.isfinite(state.v_sigma_pu)
    return EstimateSummary(
        converged=state.converged,
        engine=state.engine,
        buses=len(grid.buses),
        readings=int((readings.time_ns >= 0).sum()),
        observable_buses=int(state.is_observable.sum()),
        v_min_pu=state.v_min_pu,
        v_max_pu=state.v_max_pu,
        v_sigma_mean_pu=float(state.v_sigma_pu[known].mean()) if known.any() else float("nan"),
        max_loading_pct=float(np.nanmax(loading)) if np.isfinite(loading).any() else float("nan"),
        chi_square=state.chi_square,
        suspects=[
            SuspectView(s.instrument, s.quantity, s.measured, s.estimated, s.normalised_residual)
            for s in state.suspects
        ],
        estimate_ms=state.seconds * 1e3,
    )


def _write(path: Path, grid: Grid, state: GridState) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table: pa.Table = pa.table(
        {
            "bus": grid.buses.id,
            "v_pu": state.v_pu,
            "v_sigma_pu": state.v_sigma_pu,
            "is_observable": state.is_observable,
        }
    )
    try:
        pq.write_table(table, path)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from None
