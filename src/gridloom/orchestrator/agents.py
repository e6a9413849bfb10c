"""What an agent is and what it sees.

An agent looks at a frozen `View` and may propose a plan. It holds no connection to anything that moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.physics.operating_point import OperatingPoint

if TYPE_CHECKING:
    from gridloom.core.plans import Plan, Rank
    from gridloom.grid.model import Generators, Grid, Loads, Sources, Storages
    from gridloom.grid.tables import Flags, Floats


class StateView(Protocol):
    """The part of an estimate that planning needs; arrays follow the grid's tables."""

    @property
    def time_ns(self) -> int:
        """Grid time that the estimate stands for [ns]."""
        ...

    @property
    def load_p_mw(self) -> Floats:
        """Consumption, shape (load,) [MW]."""
        ...

    @property
    def load_q_mvar(self) -> Floats:
        """Reactive consumption, shape (load,) [Mvar]."""
        ...

    @property
    def generator_p_mw(self) -> Floats:
        """Injection, shape (generator,) [MW]."""
        ...

    @property
    def generator_q_mvar(self) -> Floats:
        """Reactive injection, shape (generator,) [Mvar]."""
        ...

    @property
    def storage_p_mw(self) -> Floats:
        """Injection, shape (storage,) [MW]."""
        ...

    @property
    def storage_q_mvar(self) -> Floats:
        """Reactive injection, shape (storage,) [Mvar]."""
        ...

    @property
    def source_vm_pu(self) -> Floats:
        """Voltage at the sources, shape (source,) [pu]."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What an agent and the gate see: one moment, frozen."""

    grid: Grid
    positions: Flags
    """Position of each switch as last reported, true for closed, shape (switch,)."""
    state: StateView | None = None
    """The newest estimate; without one the grid's own tables stand for the load."""
    locks: frozenset[str] = frozenset()
    """Ids of switches that a person has locked."""
    faulted: frozenset[str] = frozenset()
    """Ids of lines known to be broken: nothing may put voltage on them."""
    now_ns: int = 0
    unknown: frozenset[int] = field(default_factory=frozenset)
    """Rows of switches whose position is not known at the moment."""

    @cached_property
    def state_hash(self) -> str:
        """Hash of the model and of the positions seen."""
        return self.grid.with_positions(self.positions).switch_hash

    @cached_property
    def operating_point(self) -> OperatingPoint:
        """What every element injects, from the estimate or from the tables.

        An element that the estimate cannot see (NaN, as in a dead area) is taken at its value in the tables.
        """
        base = OperatingPoint.of(self.grid)
        if self.state is None:
            return base
        columns = {}
        for spec in fields(base):
            known = np.asarray(getattr(self.state, spec.name), dtype=np.float64)
            rated = getattr(base, spec.name)
            if known.shape != rated.shape:
                raise BadInput(
                    f"the estimate's {spec.name} has shape {known.shape}, the grid {rated.shape}"
                )
            columns[spec.name] = np.where(np.isfinite(known), known, rated)
        return OperatingPoint(**columns)

    @cached_property
    def not_finite(self) -> tuple[tuple[str, str], ...]:
        """What the estimate says of elements with supply that is no number: id, and the column in words.

        Raises:
            BadInput: If a column of the estimate has the wrong length.
        """
        if self.state is None:
            return ()
        point = self.operating_point
        live = self.grid.wiring.topology(self.positions).is_energised
        grid, found = self.grid, []
        tables: dict[str, Loads | Generators | Storages | Sources] = {
            "load": grid.loads,
            "generator": grid.generators,
            "storage": grid.storages,
            "source": grid.sources,
        }
        for spec in fields(point):
            table = tables[spec.name.split("_")[0]]
            known = np.isfinite(np.asarray(getattr(self.state, spec.name)))
            # The estimate of a dead element may well be no number.
            wrong = ~known & table.in_service & live[table.bus]
            found += [(str(id_), f"{spec.name} is not a number") for id_ in table.id[wrong]]
        return tuple(found)


class Agent(Protocol):
    """Every autonomous function: rerouting, frequency, balancing, trading, security."""

    @property
    def name(self) -> str:
        """Name in plans and in the journal."""
        ...

    @property
    def rank(self) -> Rank:
        """Who goes first when plans conflict."""
        ...

    def propose(self, view: View) -> Plan | None:
        """Return what should be done now, or nothing."""
        ...
