"""Quarter hours outlive the rows that they were made of, and say the same."""

from pathlib import Path

import numpy as np
import pytest

from gridloom.core.errors import BadInput
from gridloom.store.history import History, HistoryReader, Retention, Upkeep

S = 10**9
DAY_NS = 86_400 * S
START_NS = 18_614 * DAY_NS


def filled(directory: Path, days: int = 3) -> History:
    history = History(directory, in_background=False)
    rng = np.random.default_rng(1)
    index = np.arange(4, dtype=np.uint32)
    for step in range(days * 96 * 2):
        p_kw = rng.normal(size=4).astype(np.float32)
        p_kw[3] = np.nan
        history.append("meter", START_NS + step * 450 * S, index, {"p_kw": p_kw})
        if step % 100 == 0:
            history.flush()
    history.flush()
    return history


def test_rollup_says_what_numpy_says(tmp_path: Path) -> None:
    with filled(tmp_path) as history:
        raw = history.query("meter", START_NS, START_NS + DAY_NS, index=[1])
        pairs = raw.columns["p_kw"].reshape(96, 2)
        for _ in range(2):  # computed from raw rows, then read from the stored rollup
            quarters = history.rollups("meter", START_NS, START_NS + DAY_NS, index=[1])
            assert quarters.time_ns.tolist() == [START_NS + q * 900 * S for q in range(96)]
            np.testing.assert_allclose(quarters.columns["p_kw_mean"], pairs.mean(axis=1), atol=1e-6)
            np.testing.assert_array_equal(quarters.columns["p_kw_min"], pairs.min(axis=1))
            np.testing.assert_array_equal(quarters.columns["p_kw_max"], pairs.max(axis=1))
            assert set(quarters.columns["n"].tolist()) == {2}
            history.maintain(START_NS + 5 * DAY_NS)


def test_value_that_is_not_there_stays_so(tmp_path: Path) -> None:
    with filled(tmp_path, 1) as history:
        quarters = history.rollups("meter", START_NS, START_NS + DAY_NS, index=[3])
        assert np.isnan(quarters.columns["p_kw_mean"]).all()
        assert set(quarters.columns["n"].tolist()) == {2}


def test_old_raw_rows_go_and_their_quarters_stay(tmp_path: Path) -> None:
    end_ns = START_NS + 3 * DAY_NS
    with filled(tmp_path) as history:
        before = history.rollups("meter", START_NS, end_ns)
        done = history.maintain(end_ns, Retention(raw_days=1, rollup_days=10))
        assert done == Upkeep(rolled_up=3, removed=2)
        assert history.query("meter", START_NS, end_ns).time_ns.min() == START_NS + 2 * DAY_NS
        after = history.rollups("meter", START_NS, end_ns)
        assert after.time_ns.tolist() == before.time_ns.tolist()
        np.testing.assert_array_equal(after.columns["p_kw_max"], before.columns["p_kw_max"])
        assert history.maintain(end_ns, Retention(raw_days=1, rollup_days=10)) == Upkeep(0, 0)
        later_ns = end_ns + 20 * DAY_NS
        assert history.maintain(later_ns, Retention(raw_days=1, rollup_days=10)).removed == 4
        assert len(history.rollups("meter", START_NS, end_ns)) == 0


def test_day_that_is_not_over_is_left_alone(tmp_path: Path) -> None:
    with filled(tmp_path, 1) as history:
        assert history.maintain(START_NS + DAY_NS - 1) == Upkeep(0, 0)
        assert history.maintain(START_NS + DAY_NS) == Upkeep(1, 0)


def test_late_rows_are_rolled_up_again_until_the_day_is_removed(tmp_path: Path) -> None:
    late = (START_NS, np.zeros(1, dtype=np.uint32), {"p_kw": np.full(1, 99, dtype=np.float32)})
    with filled(tmp_path, 1) as history:
        history.maintain(START_NS + 2 * DAY_NS)
        history.append("meter", *late)
        history.flush()
        assert history.maintain(START_NS + 2 * DAY_NS) == Upkeep(1, 0)
        first = history.rollups("meter", START_NS, START_NS + 1, index=[0])
        assert (first.columns["p_kw_max"].tolist(), first.columns["n"].tolist()) == ([99], [3])
        history.maintain(START_NS + 5 * DAY_NS, Retention(raw_days=1))
        history.append("meter", *late)
        history.flush()
        assert history.n_late == 1
        assert len(history.query("meter", START_NS, START_NS + DAY_NS)) == 0
    with HistoryReader(tmp_path) as reader:
        again = reader.rollups("meter", START_NS, START_NS + 1, index=[0])
        assert again.columns["n"].tolist() == [3]


def test_retention_must_make_sense() -> None:
    with pytest.raises(BadInput):
        Retention(raw_days=0)
    with pytest.raises(BadInput):
        Retention(raw_days=9, rollup_days=8)
