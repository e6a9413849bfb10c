"""How far each agent may go in each cell.

A level set for a cell holds for every cell below it until one of them has its own. An agent without any level
may only look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridloom.core.errors import BadInput
from gridloom.core.plans import Autonomy

if TYPE_CHECKING:
    from gridloom.grid.model import Cells

ANY_AGENT = "*"
"""Stands for every agent that has no level of its own in the cell."""


class AutonomyLevels:
    """Levels by agent and cell, inherited down the tree of cells."""

    def __init__(self, cells: Cells, default: Autonomy = Autonomy.OBSERVE) -> None:
        """Give every agent `default` in every cell."""
        self._cells = cells
        self._default = default
        self._levels: dict[tuple[str, str], Autonomy] = {}

    def set(self, agent: str, cell: str, level: Autonomy) -> None:
        """Set the level of `agent` (or `*`) in `cell` and below.

        Raises:
            UnknownId: If there is no such cell.
            BadInput: If the agent has no name.
        """
        self._cells.row(cell)
        if not agent:
            raise BadInput("an autonomy level needs the name of an agent, or * for all")
        self._levels[agent, cell] = Autonomy(level)

    def level(self, agent: str, cell: str) -> Autonomy:
        """Return the level of `agent` in `cell`: the nearest one set on the way to the root."""
        row, seen = self._cells.row(cell), 0
        while row >= 0 and seen <= len(self._cells):
            here = str(self._cells.id[row])
            for name in (agent, ANY_AGENT):
                if (name, here) in self._levels:
                    return self._levels[name, here]
            row, seen = int(self._cells.parent[row]), seen + 1
        return self._default

    def all(self) -> dict[tuple[str, str], Autonomy]:
        """Return every level that was set, by agent and cell."""
        return dict(self._levels)
