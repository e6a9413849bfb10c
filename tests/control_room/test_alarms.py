"""Alarms as a person can read them."""

from hypothesis import given
from hypothesis import strategies as st

from gridloom.control_room.alarms import SHOWN_PER_GROUP, alarm_board
from gridloom.control_room.view import Alarm


def alarm(id_: str, text: str, **others: object) -> Alarm:
    fields = {"priority": 2, "element_kind": "cell", "element": id_, "since_ns": 1, **others}
    return Alarm(id=id_, text=text, **fields)  # type: ignore[arg-type]


def test_alarms_of_one_rule_are_one_group_named_by_their_common_words() -> None:
    board = alarm_board(
        [
            alarm("grid/dead/A", "no supply for 104 customers", value=104.0, limit=0.0),
            alarm("grid/dead/B", "no supply for 41 customers", value=41.0, limit=0.0),
        ]
    )
    (group,) = board.groups
    assert group.text == "no supply"
    assert group.total == 145
    assert [each.element for each in group.alarms] == ["grid/dead/A", "grid/dead/B"]


def test_active_ones_come_first_then_by_priority_then_the_latest() -> None:
    board = alarm_board(
        [
            alarm("1", "gone", priority=1, is_active=False),
            alarm("2", "low", priority=3),
            alarm("3", "urgent", priority=1),
            alarm("4", "newer", priority=3, since_ns=9),
        ]
    )
    assert [group.text for group in board.groups] == ["urgent", "newer", "low", "gone"]
    assert board.active == (1, 0, 2, 0)


def test_the_worst_of_a_group_are_shown() -> None:
    board = alarm_board(
        alarm(f"grid/high/{n}", "voltage high", value=1.1 + n / 1e4, limit=1.1) for n in range(500)
    )
    (group,) = board.groups
    assert group.count == 500
    assert [each.id for each in group.alarms] == [
        f"grid/high/{n}" for n in range(499, 499 - SHOWN_PER_GROUP, -1)
    ]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_any_texts_have_a_title(texts: list[str]) -> None:
    board = alarm_board(alarm(f"a/b/{n}", text) for n, text in enumerate(texts))
    assert len(board.groups) == 1
    assert board.groups[0].text is not None
