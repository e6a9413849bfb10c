"""What each customer and generator injects now, from its last reading, its habits and its rating.

A reading grows old. How fast it does is learned from the meter itself: the mean square change between successive
readings per second apart. Before the first reading an element is taken at a stated share of its rating.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.units import NS_PER_S

if TYPE_CHECKING:
    from gridloom.grid.tables import Flags, Floats, Rows

_FIRST_SHARE, _FIRST_SIGMA = 0.4, 0.4
"""Before any reading: 40 % of the rating, give or take 40 % of it."""
_START_DRIFT_PER_S = 0.05**2 / 60
"""Before two readings: 5 % of the rating in a minute, as a variance per second."""
_LEARNING = 0.2
"""Weight of the newest change in the learned drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injections:
    """Power of each element with its standard deviation, positive into the grid, shape (element,)."""

    p_mw: Floats
    q_mvar: Floats
    p_sigma_mw: Floats
    q_sigma_mvar: Floats
    age_s: Floats
    """Age of the reading; infinite without one."""


class InjectionModel:
    """Remembers readings of one table of elements and says what they are worth now."""

    def __init__(self, rated_p_mw: Floats, rated_q_mvar: Floats, class_pct: Floats) -> None:
        """Start without readings.

        Args:
            rated_p_mw: Rated injection of each element, negative for a load, shape (element,).
            rated_q_mvar: Rated reactive injection, shape (element,).
            class_pct: Accuracy class of each element's meter, NaN without one.
        """
        self._rated = np.stack([rated_p_mw, rated_q_mvar])
        self._size = np.maximum(np.hypot(rated_p_mw, rated_q_mvar), 1e-4)
        self._class = np.nan_to_num(class_pct, nan=1.0)
        self._value = self._rated * _FIRST_SHARE
        self._time_ns = np.full(len(rated_p_mw), np.iinfo(np.int64).min)
        self._drift = np.tile(self._size**2 * _START_DRIFT_PER_S, (2, 1))

    def read(self, elements: Rows, p_mw: Floats, q_mvar: Floats, time_ns: Rows) -> None:
        """Take in readings that are newer than what is known; NaN and older ones are passed over."""
        newer = (time_ns > self._time_ns[elements]) & np.isfinite(p_mw) & np.isfinite(q_mvar)
        elements, values = elements[newer], np.stack([p_mw[newer], q_mvar[newer]])
        seen = self._time_ns[elements] > np.iinfo(np.int64).min
        self._learn(elements[seen], values[:, seen], time_ns[newer][seen])
        self._value[:, elements] = values
        self._time_ns[elements] = time_ns[newer]

    def _learn(self, elements: Rows, values: Floats, time_ns: Rows) -> None:
        apart_s = np.maximum((time_ns - self._time_ns[elements]) / NS_PER_S, 0.5)
        change = (values - self._value[:, elements]) ** 2 / apart_s
        self._drift[:, elements] += _LEARNING * (change - self._drift[:, elements])

    def reset(self, elements: Rows | Flags) -> None:
        """Forget the readings of `elements`, as for a meter that lies."""
        self._value[:, elements] = self._rated[:, elements] * _FIRST_SHARE
        self._time_ns[elements] = np.iinfo(np.int64).min

    def at(self, now_ns: int) -> Injections:
        """Return what each element injects at `now_ns`, shape (element,)."""
        known = self._time_ns > np.iinfo(np.int64).min
        age_s = np.where(known, np.maximum(now_ns - np.where(known, self._time_ns, 0), 0) / NS_PER_S, np.inf)
        meter = self._class / 100 / 3 * np.abs(self._value) + 1e-3 * self._size
        drifted = np.sqrt(meter**2 + self._drift * np.where(known, age_s, 0.0))
        sigma = np.where(known, np.minimum(drifted, self._size * _FIRST_SIGMA), self._size * _FIRST_SIGMA)
        return Injections(
            p_mw=self._value[0].copy(), q_mvar=self._value[1].copy(),
            p_sigma_mw=sigma[0], q_sigma_mvar=sigma[1], age_s=age_s,
        )
