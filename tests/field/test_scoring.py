"""Scores against arrays whose errors are known."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gridloom.core.errors import BadInput, Unavailable
from gridloom.field import PlannedFault
from gridloom.field.scoring import (
    Estimates,
    TrueVoltages,
    event_to_command_ms,
    executed_twice,
    read_estimates,
    read_events,
    read_header,
    read_supply,
    read_truth,
    score_voltages,
)

from .conftest import START_NS, run_for

SECOND = 10**9


def known_truth() -> TrueVoltages:
    return TrueVoltages(
        time_ns=np.array([0, 1, 2]) * SECOND,
        v_pu=np.array([[1.0, 0.98], [1.01, 0.97], [1.02, np.nan]], dtype=np.float32),
        vn_kv=np.array([20.0, 0.4]),
    )


def estimates(rows: list[tuple[float, int, float]]) -> Estimates:
    times, buses, volts = zip(*rows, strict=True)
    return Estimates(
        time_ns=np.round(np.array(times) * SECOND).astype(np.int64),
        bus=np.array(buses),
        v_pu=np.array(volts),
    )


def test_medium_and_low_voltage_are_scored_apart() -> None:
    score = score_voltages(
        known_truth(),
        estimates([(0.0, 0, 1.003), (1.0, 0, 1.006), (0.0, 1, 0.98), (1.0, 1, 0.98)]),
    )
    assert score.mv_rmse_pu == pytest.approx(np.sqrt((0.003**2 + 0.004**2) / 2), rel=1e-4)
    assert score.lv_rmse_pu == pytest.approx(np.sqrt(0.01**2 / 2), rel=1e-4)
    assert score.rmse_pu == pytest.approx(np.sqrt((0.003**2 + 0.004**2 + 0.01**2) / 4), rel=1e-4)
    assert score.compared == 4


def test_an_estimate_is_held_against_the_last_truth_before_it() -> None:
    score = score_voltages(known_truth(), estimates([(1.9, 0, 1.01)]))
    assert score.mv_rmse_pu == pytest.approx(0.0, abs=1e-7)


def test_estimates_without_a_truth_are_counted_not_scored() -> None:
    score = score_voltages(known_truth(), estimates([(-1.0, 0, 1.0), (9.0, 0, 1.0), (2.0, 1, 1.0)]))
    assert (score.compared, score.without_truth) == (0, 3)
    assert np.isnan(score.rmse_pu)


def test_an_unknown_bus_is_an_error() -> None:
    with pytest.raises(BadInput, match="bus row 7"):
        score_voltages(known_truth(), estimates([(0.0, 7, 1.0)]))


def test_the_log_of_a_run_reads_back_what_was_true(build, tmp_path) -> None:
    world = build(truth_dir=tmp_path, faults=(PlannedFault(line="A3", at_s=2.2),))
    true = []
    for second in range(10):
        world.advance(START_NS + second * SECOND)
        assert world.plant.result is not None
        true.append(world.plant.result.v_pu)
    world.log.flush()
    read = read_truth(tmp_path)
    at = np.searchsorted(read.time_ns, START_NS + np.arange(10) * SECOND)
    np.testing.assert_allclose(read.v_pu[at], np.array(true), rtol=1e-6)
    supply = read_supply(tmp_path)
    assert (supply.faults, supply.customers_interrupted, supply.customers_restored) == (1, 33, 0)
    assert read_header(tmp_path).tolerances["line_r"] == 0.1
    assert executed_twice(tmp_path) == ()
    assert not list(tmp_path.glob(".*"))


def test_long_runs_keep_every_tenth_second_only(build, tmp_path) -> None:
    world = build(truth_dir=tmp_path)
    run_for(world, 700, step_s=100)
    world.log.flush()
    seconds = (read_truth(tmp_path).time_ns - START_NS) // SECOND
    assert seconds.tolist() == [*range(601), *range(610, 701, 10)]


def test_doubled_execution_would_be_seen(build, tmp_path) -> None:
    world = build(truth_dir=tmp_path)
    for _ in range(2):
        world.log.command(START_NS, "p/1/0/s", "s", "open", "accepted", moved=True)
    world.log.command(START_NS, "p/1/0/t", "t", "open", "accepted", moved=True)
    world.log.flush()
    assert executed_twice(tmp_path) == ("p/1/0/s",)


def test_a_command_is_timed_from_the_last_event_that_tells_where_the_fault_is(
    build, tmp_path
) -> None:
    log = build(truth_dir=tmp_path).log
    happened = [
        (100, "relay", "locked_out"),
        (110, "event_out", "relay"),
        (150, "event_out", "indicator"),
        (158, "event_out", "switch"),
        (160, "command_in", ""),
        (170, "event_out", "indicator"),
        (190, "command_in", ""),
    ]
    for at_ms, kind, text in happened:
        log.event(START_NS + at_ms * 10**6, kind, "it", text)
    log.flush()
    assert event_to_command_ms(tmp_path) == [10.0]


def test_estimates_are_read_from_files(tmp_path) -> None:
    table = pa.table({"time_ns": [1, 2], "bus": [0, 1], "v_pu": [1.0, 0.9]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_estimates(tmp_path).v_pu.tolist() == [1.0, 0.9]
    pq.write_table(table.drop_columns("bus"), tmp_path / "b.parquet")
    with pytest.raises(BadInput, match="need the columns bus"):
        read_estimates(tmp_path)


def test_a_folder_without_a_log_is_named(tmp_path) -> None:
    with pytest.raises(Unavailable, match=r"truth\.json is missing"):
        read_truth(tmp_path)


def test_a_line_that_was_cut_short_is_left_out(build, tmp_path) -> None:
    world = build(truth_dir=tmp_path, faults=(PlannedFault(line="A3", at_s=0.2),))
    run_for(world, 2)
    log = next(tmp_path.glob("events-*.jsonl"))
    whole = read_events(tmp_path)
    log.write_bytes(log.read_bytes()[:-9])
    assert read_events(tmp_path) == whole[:-1]


def test_a_log_that_cannot_be_written_says_so(build, tmp_path) -> None:
    world = build(truth_dir=tmp_path / "truth")
    run_for(world, 3)
    (tmp_path / "truth").rename(tmp_path / "gone")
    with pytest.raises(Unavailable, match="truth log cannot be written"):
        world.log.flush()
