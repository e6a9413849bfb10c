"""Alarms as a person can read them: by priority, alike ones in one group, never a thousand lines."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gridloom.control_room.view import Alarm

SHOWN_PER_GROUP = 20


class AlarmGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms of one priority, kind of element and text."""

    priority: int
    element_kind: str
    text: str
    is_active: bool
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
        key = (alarm.priority, alarm.element_kind, alarm.text, alarm.is_active)
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
        text=first.text,
        is_active=first.is_active,
        count=len(members),
        since_ns=max(alarm.since_ns for alarm in members),
        alarms=tuple(members[:SHOWN_PER_GROUP]),
    )


def _severity(alarm: Alarm) -> float:
    if alarm.value is None or not alarm.limit:
        return 0.0
    return abs(alarm.value - alarm.limit) / abs(alarm.limit)
