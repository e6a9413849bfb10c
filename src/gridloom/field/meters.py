"""What an instrument shows instead of the truth: class errors, missing readings.

A class of 1 % is read as three standard deviations, the usual reading in state estimation. Half of that variance
is a gain that belongs to the device and never changes, half is new with every reading.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridloom.core.errors import BadInput
from gridloom.grid.tables import Floats, Rows

CLASS_SIGMAS = 3.0
"""How many standard deviations an accuracy class stands for."""
_HALF_VARIANCE = 0.5**0.5


class InstrumentErrors:
    """Errors of a set of instruments, drawn once for the constant part."""

    def __init__(self, class_pct: Floats, columns: int, rng: np.random.Generator) -> None:
        """Draw each instrument's gains.

        Args:
            class_pct: Accuracy class, shape (n,) [%].
            columns: Quantities per instrument; each has a gain of its own.
            rng: Source of all errors.
        """
        if (np.asarray(class_pct) < 0.0).any() or np.isnan(class_pct).any():
            raise BadInput("an accuracy class is a number of percent, 0 or more")
        self._rng = rng
        self._sigma: Floats = class_pct / 100.0 / CLASS_SIGMAS * _HALF_VARIANCE
        self.gain: Floats = 1.0 + self._sigma * rng.standard_normal((columns, len(class_pct)))

    def read(self, true: Floats, rows: Rows) -> NDArray[np.float32]:
        """Return what the instruments in `rows` show.

        Args:
            true: True values, shape (column, len(rows)).
            rows: Rows of the instruments.

        Returns:
            Readings, same shape.
        """
        noise = self._rng.standard_normal(true.shape, dtype=np.float32)
        shown = true * self.gain[:, rows] * (1.0 + self._sigma[rows] * noise)
        return np.asarray(shown, dtype=np.float32)


def surviving(rows: Rows, dropout: float, rng: np.random.Generator) -> Rows:
    """Return the rows whose reading was taken; each is missing with probability `dropout`."""
    if dropout == 0.0:
        return rows
    return rows[rng.random(len(rows)) >= dropout]


def spread(rows: Rows, period_ns: int, step_ns: int, at_least: int) -> list[tuple[int, Rows]]:
    """Spread instruments evenly over their period.

    Args:
        rows: Instruments of one gateway.
        period_ns: Each is read once in this time [ns].
        step_ns: Readings fall on multiples of it [ns].
        at_least: Instruments that are read together, so that frames do not become tiny.

    Returns:
        (offset in the period [ns], rows read then), by rising offset.
    """
    slots = max(1, min(period_ns // step_ns, len(rows) // max(at_least, 1)))
    parts = np.array_split(rows, slots)
    return [
        (number * period_ns // slots // step_ns * step_ns, part)
        for number, part in enumerate(parts)
        if len(part)
    ]
