"""RTS-GMLC from its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gridloom.core.errors import Malformed
from gridloom.grid import load, load_with_report
from gridloom.grid.checking import check
from gridloom.grid.summary import describe


@pytest.mark.published
def test_the_system_has_its_published_size(data: Path) -> None:
    imported = load_with_report(f"rts-gmlc:{data / 'rts_gmlc'}")
    summary = describe(imported.grid)
    assert (summary.buses, summary.branches) == (73, 120)
    assert summary.generators + summary.storages + summary.sources == 158
    assert summary.load_mw == pytest.approx(8550.0)
    assert summary.frequency_hz == 60.0
    assert imported.grid.cells.id.tolist() == ["RTS-GMLC", "area 1", "area 2", "area 3"]
    assert check(imported.grid) == ()
    assert any("ratings" in entry.what for entry in imported.report.entries)


@pytest.mark.published
def test_wind_and_sun_do_not_hold_a_voltage(data: Path) -> None:
    units = load(f"rts-gmlc:{data / 'rts_gmlc'}").generators
    weather = np.isin(units.kind.astype(str), ["wind", "pv"])
    assert np.isnan(units.vm_pu[weather]).all()
    assert np.isfinite(units.vm_pu).sum() > 50


def test_a_table_that_is_no_table_is_refused(tmp_path: Path) -> None:
    for name in ("rts_bus", "rts_branch", "rts_gen"):
        (tmp_path / f"{name}.parquet").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(Malformed, match="cannot be read as Parquet"):
        load(f"rts-gmlc:{tmp_path}")
