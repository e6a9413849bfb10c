"""Order of what happens."""

from hypothesis import given
from hypothesis import strategies as st

from gridloom.field.agenda import Agenda, Turn


@given(entries=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(list(Turn))), max_size=30))
def test_things_happen_by_time_then_turn_then_order_of_entry(entries) -> None:
    agenda, done = Agenda(), []
    for number, (due_ns, turn) in enumerate(entries):
        agenda.add(due_ns, lambda at, key=(due_ns, turn, number): done.append((at, key)), turn)
    agenda.run_until(5)
    keys = [key for _, key in done]
    assert keys == sorted(keys)
    assert all(at == key[0] for at, key in done)
    assert len(agenda) == 0


def test_what_an_act_brings_about_is_done_in_the_same_run() -> None:
    agenda, done = Agenda(), []
    agenda.add(1, lambda at: agenda.add(at + 1, done.append))
    agenda.run_until(2)
    assert done == [2]
    assert agenda.next_ns is None


def test_what_is_due_later_waits() -> None:
    agenda, done = Agenda(), []
    agenda.add(10, done.append)
    agenda.run_until(9)
    assert done == []
    assert agenda.next_ns == 10
