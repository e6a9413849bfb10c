"""What is wrong or doubtful with a grid, before anything is computed on it.

Each finding names the element, the value, the limit and the way out. An error makes results meaningless; a warning
is for a person to look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.grid.findings import MAX_NAMED, Finding, Severity, one, several
from gridloom.grid.model import TABLES
from gridloom.grid.plausibility import doubtful_numbers
from gridloom.grid.topology import ENDS, topology

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gridloom.grid.model import Grid

__all__ = ["MAX_NAMED", "Finding", "Severity", "check"]


def check(grid: Grid) -> tuple[Finding, ...]:
    """Return everything found wrong or doubtful in `grid`, errors first.

    Ids are unique by construction: a table refuses to be made with one id twice.
    """
    found = [*_references(grid)]
    if found:
        # Without sound references nothing else can be asked.
        return tuple(found)
    for ask in (doubtful_numbers, _islands, _cells):
        found += ask(grid)
    return tuple(sorted(found, key=lambda finding: finding.severity is not Severity.ERROR))


def _references(grid: Grid) -> Iterator[Finding]:
    targets = {
        "cell": "cells",
        "parent": "cells",
        "bus": "buses",
        "from_bus": "buses",
        "to_bus": "buses",
    }
    targets |= {f"{side}_bus": "buses" for side in ("hv", "mv", "lv")}
    for name in TABLES:
        table = getattr(grid, name)
        for column, target in targets.items():
            if column not in table.column_names():
                continue
            rows, lowest = getattr(table, column), -1 if column == "parent" else 0
            n = len(getattr(grid, target))
            bad = (rows < lowest) | (rows >= n)
            words = f"{column} points outside {target}; name one of its {n} rows"
            yield from several(
                Severity.ERROR,
                "unknown_reference",
                name,
                table.id,
                bad,
                (rows, f"0 to {n - 1}", words),
            )
    yield from _switch_targets(grid)
    if not any(True for _ in _switch_targets(grid)):
        try:
            _ = grid.wiring
        except BadInput as error:
            yield one(Severity.ERROR, "unknown_reference", "switches", str(error))


def _switch_targets(grid: Grid) -> Iterator[Finding]:
    sizes = {kind: len(getattr(grid, name)) for kind, (name, _) in ENDS.items()}
    sizes["bus"] = len(grid.buses)
    switches = grid.switches
    known = np.isin(switches.element_kind.astype(str), list(sizes))
    for row in np.flatnonzero(~known).tolist():
        words = f"element_kind is {switches.element_kind[row]!r}; write one of {', '.join(sorted(sizes))}"
        yield one(Severity.ERROR, "unknown_reference", "switches", words, id_=switches.id[row])
    for kind, size in sizes.items():
        bad = (switches.element_kind == kind) & (
            (switches.element < 0) | (switches.element >= size)
        )
        words = f"it stands at a {kind} that is not there; name one of the {size} rows"
        yield from several(
            Severity.ERROR,
            "unknown_reference",
            "switches",
            switches.id,
            bad,
            (switches.element, f"0 to {size - 1}", words),
        )


def _islands(grid: Grid) -> Iterator[Finding]:
    if not len(grid.buses):
        yield one(Severity.ERROR, "empty", "buses", "the grid has no buses")
        return
    if not grid.sources.in_service.any():
        yield one(
            Severity.ERROR,
            "no_source",
            "sources",
            "no source is in service, so nothing is fed; add one",
        )
    at = topology(grid)
    node = at.node_of_bus
    island = np.where(node >= 0, np.append(at.island_of_node, -1)[node], -1)
    dead = (island >= 0) & ~at.is_energised
    for number in np.unique(island[dead])[:MAX_NAMED].tolist():
        members = np.flatnonzero(island == number)
        load_mw = float(
            np.nansum(grid.loads.p_mw[np.isin(grid.loads.bus, members) & grid.loads.in_service])
        )
        words = (
            f"{members.size} buses with {load_mw:.3g} MW of load reach no source at the present switch positions; "
            "close a tie, or they stay dark"
        )
        yield Finding(
            severity=Severity.WARNING,
            kind="dead_island",
            table="buses",
            id=str(grid.buses.id[members[0]]),
            value=f"{members.size} buses",
            limit="fed",
            words=words,
        )
    for name in ("loads", "generators", "storages", "sources"):
        table = getattr(grid, name)
        bad = table.in_service & ~grid.buses.in_service[table.bus]
        words = "it is in service at a bus that is not"
        yield from several(
            Severity.WARNING,
            "bus_out_of_service",
            name,
            table.id,
            bad,
            (table.bus, "in service", words),
        )


def _cells(grid: Grid) -> Iterator[Finding]:
    try:
        for row in range(len(grid.cells)):
            grid.cell_path(row)
    except BadInput as error:
        yield one(Severity.ERROR, "cells", "cells", str(error))
