"""What is measured, where, and how well: the estimator's view of every source of evidence.

A measurement set is columnar and per unit. Real telemetry, late meters, pseudo-measurements and zero-injection
nodes are all rows of the same set; they differ in their standard deviation and in their origin.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gridloom.grid.tables import Flags, Floats, Rows


class Quantity(IntEnum):
    """What a row measures."""

    VOLTAGE = 0
    """Magnitude at a node."""
    P_INJECTION = 1
    Q_INJECTION = 2
    P_FROM = 3
    """Flow into a branch at its from side."""
    Q_FROM = 4
    P_TO = 5
    Q_TO = 6


class Origin(IntEnum):
    """Where a row comes from."""

    TELEMETRY = 0
    METER = 1
    """A meter's own reading, late or not."""
    PSEUDO = 2
    """What such a customer usually does at this time."""
    ZERO = 3
    """A node where nothing is connected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Rows of evidence, per unit on 1 MVA and the node's rated voltage."""

    quantity: NDArray[np.int8]
    place: Rows
    """Node, or branch of the network, shape (m,)."""
    value: Floats
    sigma: Floats
    """Standard deviation, shape (m,)."""
    origin: NDArray[np.int8]
    instrument: Rows
    """Row in the instruments, -1 where there is none."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.value)

    def keep(self, mask: Flags) -> Self:
        """Return the rows of a mask."""
        return type(self)(**{spec.name: getattr(self, spec.name)[mask] for spec in fields(self)})

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """Return all rows of `parts`, in their order."""
        names = [spec.name for spec in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
