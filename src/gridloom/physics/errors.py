"""Errors of the physics room.

BadInput
`-- NotRadial    the closed grid is no forest, and the radial solver was asked for one
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 12


class NotRadial(BadInput):
    """The closed grid has a loop that the radial solver does not take.

    Attributes:
        loops: For each loop, the words `kind id` of its elements.
    """

    def __init__(self, loops: Sequence[Sequence[str]], *, why: str = "") -> None:
        """Name the elements of each loop; `why` says why the loop cannot be taken."""
        self.loops = tuple(tuple(loop) for loop in loops)
        first = list(self.loops[0]) if self.loops else []
        shown = ", ".join(first[:_SHOWN]) + (", ..." if len(first) > _SHOWN else "")
        more = f" (and {len(self.loops) - 1} more)" if len(self.loops) > 1 else ""
        reason = f" {why}" if why else ""
        super().__init__(
            f"the grid is not radial: loop of {shown}{more}.{reason} "
            "Open a switch in it, or use engine='pgm'"
        )
