"""Who has power: customers interrupted and restored, counted at every change of the topology."""

from __future__ import annotations

import numpy as np

from gridloom.field.truth_log import TruthLog
from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags


class Supply:
    """Follows which loads are fed."""

    def __init__(self, grid: Grid, is_energised: Flags, log: TruthLog) -> None:
        """Start with the buses that have voltage, shape (bus,)."""
        self._grid, self._log = grid, log
        self._is_fed = self._fed(is_energised)
        self.interrupted = 0
        """Customers who lost supply so far; who loses it twice counts twice."""
        self.restored = 0
        """Customers who got it back so far."""

    def update(self, is_energised: Flags, now_ns: int) -> None:
        """Compare with the moment before and log what changed."""
        fed = self._fed(is_energised)
        customers = self._grid.loads.customers
        lost = int(customers[self._is_fed & ~fed].sum())
        back = int(customers[~self._is_fed & fed].sum())
        without = float(customers[self._grid.loads.in_service & ~fed].sum())
        self._is_fed = fed
        self.interrupted += lost
        self.restored += back
        text = f"{without:.0f} customers without supply"
        if lost:
            self._log.event(now_ns, "customers_interrupted", self._grid.name, text, lost)
        if back:
            self._log.event(now_ns, "customers_restored", self._grid.name, text, back)

    def _fed(self, is_energised: Flags) -> Flags:
        loads = self._grid.loads
        return np.asarray(loads.in_service & is_energised[loads.bus])
