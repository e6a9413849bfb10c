"""Fault passage indicators: they latch when fault current passes and reset when voltage has come back for good."""

from __future__ import annotations

import numpy as np

from gridloom.core.units import ns_from_s
from gridloom.field.protection import RelaySettings
from gridloom.grid.instruments import Instruments
from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags, Floats, Rows
from gridloom.grid.topology import Topology

_DEAD = np.iinfo(np.int64).max


class Indicators:
    """The flags of all indicators, each at one end of a line."""

    def __init__(self, grid: Grid, instruments: Instruments, settings: RelaySettings) -> None:
        """Find the indicators among the instruments; only those at lines are simulated."""
        is_here = (instruments.kind == "indicator") & (instruments.element_kind == "line")
        self.rows: Rows = np.flatnonzero(is_here)
        """Rows in the instruments."""
        self._line, self._side = instruments.element[self.rows], instruments.side[self.rows]
        ends = np.stack([grid.lines.from_bus, grid.lines.to_bus], axis=1)
        self._bus = ends[self._line, self._side]
        self._settings = settings
        self.flag: Flags = np.zeros(len(self.rows), dtype=np.bool_)
        self._live_since_ns: Rows = np.full(len(self.rows), _DEAD, dtype=np.int64)
        self._place = np.full(len(instruments), -1)
        self._place[self.rows] = np.arange(len(self.rows))

    def flags_of(self, rows: Rows) -> Flags:
        """Return the flags of some instruments by their rows."""
        return np.asarray(self.flag[self._place[rows]])

    def latch(self, line_ka: Floats, now_ns: int) -> Rows:
        """Take currents at line ends, shape (line, 2) [kA]; return the rows of the instruments that saw a fault."""
        saw = line_ka[self._line, self._side] > self._settings.indicator_ka
        self.flag |= saw
        # The voltage that is there now is that of before the trip: it may not take the fresh flag back.
        self._live_since_ns[saw & (self._live_since_ns != _DEAD)] = now_ns
        return self.rows[saw]

    def follow(self, topology: Topology, now_ns: int) -> Rows:
        """Note where voltage came or went; return the rows of the instruments that lost it."""
        live = topology.is_energised[self._bus] & topology.line_closed[self._line, self._side]
        came = live & (self._live_since_ns == _DEAD)
        self._live_since_ns[came] = now_ns
        went = ~live & (self._live_since_ns != _DEAD)
        self._live_since_ns[~live] = _DEAD
        return np.asarray(self.rows[went])

    def reset(self, now_ns: int) -> Rows:
        """Take back the flags where voltage has stayed long enough; return the rows of those instruments."""
        wait_ns = ns_from_s(self._settings.indicator_reset_s)
        done = self.flag & (self._live_since_ns <= now_ns - wait_ns)
        self.flag[done] = False
        return self.rows[done]

    def clear(self) -> Rows:
        """Take back all flags at once; return the rows of the instruments that had one."""
        rows = self.rows[self.flag]
        self.flag[:] = False
        return rows
