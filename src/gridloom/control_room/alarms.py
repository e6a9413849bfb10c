"""Alarms as a person can read them: by priority, alike ones in one group, never a thousand lines."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gridloom.control_room.view import Alarm

SHOWN_PER_GROUP = 20
_LINKING_WORDS = frozenset({"at", "by", "for", "in", "of"})


class AlarmGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms of one priority, kind of element and rule."""

    priority: int
    element_kind: str
    text: str
    """What all of them have in common."""
    is_active: bool
    total: float | None
    """Sum of their values where these are counts (of customers, ...), which their limit of 0 tells."""
    count: int
    since_ns: int
    """Of the latest one."""
    alarms: tuple[Alarm, ...]
    """The worst or latest ones, at most `SHOWN_PER_GROUP`."""


class AlarmBoard(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the alarm panel shows."""

    active: tuple[int, int, int, int]
    """Number of active alarms of priority 1, 2, 3, 4."""
    groups: tuple[AlarmGroup, ...]
    """Active ones first, then by priority, then the latest first."""


def alarm_board(alarms: Iterable[Alarm]) -> AlarmBoard:
    """Group `alarms` for the panel."""
    groups: dict[tuple[int, str, str, bool], list[Alarm]] = {}
    active = [0, 0, 0, 0]
    for alarm in alarms:
        key = (alarm.priority, alarm.element_kind, _rule(alarm), alarm.is_active)
        groups.setdefault(key, []).append(alarm)
        active[alarm.priority - 1] += alarm.is_active
    made = [_group(members) for members in groups.values()]
    made.sort(key=lambda group: (not group.is_active, group.priority, -group.since_ns, group.text))
    return AlarmBoard(active=(active[0], active[1], active[2], active[3]), groups=tuple(made))


def _group(members: list[Alarm]) -> AlarmGroup:
    members.sort(key=lambda alarm: (-_severity(alarm), -alarm.since_ns, alarm.element))
    first = members[0]
    return AlarmGroup(
        priority=first.priority,
        element_kind=first.element_kind,
        text=_common_words([alarm.text for alarm in members]),
        is_active=first.is_active,
        total=_total(members),
        count=len(members),
        since_ns=max(alarm.since_ns for alarm in members),
        alarms=tuple(members[:SHOWN_PER_GROUP]),
    )


def _rule(alarm: Alarm) -> str:
    """Return what raised an alarm: ids read `part/rule/element`; others have only their text."""
    parts = alarm.id.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else alarm.text


def _common_words(texts: list[str]) -> str:
    """Return the words that all `texts` begin with, or the first text if there are none."""
    shared = texts[0].split()
    for text in texts[1:]:
        words = text.split()
        same = (
            at for at, pair in enumerate(zip(shared, words, strict=False)) if pair[0] != pair[1]
        )
        shared = shared[: next(same, min(len(shared), len(words)))]
    while shared and shared[-1] in _LINKING_WORDS:
        shared.pop()
    return " ".join(shared) or texts[0]


def _total(members: list[Alarm]) -> float | None:
    if all(alarm.limit == 0 and alarm.value is not None for alarm in members):
        return sum(alarm.value or 0.0 for alarm in members)
    return None


def _severity(alarm: Alarm) -> float:
    if alarm.value is None or alarm.limit is None:
        return 0.0
    if alarm.limit == 0:
        return abs(alarm.value)
    return abs(alarm.value - alarm.limit) / abs(alarm.limit)
