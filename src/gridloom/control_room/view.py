"""What the control room needs from the platform, and the records that it shows.

The page translates and decides nothing: everything it shows comes from a `PlatformView`, and every wish of a
person goes through it. Times are grid time [ns since 1970 UTC] unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from gridloom.core.plans import Action, Autonomy, Check
from gridloom.grid.model import Grid

type Percentages = NDArray[np.float64]
type Positions = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """The newest estimate, as plain arrays over the rows of the grid.

    Branches stand in the order lines, transformers, three-winding transformers, general branches.
    """

    time_ns: int
    """Grid time that the estimate describes."""
    v_pu: NDArray[np.float64]
    """Voltage, shape (bus,) [pu]; NaN where it is not known."""
    is_energised: NDArray[np.bool_]
    """Whether a bus reaches a source, shape (bus,)."""
    loading_pct: Percentages
    """Highest current over the rating in force, shape (branch,) [%]; NaN where it is not known."""
    is_live: NDArray[np.bool_]
    """Whether a branch is energised at one end at least, shape (branch,)."""
    closed: Positions
    """1 closed, 0 open, NaN moving or unknown, shape (switch,)."""
    p_mw: NDArray[np.float64] | None = None
    """Active power into the branch at its first side, shape (branch,) [MW], where it is known."""
    v_sigma_pu: NDArray[np.float64] | None = None
    """Standard deviation of the estimated voltage, shape (bus,) [pu], where it is known."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The header of the page: how the platform itself is doing."""

    grid: str
    now_ns: int
    clock: Literal["real", "stepped", "accelerated"]
    speed: float
    """Grid seconds per wall second."""
    autonomy: Autonomy
    estimate_ns: int
    """Grid time of the newest estimate, 0 before the first."""
    estimates_per_s: float
    readings_per_s: float
    field_connected: bool
    journal_ok: bool
    customers_out: int
    """Customers without supply at the moment."""
    note: str = ""
    """One sentence if a part of the platform is degraded."""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person may have to know."""

    id: str
    priority: Literal[1, 2, 3, 4]
    """1 act now, 2 act soon, 3 look when there is time, 4 for the record."""
    element_kind: str
    """`line`, `transformer`, `bus`, `switch`, `load`, `platform`, ..."""
    element: str
    """Id of the element, or of the part of the platform."""
    text: str
    since_ns: int
    is_active: bool = True
    value: float | None = None
    limit: float | None = None
    unit: str = ""


class CommandTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One command of a plan and what the device answered."""

    action: Action
    sent_ns: int = 0
    """0 while it has not been sent."""
    outcome: str = ""
    """`accepted`, `done`, `failed`, ... as the device says; empty while there is no answer."""
    answered_ns: int = 0
    note: str = ""


class PlanState(StrEnum):
    """How far a plan has come."""

    PREPARED = "prepared"
    HELD = "held"
    """Verified, and a person decides."""
    REFUSED = "refused"
    ACTING = "acting"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


class PlanCard(msgspec.Struct, frozen=True, kw_only=True):
    """One plan with everything a person asks about it: why, what, checked how, what came of it."""

    id: str
    agent: str
    rank: str
    cell: str
    state: PlanState
    reason: str
    trigger: str
    made_ns: int
    expires_ns: int
    actions: tuple[Action, ...]
    undo: tuple[Action, ...]
    expectation: dict[str, float]
    alternatives: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    verdict: str = ""
    """What the gate said, in one sentence."""
    autonomy: Autonomy = Autonomy.ADVISE
    commands: tuple[CommandTrace, ...] = ()
    outcome: str = ""
    """What came of it, in one sentence."""


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the story of a fault."""

    name: Literal[
        "requested",
        "fault",
        "trip",
        "located",
        "planned",
        "commanded",
        "isolated",
        "restored",
        "repaired",
    ]
    text: str
    at_ns: int
    """Grid time of the event as the platform saw it."""
    took_ms: float | None = None
    """Since the first milestone [ms], measured on the wall clock where there is one."""


class FaultStory(msgspec.Struct, frozen=True, kw_only=True):
    """What happened after one fault, in order."""

    id: str
    line: str
    """Id of the faulted line, empty while it is not located."""
    is_over: bool
    customers_interrupted: int
    customers_restored: int
    milestones: tuple[Milestone, ...]
    plan_id: str = ""


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """A person's lock on a switch: nobody else operates it."""

    switch: str
    owner: str
    reason: str
    since_ns: int = 0


class AutonomyLevel(msgspec.Struct, frozen=True, kw_only=True):
    """How far an agent may go in a cell."""

    agent: str
    cell: str
    level: Autonomy


class Topic(StrEnum):
    """What changed; the control room then asks for it again."""

    STATE = "state"
    STATUS = "status"
    ALARMS = "alarms"
    PLANS = "plans"
    FAULTS = "faults"
    LOCKS = "locks"
    AUTONOMY = "autonomy"


class PlatformView(Protocol):
    """The platform as the control room sees it.

    Readers return at once and never block. Wishes raise `UnknownId`, `BadInput` or `Refused` with words that can
    be shown to a person.
    """

    @property
    def grid(self) -> Grid:
        """The grid with its normal switch positions; it stays the same for the life of the view."""
        ...

    def live(self) -> LiveState | None:
        """Return the newest estimate, or nothing before the first."""
        ...

    def status(self) -> Status:
        """Return how the platform itself is doing."""
        ...

    def alarms(self) -> tuple[Alarm, ...]:
        """Return the alarms in force and those gone but not yet old, in any order."""
        ...

    def plans(self, limit: int) -> tuple[PlanCard, ...]:
        """Return the latest plans that were triggered or decided, newest first; not the prepared ones."""
        ...

    def plan(self, plan_id: str) -> PlanCard:
        """Return one plan, prepared ones included."""
        ...

    def faults(self, limit: int) -> tuple[FaultStory, ...]:
        """Return the latest faults, newest first."""
        ...

    def locks(self) -> tuple[Lock, ...]:
        """Return the locks in force."""
        ...

    def autonomy(self) -> tuple[AutonomyLevel, ...]:
        """Return the level of each agent; the root cell stands for all cells below it."""
        ...

    def watch(self, changed: Callable[[Topic], None]) -> Callable[[], None]:
        """Call `changed`, from any thread, after each change; return what ends the watch."""
        ...

    async def break_cable(self, line_id: str) -> None:
        """Ask the simulated field to break a cable; refused where the field is a real one."""
        ...

    async def repair(self, line_id: str) -> None:
        """Ask the simulated field to repair a cable."""
        ...

    async def lock(self, lock: Lock, *, locked: bool) -> None:
        """Set a lock, or lift it."""
        ...

    async def set_autonomy(self, level: AutonomyLevel) -> None:
        """Set how far an agent may go in a cell."""
        ...

    async def decide(self, plan_id: str, *, approve: bool) -> None:
        """Approve or refuse a plan that is held for a person."""
        ...
