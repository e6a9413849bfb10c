"""What each customer and generator injects now: from its last reading, and from what its like do at this moment.

A reading grows old. How fast is learned from the meter itself: the mean square change between successive readings,
per second between them. What an element without a (recent) reading does is learned from the others of its group, as a
share of the rating; before anybody has been read it is a stated share. Both are weighed by their variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from gridloom.core.units import NS_PER_S
from gridloom.physics.arrays import Flags, Floats, Rows

_FIRST_SHARE, _FIRST_SIGMA = 0.4, 0.4
"""Before any reading: 40 % of the rating, give or take 40 % of it."""
_LEAST_GROUP = 5
"""Readings that a group needs before its mean says anything."""
_GROUP_AGE_S = 1800.0
_START_DRIFT_PER_S = 0.05**2 / 60
"""Before two readings: 5 % of the last in a minute, as a variance per second."""
_MOST_DRIFT_PER_S = 4 * _START_DRIFT_PER_S
_LEAST_SCALE = 0.1
_LEARNING = 0.1
"""Weight of the newest change in the learned drift, once there were ten."""
_GROUP_WORTH = 3.0
"""An element's own changes weigh more than its group's from this many on."""
NEVER: Final = int(np.iinfo(np.int64).min)
"""Time of what was never read."""
_FLOOR_SHARE = 5e-4
"""No reading is better than this share of the rating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injections:
    """Complex power of each element with its variance, positive into the grid; shape (2, element): P and Q."""

    value: Floats
    """[MW], [Mvar]."""
    variance: Floats
    reading: Floats
    """The last reading by itself, shape (2, element)."""
    expected: Floats
    """What was expected in place of the last reading: the one before it, or the habit where there is none."""
    expected_variance: Floats
    is_read: Flags
    """Whether the last reading outweighs the habit, shape (element,)."""
    age_s: Floats
    """Age of the reading; infinite without one, shape (element,)."""


