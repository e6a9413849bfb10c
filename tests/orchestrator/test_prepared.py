"""The table of prepared plans: what one process writes, another reads whole or not at all."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gridloom.core.errors import BadInput, Malformed, Unavailable
from gridloom.orchestrator.prepared import ACT, Operation, PreparedRow, PreparedTable, Static, Zones

STATIC = Static(
    grid_hash="ab",
    line_ids=["l0", "l1", "l2"],
    switch_ids=["s0", "s1"],
    command_paths=["a.b", ""],
    instrument_kind=bytes([4, 6]),
    instrument_element=[0, 1],
)
HASH = "0123456789abcdef" * 4
ROW = PreparedRow(
    number=77,
    expires_ns=10**18,
    breaker=1,
    autonomy=ACT,
    state_hash=bytes.fromhex(HASH[:16]),
    operations=(Operation(0, False, 0), Operation(1, True, 2)),
)
ZONES = Zones(
    parent=np.array([-1, 0], dtype=np.int32),
    depth=np.array([0, 1], dtype=np.int32),
    line=np.array([2, -1], dtype=np.int32),
    breaker=np.array([1, 1], dtype=np.int32),
    head_line=np.array([-1, 0], dtype=np.int32),
)


def write(table: PreparedTable, rows: dict[int, PreparedRow], *, series: int = 1) -> None:
    table.write(
        rows,
        positions=np.array([True, False]),
        state_hash=HASH,
        zones=ZONES,
        locked=[1],
        epoch=3,
        series=series,
        now_ns=5,
    )


@pytest.fixture
def table(tmp_path: Path) -> PreparedTable:
    return PreparedTable.create(tmp_path / "table", STATIC)


def test_another_process_reads_what_was_written(table: PreparedTable) -> None:
    write(table, {1: ROW}, series=9)
    other = PreparedTable(table.path)
    assert other.static == STATIC
    assert other.read(1) == ROW
    assert other.read(0) is None
    assert (other.epoch, other.series, other.written_ns) == (3, 9, 5)
    assert other.state_hash == ROW.state_hash
    assert other.positions.tolist() == [1, 0]
    assert other.locked.tolist() == [0, 1]
    assert other.zones.line.tolist() == [2, -1]
    assert other.generation % 2 == 0


def test_a_new_generation_takes_old_plans_away(table: PreparedTable) -> None:
    write(table, {1: ROW})
    write(table, {2: ROW})
    assert table.read(1) is None
    assert table.read(2) == ROW
    table.withdraw()
    assert table.read(2) is None


def test_a_row_that_is_being_written_is_not_read(table: PreparedTable) -> None:
    write(table, {1: ROW})
    with table._change():
        assert PreparedTable(table.path).read(1) is None
    assert table.read(1) == ROW


def test_a_writer_killed_half_way_is_followed_by_one_that_works(table: PreparedTable) -> None:
    table._words[1] |= 1
    assert table.read(0) is None
    again = PreparedTable(table.path)
    write(again, {0: ROW})
    assert again.generation % 2 == 0
    assert again.read(0) == ROW


@pytest.mark.parametrize("at", [0, 20, 60, 100, 131])
def test_a_torn_row_is_never_a_plan(table: PreparedTable, at: int) -> None:
    write(table, {1: ROW})
    place = table._rows_at + 136 * 1 + at
    table._map[place] ^= 0x40
    assert table.read(1) is None


def test_locks_take_effect_without_a_preparation(table: PreparedTable) -> None:
    write(table, {1: ROW})
    table.lock([0])
    assert table.locked.tolist() == [1, 0]
    assert table.read(1) == ROW


def test_the_clock_runs_at_the_speed_that_was_set(table: PreparedTable) -> None:
    table.set_clock(1_000, 500, 60.0)
    assert table.now_ns(510) == 1_600


def test_too_many_operations_are_refused_before_anything_is_written(table: PreparedTable) -> None:
    write(table, {1: ROW})
    with pytest.raises(BadInput, match="17 operations"):
        write(table, {1: replace(ROW, operations=ROW.operations * 8 + ROW.operations[:1])})
    assert table.read(1) == ROW


def test_files_that_are_no_table_are_refused(tmp_path: Path, table: PreparedTable) -> None:
    with pytest.raises(Unavailable):
        PreparedTable(tmp_path / "nothing")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "foreign").write_bytes(b"x" * 5000)
    (tmp_path / "short").write_bytes(table.path.read_bytes()[:-3])
    for name in ("empty", "foreign", "short"):
        with pytest.raises(Malformed):
            PreparedTable(tmp_path / name)


def test_two_threads_that_change_the_table_never_show_half_a_change(table: PreparedTable) -> None:
    write(table, {1: ROW})
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            table.set_clock(1, 1, 1.0)

    other = threading.Thread(target=tick)
    other.start()
    try:
        for series in range(300):
            write(table, {1: ROW}, series=series)
            assert table.read(1) == ROW
    finally:
        stop.set()
        other.join()
    assert table.generation % 2 == 0
