"""Who has power: customers interrupted and restored, counted at every change of the topology.

A customer counts as restored once voltage has stayed for a second: voltage that a closing onto a fault brings for the
tens of milliseconds until the next trip is no supply.
"""

from __future__ import annotations

import numpy as np

from gridloom.core.units import NS_PER_S
from gridloom.field.truth_log import TruthLog
from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags, Rows

HOLD_NS = NS_PER_S
_DEAD = np.iinfo(np.int64).max


class Supply:
    """Follows which loads are fed."""

    def __init__(self, grid: Grid, is_energised: Flags, log: TruthLog) -> None:
        """Start with the buses that have voltage, shape (bus,)."""
        self._grid, self._log = grid, log
        fed = self._fed(is_energised)
        self._is_out: Flags = grid.loads.in_service & ~fed
        self._fed_since_ns: Rows = np.where(fed, 0, _DEAD)
        self.interrupted = 0
        """Customers who lost supply so far; who loses it twice counts twice."""
        self.restored = 0
        """Customers who got it back so far."""

    def update(self, is_energised: Flags, now_ns: int) -> bool:
        """Compare with the moment before, log who lost supply, and return whether `confirm` is needed later."""
        fed = self._fed(is_energised)
        self._fed_since_ns[fed & (self._fed_since_ns == _DEAD)] = now_ns
        self._fed_since_ns[~fed] = _DEAD
        lost = self._grid.loads.in_service & ~fed & ~self._is_out
        if lost.any():
            self._is_out |= lost
            count = self._count(lost)
            self.interrupted += count
            self._note("customers_interrupted", count, now_ns)
        return bool((self._is_out & fed).any())

    def confirm(self, now_ns: int) -> None:
        """Count those whose voltage has stayed, under the time at which it came."""
        back = self._is_out & (self._fed_since_ns <= now_ns - HOLD_NS)
        for since_ns in np.unique(self._fed_since_ns[back]).tolist():
            together = back & (self._fed_since_ns == since_ns)
            self._is_out[together] = False
            count = self._count(together)
            self.restored += count
            self._note("customers_restored", count, since_ns)

    def _note(self, kind: str, count: int, at_ns: int) -> None:
        text = f"{self._count(self._is_out)} customers without supply"
        self._log.event(at_ns, kind, self._grid.name, text, count)

    def _count(self, loads: Flags) -> int:
        return int(self._grid.loads.customers[loads].sum())

    def _fed(self, is_energised: Flags) -> Flags:
        loads = self._grid.loads
        return np.asarray(loads.in_service & is_energised[loads.bus])
