"""The history keeps flushed rows through a kill, and never stops the loop."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.core.clock import SteppedClock
from gridloom.core.errors import BadInput
from gridloom.store.errors import StoreFailed, StoreLocked
from gridloom.store.history import History, HistoryReader

S = 10**9
DAY_NS = 86_400 * S
START_NS = 18_614 * DAY_NS  # 2020-12-18


def values(n: int, of: float = 1.0) -> dict[str, np.ndarray]:
    return {"p_kw": np.full(n, of, dtype=np.float32), "v_pu": np.ones(n, dtype=np.float32)}


def rows(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint32)


def inline(directory: Path, **options: int) -> History:
    return History(directory, in_background=False, **options)


def test_rows_are_seen_before_and_after_the_flush_and_once(tmp_path: Path) -> None:
    with inline(tmp_path / "h") as history:
        history.append("meter", START_NS, rows(3), values(3))
        assert len(history.query("meter", START_NS, START_NS + 1)) == 3
        history.flush()
        assert history.n_buffered == 0
        history.append("meter", START_NS + S, rows(3), values(3, 2.0))
        found = history.query("meter", START_NS, START_NS + 2 * S)
        assert found.time_ns.tolist() == [START_NS] * 3 + [START_NS + S] * 3
        assert found.columns["p_kw"].tolist() == [1, 1, 1, 2, 2, 2]
    with HistoryReader(tmp_path / "h") as reader:
        assert reader.kinds() == ("meter",)
        assert len(reader.query("meter", START_NS, START_NS + 2 * S)) == 6


def test_query_selects_by_time_index_and_column(tmp_path: Path) -> None:
    with inline(tmp_path / "h") as history:
        for step in range(10):
            history.append("bus", START_NS + step * S, rows(4), values(4, step))
            if step == 5:
                history.flush()
        found = history.query(
            "bus", START_NS + 4 * S, START_NS + 8 * S, index=[2], columns=["p_kw"]
        )
        assert found.columns.keys() == {"p_kw"}
        assert found.columns["p_kw"].tolist() == [4, 5, 6, 7]
        assert set(found.index.tolist()) == {2}
        assert len(history.query("relay", START_NS, START_NS + S)) == 0
        with pytest.raises(BadInput):
            history.query("bus", START_NS, START_NS + S, columns=["p_mw"])
        with pytest.raises(BadInput):
            history.query("bus", START_NS, START_NS + S, columns=['p_kw" FROM x --'])


def test_at_and_latest_give_one_row_an_instrument(tmp_path: Path) -> None:
    with inline(tmp_path / "h") as history:
        history.append("meter", START_NS, rows(3), values(3, 1))
        history.flush()
        history.append("meter", START_NS + 60 * S, rows(2), values(2, 2))
        history.append("meter", START_NS + 30 * S, rows(1), values(1, 9))  # came late
        assert history.latest("meter").columns["p_kw"].tolist() == [2, 2, 1]
        assert history.at("meter", START_NS + 59 * S).columns["p_kw"].tolist() == [9, 1, 1]
        assert history.at("meter", START_NS + 60 * S).columns["p_kw"].tolist() == [2, 2, 1]
        assert history.at("meter", START_NS + 60 * S, lookback_s=20).index.tolist() == [0, 1]
        assert len(history.at("meter", START_NS - 1)) == 0


def test_latest_is_known_again_after_a_restart(tmp_path: Path) -> None:
    with inline(tmp_path / "h") as history:
        history.append("meter", START_NS, rows(3), values(3, 1))
    with inline(tmp_path / "h") as history:
        assert history.latest("meter").index.tolist() == [0, 1, 2]
        history.append("meter", START_NS + S, rows(1), values(1, 5))
        assert history.latest("meter").columns["p_kw"].tolist() == [5, 1, 1]
        assert history.last_ns("meter") == START_NS + S
        assert len(history.latest("relay")) == 0


@settings(max_examples=25, deadline=None)
@given(
    blocks=st.lists(
        st.tuples(
            st.integers(-3, 3), st.lists(st.integers(0, 5), min_size=1, max_size=6), st.booleans()
        ),
        min_size=1,
        max_size=6,
    )
)
def test_latest_in_memory_agrees_with_the_query(
    blocks: list[tuple[int, list[int], bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with inline(tmp_path_factory.mktemp("h")) as history:
        for number, (time, index, flush) in enumerate(blocks):
            unique = np.unique(np.array(index, dtype=np.uint32))
            # Times are made distinct, since of equal ones the query may take either.
            time_ns = START_NS + (time * 100 + number) * S
            history.append("meter", time_ns, unique, values(len(unique), number))
            if flush:
                history.flush()
        last_ns = history.last_ns("meter")
        assert last_ns is not None
        asked, known = history.at("meter", last_ns), history.latest("meter")
        assert asked.index.tolist() == known.index.tolist()
        assert asked.time_ns.tolist() == known.time_ns.tolist()
        assert asked.columns["p_kw"].tolist() == known.columns["p_kw"].tolist()


@settings(max_examples=15, deadline=None)
@given(
    data=st.lists(
        st.tuples(
            st.integers(-(2 * DAY_NS), 2 * DAY_NS),
            st.integers(0, 2**20),
            st.floats(width=32, allow_infinity=True, allow_nan=False),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_rows_read_back_as_they_were(
    data: list[tuple[int, int, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    times, index, floats = (list(column) for column in zip(*data, strict=True))
    with inline(tmp_path_factory.mktemp("h")) as history:
        history.append(
            "meter",
            np.array(times),
            np.array(index, dtype=np.uint32),
            {"p_kw": np.array(floats, dtype=np.float32)},
        )
        history.flush()
        found = history.query("meter", -(3 * DAY_NS), 3 * DAY_NS)
    got = zip(
        found.time_ns.tolist(), found.index.tolist(), found.columns["p_kw"].tolist(), strict=True
    )
    assert sorted(got) == sorted(zip(times, index, floats, strict=True))


def test_rows_that_do_not_fit_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with inline(tmp_path / "h") as history:
        history.append("meter", START_NS, rows(0), values(0))
        with pytest.raises(BadInput, match="shapes"):
            history.append("meter", START_NS, rows(3), values(2))
        with pytest.raises(BadInput, match="times"):
            history.append("meter", np.arange(2), rows(3), values(3))
        with pytest.raises(BadInput, match="beyond"):
            history.append("meter", START_NS, np.array([2**32 - 1], dtype=np.uint32), values(1))
        with pytest.raises(BadInput, match="lower-case"):
            history.append("../up", START_NS, rows(1), values(1))
        history.append("meter", START_NS, rows(1), values(1))
        with pytest.raises(BadInput, match="has the columns"):
            history.append("meter", START_NS, rows(1), {"p_kw": np.ones(1, dtype=np.float32)})
        assert history.n_buffered == 1


def test_second_writer_is_refused(tmp_path: Path) -> None:
    with inline(tmp_path / "h"), pytest.raises(StoreLocked):
        inline(tmp_path / "h")


def test_flush_comes_by_rows_and_in_the_background(tmp_path: Path) -> None:
    with History(tmp_path / "h", clock=SteppedClock(0), flush_rows=10) as history:
        for step in range(9):
            history.append("meter", START_NS + step * S, rows(2), values(2))
    with HistoryReader(tmp_path / "h") as reader:
        assert len(reader.query("meter", START_NS, START_NS + DAY_NS)) == 18


def test_caller_may_use_its_buffer_again(tmp_path: Path) -> None:
    with inline(tmp_path / "h") as history:
        index, columns = rows(2), values(2, 1)
        history.append("meter", START_NS, index, columns)
        index += 5
        columns["p_kw"] += 5
        found = history.query("meter", START_NS, START_NS + 1)
        assert (found.index.tolist(), found.columns["p_kw"].tolist()) == ([0, 1], [1, 1])


def test_leftovers_of_a_killed_writer_are_swept_and_never_read(tmp_path: Path) -> None:
    with inline(tmp_path / "h") as history:
        history.append("meter", START_NS, rows(2), values(2))
    day = tmp_path / "h" / "raw" / "meter" / "day=2020-12-18"
    (day / ".1_2_9.parquet").write_bytes(b"half a file")
    with HistoryReader(tmp_path / "h") as reader:
        assert len(reader.query("meter", START_NS, START_NS + 1)) == 2
    with inline(tmp_path / "h"):
        assert [path.name[0] for path in day.iterdir()] == ["1"]


def test_spoilt_file_is_a_clear_error(tmp_path: Path) -> None:
    with inline(tmp_path / "h") as history:
        history.append("meter", START_NS, rows(2), values(2))
        history.flush()
        (part,) = (tmp_path / "h").rglob("*.parquet")
        part.write_bytes(part.read_bytes()[:40])
        with pytest.raises(StoreFailed, match="parquet"):
            history.query("meter", START_NS, START_NS + 1)


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_loses_no_flushed_row_and_leaves_no_torn_file(
    seed: int, tmp_path: Path, run_and_kill: Callable[..., list[str]]
) -> None:
    wait_s = random.Random(seed).uniform(0.0, 0.3)
    lines = run_and_kill("history_crash_child.py", str(tmp_path / "h"), after_s=wait_s)
    flushed = int(lines[-1]) if lines else 0
    with inline(tmp_path / "h") as history:
        found = history.query("meter", 0, 10 * DAY_NS)
    assert flushed <= len(found) <= flushed + 50
    pairs = set(zip(found.index.tolist(), found.columns["p_kw"].tolist(), strict=True))
    assert len(pairs) == len(found)


FULL_DISK = """
import resource, sys
import numpy as np
from gridloom.store.errors import StoreFailed
from gridloom.store.history import History
history = History(sys.argv[1], in_background=False, flush_rows=20_000, most_rows=60_000)
rng, index = np.random.default_rng(1), np.arange(10_000, dtype=np.uint32)
def append(step):
    history.append("meter", step * 10**9, index, {"p_kw": rng.random(10_000, dtype=np.float32)})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
for step in range(8):
    append(step)
assert history.failure, "the disk was not full"
assert history.n_buffered == 60_000 and history.n_let_go == 20_000
assert len(history.query("meter", 0, 10**12)) == 60_000
assert len(history.latest("meter")) == 10_000
try:
    history.flush()
except StoreFailed as error:
    assert "free some space" in str(error)
else:
    raise SystemExit("no error")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
history.flush()
assert not history.failure and history.n_buffered == 0
assert len(history.query("meter", 0, 10**12)) == 60_000
history.close()
"""


def test_full_disk_is_named_and_the_loop_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "h")]
    subprocess.run(command, check=True, timeout=60)
    assert not list((tmp_path / "h").rglob(".*.parquet"))
