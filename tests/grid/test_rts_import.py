"""RTS-GMLC from its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridloom.core.errors import BadInput, GridloomError, Malformed
from gridloom.grid import load, load_with_report
from gridloom.grid.checking import check
from gridloom.grid.summary import describe


def write_tables(folder: Path) -> None:
    """Write a system of two areas in the tables' own form."""
    pd.DataFrame(
        {
            "Bus ID": [101, 102, 201],
            "BaseKV": [138.0, 138.0, 230.0],
            "Bus Type": ["Ref", "PV", "PQ"],
            "MW Load": [0.0, 50.0, 0.0],
            "MVAR Load": [0.0, 10.0, 0.0],
            "V Mag": 1.0,
            "V Angle": [3.0, 0.0, 0.0],
            "MW Shunt G": 0.0,
            "MVAR Shunt B": [0.0, 0.0, -100.0],
            "Area": [1, 1, 2],
            "lat": 33.0,
            "lng": -113.0,
        }
    ).to_parquet(folder / "rts_bus.parquet")
    pd.DataFrame(
        {
            "UID": ["A1", "T1"],
            "From Bus": [101, 102],
            "To Bus": [102, 201],
            "R": [0.01, 0.0],
            "X": [0.1, 0.08],
            "B": [0.02, 0.0],
            "Cont Rating": [175, 400],
            "Tr Ratio": [0.0, 1.015],
        }
    ).to_parquet(folder / "rts_branch.parquet")
    pd.DataFrame(
        {
            "GEN UID": ["101_CT_1", "102_STEAM_1", "102_PV_1", "201_STORAGE_1"],
            "Bus ID": [101, 102, 102, 201],
            "Unit Type": ["CT", "STEAM", "PV", "STORAGE"],
            "MW Inj": [8.0, 20.0, 5.0, 0.0],
            "MVAR Inj": 0.0,
            "V Setpoint p.u.": [1.04, 1.02, 1.0, 1.0],
            "PMax MW": [20.0, 76.0, 25.0, 50.0],
            "QMax MVAR": [10, 30, 0, 0],
            "QMin MVAR": [0, -25, 0, 0],
            "Base MVA": [24.0, 89.0, 25.0, 50.0],
        }
    ).to_parquet(folder / "rts_gen.parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tables(tmp_path)
    return tmp_path


def test_units_take_their_place(folder: Path) -> None:
    grid = load(f"rts-gmlc:{folder}")
    assert grid.sources.id.tolist() == ["101_CT_1"]
    assert grid.sources.va_deg.tolist() == [3.0]
    assert grid.generators.id.tolist() == ["102_STEAM_1", "102_PV_1"]
    assert grid.generators.vm_pu[0] == 1.02
    assert np.isnan(grid.generators.vm_pu[1])
    assert grid.storages.sn_mva.tolist() == [50.0]
    assert grid.branches.ratio.tolist() == [1.0, 1.015]
    assert grid.shunts.q_mvar.tolist() == [100.0]
    assert grid.cells.id[grid.buses.cell].tolist() == ["area 1", "area 1", "area 2"]
    assert check(grid) == ()


def test_a_folder_is_recognised(folder: Path) -> None:
    assert load(folder).hash == load(f"rts-gmlc:{folder}").hash


@pytest.mark.parametrize(
    ("table", "column", "value", "words"),
    [
        ("rts_branch", "To Bus", 999, "no bus with id '999'"),
        ("rts_bus", "Bus Type", "PQ", "no unit at the reference bus"),
        ("rts_gen", "GEN UID", "twin", "stands 4 times"),
        ("rts_bus", "BaseKV", "high", "not numeric"),
        ("rts_branch", "R", None, "no column 'R'"),
    ],
)
def test_what_is_wrong_is_named(
    folder: Path, table: str, column: str, value: object, words: str
) -> None:
    path = folder / f"{table}.parquet"
    frame = pd.read_parquet(path)
    frame = frame.drop(columns=column) if value is None else frame.assign(**{column: value})
    frame.to_parquet(path)
    with pytest.raises(BadInput, match=words):
        load(f"rts-gmlc:{folder}")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(st.data())
def test_a_table_cut_or_damaged_gives_an_error_of_ours_or_a_grid(
    tmp_path: Path, data: st.DataObject
) -> None:
    write_tables(tmp_path)
    path = tmp_path / data.draw(
        st.sampled_from(["rts_bus.parquet", "rts_branch.parquet", "rts_gen.parquet"])
    )
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(bytes(content[:at]))
        with pytest.raises(Malformed, match="cannot be read as Parquet"):
            load(f"rts-gmlc:{tmp_path}")
        return
    content[at] ^= 0xFF
    path.write_bytes(bytes(content))
    try:
        load(f"rts-gmlc:{tmp_path}")
    except GridloomError:
        return


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