class InjectionModel:
    """Remembers readings of elements and says what they are worth now."""

    def __init__(self, rated: Floats, class_pct: Floats, group: Rows) -> None:
        """Start without readings.

        Args:
            rated: Rated injection, negative for a load, shape (2, element): P [MW] and Q [Mvar].
            class_pct: Accuracy class of each element's meter, NaN without one.
            group: Elements of one number behave alike, from 0, shape (element,).
        """
        self._rated, self._group = rated, group
        self._size: Floats = np.maximum(np.hypot(rated[0], rated[1]), 1e-4)
        self._class = np.nan_to_num(class_pct, nan=1.0)
        self._value = rated * _FIRST_SHARE
        self._time_ns = np.full(len(group), NEVER)
        self._drift = np.full((2, len(group)), _START_DRIFT_PER_S)
        """Learned mean square change of a reading per second, in shares of `_scale` squared."""
        self._changes = np.zeros(len(group))
        """Changes it was learned from."""
        self._doubt = np.zeros(len(group))
        self._before = np.full((2, len(group)), np.nan)
        """The reading before the last, and what it was worth when the last one came."""
        self._before_variance = np.full((2, len(group)), np.nan)

    @property
    def time_ns(self) -> Rows:
        """Time of each element's last reading, `NEVER` without one, shape (element,)."""
        return self._time_ns

    def read(self, elements: Rows, value: Floats, time_ns: Rows) -> None:
        """Take in readings.

        Args:
            elements: Elements, each at most once.
            value: P [MW] and Q [Mvar], shape (2, len(elements)).
            time_ns: When each was taken; older ones than those known are passed over, as is what is no number.
        """
        newer = (time_ns > self._time_ns[elements]) & np.isfinite(value).all(axis=0)
        elements, value, time_ns = elements[newer], value[:, newer], time_ns[newer]
        seen = self._time_ns[elements] != NEVER
        self._expect(elements[seen], time_ns[seen])
        self._learn(elements[seen], value[:, seen], time_ns[seen])
        self._value[:, elements] = value
        self._time_ns[elements] = time_ns
        self._doubt[elements] = 0.0

    def _expect(self, elements: Rows, time_ns: Rows) -> None:
        apart_s = (time_ns - self._time_ns[elements]) / NS_PER_S
        self._before[:, elements] = self._value[:, elements]
        drift = self._drift_per_s()[:, elements] * apart_s
        self._before_variance[:, elements] = drift + (_FLOOR_SHARE * self._size[elements]) ** 2

    def _learn(self, elements: Rows, value: Floats, time_ns: Rows) -> None:
        apart_s = np.maximum((time_ns - self._time_ns[elements]) / NS_PER_S, 0.5)
        change = ((value - self._value[:, elements]) / self._scale()[elements]) ** 2 / apart_s
        self._changes[elements] += 1
        weight = np.maximum(1.0 / self._changes[elements], _LEARNING)
        self._drift[:, elements] += weight * (change - self._drift[:, elements])

    def _scale(self) -> Floats:
        """Return what changes are measured by: the last reading, at least a tenth of the rating, shape (element,)."""
        size = np.hypot(self._value[0], self._value[1])
        scale: Floats = np.maximum(size, _LEAST_SCALE * self._size)
        return scale

    def _drift_per_s(self) -> Floats:
        """Return each element's drift, its group's and everybody's where it is not known well, shape (2, element)."""
        n = int(self._group.max(initial=-1)) + 1
        seen = np.minimum(self._changes, 1.0)
        per_group = np.bincount(self._group, seen, n)
        own = self._changes / (self._changes + _GROUP_WORTH)
        result = np.empty_like(self._drift)
        for part in range(2):
            # One restless element must not make its whole group look restless.
            learned = np.minimum(self._drift[part], _MOST_DRIFT_PER_S) * seen
            everybody = (learned.sum() + _LEAST_GROUP * _START_DRIFT_PER_S) / (
                seen.sum() + _LEAST_GROUP
            )
            total = np.bincount(self._group, learned, n)
            group = (total + _LEAST_GROUP * everybody) / (per_group + _LEAST_GROUP)
            result[part] = own * self._drift[part] + (1 - own) * group[self._group]
        drift: Floats = result * self._scale() ** 2
        return drift

    def doubt(self, elements: Rows | Flags, share: float) -> None:
        """Widen the last readings of `elements` by a share of the rating until new ones come: supply was lost."""
        self._doubt[elements] = np.maximum(self._doubt[elements], share)

    def forget(self) -> None:
        """Forget all readings, as after a jump of the clock; what was learned stays."""
        self._time_ns[:] = NEVER

    def at(self, now_ns: int, ignored: Flags) -> Injections:
        """Return what each element injects at `now_ns`.

        Args:
            now_ns: Grid time.
            ignored: Elements whose last reading is not believed, shape (element,).
        """
        known = (self._time_ns != NEVER) & ~ignored
        age_s = np.where(
            known, np.maximum(now_ns - np.where(known, self._time_ns, now_ns), 0) / NS_PER_S, np.inf
        )
        habit, habit_variance = self._habit(known & (age_s < _GROUP_AGE_S))
        meter = self._class / 100 / 3 * np.abs(self._value)
        floor = (_FLOOR_SHARE**2 + self._doubt**2) * self._size**2
        variance = meter**2 + floor + self._drift_per_s() * np.where(known, age_s, 0.0)
        share = np.where(known, habit_variance / (habit_variance + variance), 0.0)
        return Injections(
            value=share * self._value + (1 - share) * habit,
            variance=np.where(known, share * variance, habit_variance),
            reading=self._value.copy(),
            expected=np.where(np.isfinite(self._before), self._before, habit),
            expected_variance=np.where(
                np.isfinite(self._before), self._before_variance, habit_variance
            ),
            is_read=share.min(axis=0) > 0.5,
            age_s=age_s,
        )

    def _habit(self, fresh: Flags) -> tuple[Floats, Floats]:
        """Return mean and variance of what each element usually does now, shape (2, element), from its group."""
        n = int(self._group.max(initial=-1)) + 1
        group, size = self._group[fresh], self._size[fresh]
        count = np.bincount(group, minlength=n)
        enough = count >= _LEAST_GROUP
        mean, spread = np.empty((2, n)), np.empty((2, n))
        for part in range(2):
            share = self._value[part, fresh] / size
            mean[part] = np.bincount(group, share, n) / np.maximum(count, 1)
            off = (share - mean[part, group]) ** 2
            spread[part] = np.bincount(group, off, n) / np.maximum(count - 1, 1)
        # Never surer than a twentieth of the rating: a group is alike, not equal.
        variance = np.where(enough, np.clip(spread, 0.05**2, _FIRST_SIGMA**2), _FIRST_SIGMA**2)
        habit = mean[:, self._group] * self._size
        value = np.where(enough[self._group], habit, self._rated * _FIRST_SHARE)
        return value, variance[:, self._group] * self._size**2
