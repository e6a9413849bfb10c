"""Gridloom's file gives back what it was given, and says what is wrong with anything else."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.grid.grids import any_grid, district, same, tables

from gridloom.core.errors import BadInput, GridloomError, Malformed, Unavailable
from gridloom.grid import (
    TABLES,
    Buses,
    Grid,
    Loads,
    Loss,
    LossReport,
    Table,
    read,
    read_with_report,
    save,
    state_hash,
    table_from_bytes,
    table_to_bytes,
)

SHARED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)


@SHARED
@given(any_grid())
def test_a_grid_comes_back_bit_for_bit(tmp_path: Path, grid: Grid) -> None:
    try:
        back = read(save(grid, tmp_path / "x.gridloom"))
    except BadInput as error:
        # Lone surrogates are no Unicode text.
        assert "cannot be stored" in str(error) or "surrogate" in str(error)  # noqa: PT017
        return
    assert (back.name, back.frequency_hz, back.profiles) == (
        grid.name,
        grid.frequency_hz,
        grid.profiles,
    )
    for name in TABLES:
        assert same(getattr(grid, name), getattr(back, name)), name
    assert state_hash(back) == state_hash(grid)


@SHARED
@given(st.sampled_from(sorted(TABLES)).flatmap(lambda name: tables(TABLES[name])))
def test_a_table_comes_back_from_the_wire(table: Table) -> None:
    try:
        content = table_to_bytes(table)
    except BadInput:
        return
    assert same(table, table_from_bytes(type(table), content))


def test_equal_grids_give_equal_files(tmp_path: Path) -> None:
    a = save(district(), tmp_path / "a.gridloom").read_bytes()
    assert a == save(district(), tmp_path / "b.gridloom").read_bytes()


def test_the_loss_report_stays_with_the_grid(tmp_path: Path) -> None:
    report = LossReport(source="x", entries=(Loss(kind="gen", id="1", what="q", words="lost"),))
    path = save(district(), tmp_path / "x.gridloom", report=report)
    assert read_with_report(path).report == report


@SHARED
@given(st.data())
def test_a_file_cut_short_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = save(district(), tmp_path / "x.gridloom").read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    short = tmp_path / "short.gridloom"
    short.write_bytes(content[:cut])
    with pytest.raises(Malformed, match="cut short"):
        read(short)


@SHARED
@given(st.data())
def test_a_damaged_file_is_refused_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(save(district(), tmp_path / "x.gridloom").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path / "damaged.gridloom"
    damaged.write_bytes(bytes(content))
    try:
        back = read(damaged)
    except Malformed:
        return
    assert state_hash(back) == state_hash(district())


@SHARED
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_without_a_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.gridloom"
    path.write_bytes(content)
    with pytest.raises(Malformed):
        read(path)
    with pytest.raises(GridloomError):
        table_from_bytes(Buses, content)


def rewritten(path: Path, member: str, content: bytes) -> Path:
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == member else old.read(name))
    path.write_bytes(out.getvalue())
    return path


def test_a_newer_file_says_so(tmp_path: Path) -> None:
    path = save(district(), tmp_path / "x.gridloom")
    manifest = json.loads(zipfile.ZipFile(path).read("manifest.json"))
    manifest["schema_version"] = 99
    with pytest.raises(Malformed, match=r"newer Gridloom.*schema 99"):
        read(rewritten(path, "manifest.json", json.dumps(manifest).encode()))


def test_a_table_exchanged_for_another_is_noticed(tmp_path: Path) -> None:
    path = save(district(), tmp_path / "x.gridloom")
    grid = district()
    other = grid.with_tables(loads=grid.loads.with_columns(p_mw=[9.0] * 4))
    content = zipfile.ZipFile(save(other, tmp_path / "y.gridloom")).read("loads.parquet")
    with pytest.raises(Malformed, match="altered or damaged"):
        read(rewritten(path, "loads.parquet", content))


def test_a_foreign_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gridloom"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(Malformed, match=r"manifest\.json is not in it"):
        read(path)


def test_a_table_of_another_kind_is_refused() -> None:
    with pytest.raises(Malformed, match="no column"):
        table_from_bytes(Buses, table_to_bytes(Loads.empty()))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        read(tmp_path / "none.gridloom")
