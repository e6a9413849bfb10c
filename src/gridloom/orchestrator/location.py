"""Which section is faulted, from a relay that has locked out and fault passage indicators.

In a radial feeder the fault lies behind the last indicator that saw fault current and before the next one. Which
line that is depends on the switch positions alone, so it is worked out beforehand (`zones_of`); the search at the
event (`location_kernel.locate`) walks over a handful of integers. Indicators that contradict each other give no
location: then a person, or the slower path, decides.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from gridloom.orchestrator.prepared import Zones

if TYPE_CHECKING:
    from gridloom.grid.instruments import Instruments
    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags, Rows
    from gridloom.orchestrator.planning import Basis

_MEDIUM_VOLTAGE_KV = 1.0


class NoLocation(IntEnum):
    """Why the search names no line; the kernel returns these numbers."""

    WAIT = -1
    """Indicators that may decide it have not reported yet."""
    CONTRADICTION = -2
    """They do not fit any single fault."""
    AMBIGUOUS = -3
    """They fit several sections."""


def zones_of(basis: Basis, instruments: Instruments) -> Zones:
    """Return where each indicator sits at the positions of `basis`."""
    grid, sections = basis.grid, basis.sections
    last: dict[int, int] = {}
    upstream, parent_line = _line_tree(grid, basis.view.positions)
    indicator, at_head = _indicators_by_line(instruments, upstream)
    n = len(instruments)
    parent, depth = np.full(n, -1, dtype=np.int32), np.zeros(n, dtype=np.int32)
    line_of, breaker = np.full(n, -1, dtype=np.int32), np.full(n, -1, dtype=np.int32)
    head_line = np.full(len(grid.switches), -1, dtype=np.int32)
    candidates: dict[int, list[int]] = {}
    heads: dict[int, list[int]] = {}
    section_of = sections.of_element["line"]
    for line, before in parent_line.items():
        section = int(section_of[line])
        above = basis.feeding.breaker_above(sections, section) if section >= 0 else None
        switch = sections.edges[above].switch if above is not None else -1
        previous = last.get(before, -1)
        if previous >= 0 and breaker[previous] != switch:
            # Another breaker in between clears the fault before the one above notices.
            previous = -1
        row = indicator.get(line, -1)
        if row >= 0:
            parent[row], breaker[row] = previous, switch
            depth[row] = depth[previous] + 1 if previous >= 0 else 0
        last[line] = row if row >= 0 else previous
        seen_for_own_fault = row if row >= 0 and at_head[line] else previous
        if seen_for_own_fault >= 0:
            candidates.setdefault(seen_for_own_fault, []).append(line)
        elif switch >= 0:
            heads.setdefault(switch, []).append(line)
    for row, lines in candidates.items():
        line_of[row] = _one_section(lines, section_of)
    for switch, lines in heads.items():
        head_line[switch] = _one_section(lines, section_of)
    return Zones(parent=parent, depth=depth, line=line_of, breaker=breaker, head_line=head_line)


def _one_section(lines: list[int], section_of: Rows) -> int:
    """Return a line if all of them are in one section, so that one plan serves whichever it is."""
    return lines[0] if len({int(section_of[line]) for line in lines}) == 1 else NoLocation.AMBIGUOUS


def _indicators_by_line(
    instruments: Instruments, upstream: dict[int, int]
) -> tuple[dict[int, int], dict[int, bool]]:
    """Return the indicator of each line and whether it stands at the end that is fed."""
    indicator: dict[int, int] = {}
    at_head: dict[int, bool] = {}
    rows = np.flatnonzero((instruments.kind == "indicator") & (instruments.element_kind == "line"))
    for row in rows.tolist():
        line = int(instruments.element[row])
        is_head = upstream.get(line, 0) == int(instruments.side[row])
        # With one at each end, the one that is fed tells more.
        if line not in indicator or is_head:
            indicator[line], at_head[line] = row, is_head
    return indicator, at_head


def _line_tree(grid: Grid, positions: Flags) -> tuple[dict[int, int], dict[int, int]]:
    """Return the fed side of each live medium-voltage line and the line before it, sources first."""
    topology = grid.wiring.topology(positions)
    node = topology.node_of_bus
    high = grid.buses.vn_kv > _MEDIUM_VOLTAGE_KV
    at: dict[int, list[tuple[int, int, int]]] = {}
    lines = grid.lines
    for row in np.flatnonzero(high[lines.from_bus] & topology.line_closed.any(axis=1)).tolist():
        a, b = int(node[lines.from_bus[row]]), int(node[lines.to_bus[row]])
        ends = topology.line_closed[row]
        if ends[0]:
            at.setdefault(a, []).append((row, 0, b if ends[1] else -1))
        if ends[1]:
            at.setdefault(b, []).append((row, 1, a if ends[0] else -1))
    for hv, lv, closed, table in (
        (
            grid.transformers.hv_bus,
            grid.transformers.lv_bus,
            topology.transformer_closed,
            grid.transformers,
        ),
        (grid.branches.from_bus, grid.branches.to_bus, topology.branch_closed, grid.branches),
    ):
        for row in np.flatnonzero(closed.all(axis=1) & high[lv] & table.in_service).tolist():
            a, b = int(node[hv[row]]), int(node[lv[row]])
            at.setdefault(a, []).append((-1, 0, b))
            at.setdefault(b, []).append((-1, 1, a))
    upstream: dict[int, int] = {}
    parent: dict[int, int] = {}
    starts = {int(node[bus]) for bus in grid.wiring.source_bus if node[bus] >= 0}
    fed_by = dict.fromkeys(starts, -1)
    queue = sorted(starts)
    for here in queue:
        for row, side, there in at.get(here, ()):
            if row >= 0 and row not in upstream and fed_by[here] != row:
                upstream[row], parent[row] = side, fed_by[here]
            if there >= 0 and there not in fed_by:
                fed_by[there] = row if row >= 0 else fed_by[here]
                queue.append(there)
    return upstream, parent
