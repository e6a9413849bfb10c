"""No device promises the same power twice, whatever is promised when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.errors import BadInput, Refused, UnknownId
from gridloom.core.plans import Promise
from gridloom.orchestrator.book import CapacityBook


def promise(p_mw: float, start: int, end: int, *, plan: str = "p", device: str = "d") -> Promise:
    return Promise(device=device, service="s", p_mw=p_mw, start_ns=start, end_ns=end, plan_id=plan)


@pytest.fixture
def book() -> CapacityBook:
    book = CapacityBook()
    book.register("d", -2.0, 3.0)
    return book


def test_promises_that_do_not_overlap_may_each_use_everything(book: CapacityBook) -> None:
    book.add([promise(3.0, 0, 10), promise(3.0, 10, 20), promise(-2.0, 20, 30)])
    assert [p.p_mw for p in book.promised("d", 10)] == [3.0]


def test_opposite_promises_do_not_cancel_each_other(book: CapacityBook) -> None:
    # Either service may be called without the other.
    book.add([promise(-2.0, 0, 10)])
    with pytest.raises(Refused, match="would owe 4 MW, it has 3 MW"):
        book.add([promise(2.0, 0, 10), promise(2.0, 5, 6)])
    assert len(book.promised("d", 5)) == 1


def test_a_withdrawn_plan_frees_what_it_held(book: CapacityBook) -> None:
    book.add([promise(3.0, 0, 10, plan="a")])
    assert book.shortfall([promise(1.0, 9, 11)]) is not None
    assert [p.plan_id for p in book.withdraw("a")] == ["a"]
    assert book.shortfall([promise(1.0, 9, 11)]) is None


def test_old_promises_are_forgotten(book: CapacityBook) -> None:
    book.add([promise(3.0, 0, 10), promise(3.0, 10, 20)])
    book.forget_before(10)
    assert len(book.promised("d", 15)) == 1
    assert book.promised("d", 5) == ()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (promise(1.0, 5, 5), BadInput),
        (promise(float("nan"), 0, 5), BadInput),
        (promise(1.0, 0, 5, device="nobody"), UnknownId),
    ],
)
def test_promises_that_mean_nothing_are_refused(
    book: CapacityBook, wrong: Promise, error: type
) -> None:
    with pytest.raises(error):
        book.add([wrong])


@pytest.mark.parametrize("ends", [(1.0, -1.0), (float("nan"), 1.0), (-float("inf"), 0.0)])
def test_a_device_needs_a_range(ends: tuple[float, float]) -> None:
    with pytest.raises(BadInput):
        CapacityBook().register("d", *ends)


intervals = st.tuples(
    st.integers(0, 20), st.integers(1, 10), st.floats(-2, 3, allow_subnormal=False)
)


@given(st.lists(intervals, max_size=12))
def test_at_no_moment_more_is_promised_than_there_is(wanted: list[tuple[int, int, float]]) -> None:
    book = CapacityBook()
    book.register("d", -2.0, 3.0)
    for start, length, p_mw in wanted:
        one = promise(p_mw, start, start + length)
        if book.shortfall([one]) is None:
            book.add([one])
    for moment in range(31):
        due = np.array([p.p_mw for p in book.promised("d", moment)])
        assert due[due > 0].sum() <= 3.0 + 1e-6
        assert due[due < 0].sum() >= -2.0 - 1e-6
