"""What a fault takes away, and every way to bring parts of it back.

Nothing here judges: which candidate keeps the limits is found by AC power flow in `restoration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.orchestrator.sections import reach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gridloom.grid.tables import Flags
    from gridloom.orchestrator.planning import Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Sections that lost supply and still hang together once the fault is isolated."""

    sections: frozenset[int]
    demand_mw: float
    customers: int
    has_head: bool
    """Whether closing the tripped breaker feeds it as before."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outage:
    """A faulted section, its isolation, and what is dead because of it."""

    section: int
    lost: frozenset[int]
    """Sections inside the isolation: they stay dead until repair."""
    opens: tuple[int, ...]
    """Rows of the switches to open."""
    tripped: int
    """Edge of the breaker that clears the fault."""
    isolated: Flags
    """Positions after trip and isolation, shape (switch,)."""
    alive: frozenset[int]
    parts: tuple[Part, ...]
    dead_mw: float
    """Consumption without supply after the trip [MW]."""
    customers: int
    """Customers without supply after the trip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to give a part supply."""

    switches: tuple[int, ...]
    """Rows to close, all of them."""
    lands_on: int
    """Live section that would feed the part."""
    is_head: bool = False
    through: frozenset[int] = frozenset()
    """Sections without demand that come to life on the way, such as a tie line open at both ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One switch inside a dead part to be opened, and what that makes of the part."""

    switch: int
    """Row in switches."""
    kept: Part
    """What stays on the tie."""
    rest: Part | None
    """What is cut off; None where nobody is in it."""


def outage_of(
    basis: Basis,
    section: int,
    *,
    after: Flags | None,
    locks: frozenset[str],
    unknown: frozenset[int],
) -> Outage | None:
    """Return what a fault in `section` takes away, or nothing if no isolation is possible.

    Args:
        basis: The moment before the fault.
        section: The faulted section.
        after: Positions after the trip, shape (switch,); without them the nearest breaker above opens.
        locks: Switches that nobody may operate.
        unknown: Rows of switches whose position is not known; nothing relies on them.
    """
    tripped = basis.feeding.breaker_above(basis.sections, section) if section >= 0 else None
    if tripped is None:
        return None
    positions = (basis.view.positions if after is None else after).copy()
    if after is None:
        positions[basis.sections.edges[tripped].switch] = False
        dead = set(basis.below[tripped])
    else:
        dead = set(basis.live) - basis.sections.feeding(after).live()
    if section not in dead or positions[basis.sections.edges[tripped].switch]:
        return None
    stuck = unknown | {basis.grid.switches.row(id_) for id_ in locks if id_ in basis.grid.switches}
    return _isolate(basis, section, tripped, positions, dead, stuck)


def candidates(basis: Basis, outage: Outage, part: Part, alive: set[int]) -> Iterator[Candidate]:
    """Yield every way to feed `part` from a section in `alive`; the tripped breaker comes first."""
    edges, positions = basis.sections.edges, outage.isolated
    head = edges[outage.tripped]
    if part.has_head:
        lands_on = basis.feeding.upstream(basis.sections, _below_head(basis, outage.tripped))
        yield Candidate(switches=(head.switch,), lands_on=lands_on, is_head=True)
    usable = _usable(basis, outage)
    for section in sorted(part.sections):
        for number in basis.sections.at[section]:
            edge = edges[number]
            if positions[edge.switch] or not usable[number] or number == outage.tripped:
                continue
            other = edge.other(section)
            if other in alive:
                yield Candidate(switches=(edge.switch,), lands_on=other)
            elif other not in part.sections and _is_passive(basis, outage, other):
                yield from _through(basis, outage, alive, number, other, usable)


def cuts_of(basis: Basis, outage: Outage, part: Part, candidate: Candidate) -> list[Cut]:
    """Return every way to cut `part` in two, by the demand that stays on the tie, greatest first."""
    first = basis.sections.edges[basis.sections.edge_of_switch[candidate.switches[0]]]
    entry = first.a if first.a in part.sections else first.b
    if candidate.is_head:
        return []
    closed = outage.isolated.tolist()
    stuck = basis.view.unknown | {basis.grid.switches.row(id_) for id_ in basis.view.locks}
    order, above = [entry], {entry: -1}
    for section in order:
        for number in basis.sections.at[section]:
            edge = basis.sections.edges[number]
            other = edge.other(section)
            if closed[edge.switch] and other in part.sections and other not in above:
                above[other] = number
                order.append(other)
    below: dict[int, set[int]] = {section: {section} for section in order}
    for section in reversed(order[1:]):
        below[basis.sections.edges[above[section]].other(section)] |= below[section]
    found = []
    for section in order[1:]:
        switch = basis.sections.edges[above[section]].switch
        kept = _part(basis, set(part.sections) - below[section])
        if switch not in stuck and kept is not None:
            found.append(Cut(switch=switch, kept=kept, rest=_part(basis, below[section])))
    return sorted(found, key=lambda cut: (-cut.kept.demand_mw, cut.switch))


def _part(basis: Basis, members: set[int], *, has_head: bool = False) -> Part | None:
    """Return these sections as a part; None if nothing in them consumes or injects."""
    rows = list(members)
    if not basis.sections.has_demand[rows].any():
        return None
    return Part(
        sections=frozenset(members),
        demand_mw=float(basis.demand_mw[rows].sum()),
        customers=int(basis.sections.customers[rows].sum()),
        has_head=has_head,
    )


def _through(
    basis: Basis, outage: Outage, alive: set[int], first: int, middle: int, usable: Flags
) -> Iterator[Candidate]:
    for number in basis.sections.at[middle]:
        edge = basis.sections.edges[number]
        if number == first or not usable[number] or number == outage.tripped:
            continue
        if edge.other(middle) in alive:
            switches = (basis.sections.edges[first].switch, edge.switch)
            yield Candidate(
                switches=switches, lands_on=edge.other(middle), through=frozenset({middle})
            )


def _usable(basis: Basis, outage: Outage) -> Flags:
    """Return which edges may be closed: not locked, not unknown, not part of the isolation."""
    usable = np.ones(len(basis.sections.edges), dtype=np.bool_)
    opened, view = set(outage.opens), basis.view
    for number, edge in enumerate(basis.sections.edges):
        touches_fault = edge.a in outage.lost or edge.b in outage.lost
        if touches_fault or edge.switch in opened or edge.switch in view.unknown:
            usable[number] = False
    for id_ in view.locks:
        at = basis.sections.edge_of_switch.get(basis.grid.switches.row(id_))
        if at is not None:
            usable[at] = False
    return usable


def _is_passive(basis: Basis, outage: Outage, section: int) -> bool:
    """Whether a dead section may be used as a way: nothing in it, nothing behind it, not broken."""
    if basis.sections.has_demand[section] or basis.sections.has_source[section]:
        return False
    if section in basis.broken or section in outage.lost or section in basis.live:
        return False
    numbers = basis.sections.at[section]
    return not any(outage.isolated[basis.sections.edges[number].switch] for number in numbers)


def _below_head(basis: Basis, number: int) -> int:
    """Return the section on the far side of a breaker, seen from the source."""
    edge = basis.sections.edges[number]
    return edge.a if basis.feeding.parent_edge[edge.a] == number else edge.b


def _isolate(
    basis: Basis,
    section: int,
    tripped: int,
    positions: Flags,
    dead: set[int],
    stuck: frozenset[int],
) -> Outage | None:
    edges, at = basis.sections.edges, basis.sections.at
    lost, open_ends = {section}, [section]
    while open_ends:
        here = open_ends.pop()
        for number in at[here]:
            edge, other = edges[number], edges[number].other(here)
            cannot_open = edge.switch in stuck and number != tripped
            is_joined = positions[edge.switch] or edge.switch in basis.view.unknown
            if cannot_open and is_joined and other not in lost:
                lost.add(other)
                open_ends.append(other)
    if not lost <= dead:
        return None
    opens = sorted(
        {
            edges[number].switch
            for here in lost
            for number in at[here]
            if positions[edges[number].switch]
            and edges[number].switch not in stuck
            and edges[number].other(here) not in lost
        }
    )
    positions[opens] = False
    locked_head = edges[tripped].switch in stuck
    return Outage(
        section=section,
        lost=frozenset(lost),
        opens=tuple(opens),
        tripped=tripped,
        isolated=positions,
        alive=basis.live - frozenset(dead),
        parts=_parts(
            basis, dead, lost, positions, -1 if locked_head else _below_head(basis, tripped)
        ),
        dead_mw=float(basis.demand_mw[list(dead)].sum()),
        customers=int(basis.sections.customers[list(dead)].sum()),
    )


def _parts(
    basis: Basis, dead: set[int], lost: set[int], positions: Flags, head: int
) -> tuple[Part, ...]:
    closed = positions.tolist()
    left = dead - lost
    parts: list[Part] = []
    while left:
        members = reach(basis.sections, min(left), closed, lost) & dead
        left -= members
        part = _part(basis, members, has_head=head in members)
        if part is not None:
            parts.append(part)
    return tuple(parts)
