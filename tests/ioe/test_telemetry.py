"""The last value wins, whatever the order of arrival, and every row is counted once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S
from gridloom.ioe.frames import COLUMNS, Frame, FrameKind
from gridloom.ioe.lanes import Gap, GapDetector, LatestValues

N = 6


def frame(
    time_ns: int,
    sequence: int,
    index: list[int],
    *,
    value: float = 0.0,
    epoch: int = 1,
    kind: FrameKind = FrameKind.METER,
    source: str = "g",
) -> Frame:
    values = np.full((len(COLUMNS[kind]), len(index)), value, np.float32)
    return Frame(
        kind=kind,
        source=source,
        epoch=epoch,
        sequence=sequence,
        time_ns=time_ns,
        index=np.array(index, np.uint32),
        values=values,
    )


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 2),
            st.integers(0, 5),
            st.lists(st.integers(0, N + 1), max_size=8),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_the_table_equals_a_plain_dictionary_and_every_row_is_counted(
    arrivals: list[tuple[int, int, int, list[int], bool]],
) -> None:
    table, plain = LatestValues(N), {}
    for number, (time_ns, epoch, sequence, index, takes) in enumerate(arrivals):
        table.apply(frame(time_ns, sequence, index, value=float(number), epoch=epoch))
        order = (time_ns, epoch, sequence)
        for row in index:
            if row < N and order > plain.get(row, ((-1, 0, 0), 0.0))[0]:
                plain[row] = order, float(number)
        if takes:
            table.take()
    for row in range(N):
        order, value = plain.get(row, ((-1, 0, 0), np.nan))
        np.testing.assert_equal(table.values[0, row], np.float32(value))
        assert table.time_ns[row] == order[0]
    rows = table.rows
    assert rows.received == sum(len(index) for *_, index, _ in arrivals)
    assert rows.received == rows.applied + rows.outdated + rows.refused
    assert rows.applied == rows.taken + rows.conflated + table.waiting


def test_a_reading_from_the_future_is_refused_and_does_not_stand_for_ever() -> None:
    table = LatestValues(N)
    now_ns = 100 * NS_PER_S
    assert table.apply(frame(now_ns + 60 * NS_PER_S, 0, [1]), now_ns) == 0
    assert table.apply(frame(now_ns + NS_PER_S, 1, [1], value=2.0), now_ns) == 1
    assert (table.rows.refused, table.values[0, 1]) == (1, 2.0)


def test_taken_rows_are_those_that_changed() -> None:
    table = LatestValues(N)
    table.apply(frame(1, 0, [4, 2]))
    table.apply(frame(2, 1, [2]))
    assert table.take().tolist() == [2, 4]
    assert table.take().tolist() == []
    assert table.rows.conflated == 1


def test_generations_tell_whether_anything_changed() -> None:
    table = LatestValues(N)
    table.apply(frame(1, 0, [1]))
    before = table.generation
    table.apply(frame(1, 0, [1]))
    assert table.generation == before
    table.apply(frame(2, 1, [1]))
    assert table.generation == before + 1


def test_a_snapshot_does_not_change() -> None:
    table = LatestValues(N)
    table.apply(frame(1, 0, [1], value=5.0))
    copy = table.snapshot()
    table.apply(frame(2, 1, [1], value=6.0))
    assert copy.values[0, 1] == 5.0
    with pytest.raises(ValueError, match="read-only"):
        copy.values[0, 1] = 0.0


def test_a_kind_with_fewer_columns_leaves_the_others_unknown() -> None:
    table = LatestValues(N)
    table.apply(frame(1, 0, [1], value=1.0, kind=FrameKind.BRANCH))
    table.apply(frame(2, 1, [1], value=0.0, kind=FrameKind.SWITCH))
    assert table.values[0, 1] == 0.0
    assert np.isnan(table.values[1:, 1]).all()
    assert table.kind[1] == FrameKind.SWITCH


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(BadInput):
        LatestValues(-1)


def test_a_gap_names_what_is_missing() -> None:
    gaps = GapDetector()
    assert gaps.observe(frame(1, 5, [])) is None
    assert gaps.observe(frame(1, 9, [])) == Gap("g", 1, 6, 3)
    gaps.observe(frame(1, 7, []))
    gaps.observe(frame(1, 7, []))
    assert (gaps.missing, gaps.late, gaps.repeated) == (2, 1, 1)


def test_a_restart_of_the_source_is_no_gap() -> None:
    gaps = GapDetector()
    gaps.observe(frame(1, 5, []))
    assert gaps.observe(frame(1, 0, [], epoch=2)) is None
    assert gaps.observe(frame(1, 6, [], epoch=1)) is None
    assert (gaps.restarts, gaps.missing, gaps.late) == (1, 0, 1)


@given(st.lists(st.booleans(), min_size=1, max_size=80), st.randoms(use_true_random=False))
def test_missing_frames_are_counted_exactly_under_loss_and_reordering(
    kept: list[bool], random: object
) -> None:
    sent = [number for number, keep in enumerate(kept) if keep]
    shuffled = sent[1:]
    random.shuffle(shuffled)
    gaps = GapDetector()
    for number in sent[:1] + shuffled:
        gaps.see("g", 1, number)
    span = sent[-1] - sent[0] + 1 if sent else 0
    assert gaps.missing == span - len(sent)
    assert gaps.repeated == 0


def test_a_hostile_jump_of_the_sequence_costs_no_memory() -> None:
    gaps = GapDetector(window=16)
    gaps.see("g", 1, 0)
    gap = gaps.see("g", 1, 2**63)
    assert gap is not None
    assert gap.count == 2**63 - 1
    assert len(gaps._sources["g"].missing) == 16
