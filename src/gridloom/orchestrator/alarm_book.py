"""Alarms: what a person may have to know, by priority, each raised once and cleared with a margin.

Supply that is lost is one alarm a cell, not one a bus: a thousand dead buses are one piece of news.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gridloom.grid.model import Grid
    from gridloom.grid.tables import Flags, Floats, Rows
    from gridloom.twin.state import GridState

_VOLTAGE_MARGIN_PU = 0.005
_LOADING_MARGIN_PCT = 5.0
_STRONG_OVERLOAD_PCT = 120.0
_FULL_LOAD_PCT = 100.0
_WORST_OF_A_KIND = 25
"""At most so many alarms of one kind at a time: the worst; the others are counted in the last one's text."""


class AlarmState(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm as it stands."""

    id: str
    priority: int
    """1 urgent, 2 high, 3 medium, 4 low."""
    element_kind: str
    element: str
    text: str
    since_ns: int
    is_active: bool = True
    value: float | None = None
    limit: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    key: str
    priority: int
    kind: str
    element: str
    text: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""


class AlarmBook:
    """The alarms in force, and those that have gone but are not yet old."""

    def __init__(self, grid: Grid, keep_s: float = 600.0) -> None:
        """Watch `grid`; an alarm that has gone stays visible for `keep_s` grid seconds."""
        self._grid, self._keep_ns = grid, round(keep_s * 1e9)
        self._alarms: dict[str, AlarmState] = {}
        self._gone_ns: dict[str, int] = {}
        self._customers_of_bus = np.zeros(len(grid.buses), dtype=np.int64)
        np.add.at(
            self._customers_of_bus,
            grid.loads.bus,
            np.where(grid.loads.in_service, grid.loads.customers, 0),
        )

    def all(self) -> tuple[AlarmState, ...]:
        """Return all alarms, active ones and those gone but not old."""
        return tuple(self._alarms.values())

    def customers_out(self, state: GridState) -> int:
        """Return the customers at dead buses."""
        return int(self._customers_of_bus[~state.is_energised].sum())

    def update(self, state: GridState) -> tuple[AlarmState, ...]:
        """Compare a new estimate with the limits and return the alarms that came or went."""
        findings = {found.key: found for found in self._look(state)}
        return self._merge(findings, state.time_ns, prefix="grid/")

    def set(
        self, part: str, text: str, priority: int, now_ns: int, *, is_active: bool
    ) -> tuple[AlarmState, ...]:
        """Raise or clear one alarm about a part of the platform itself."""
        key = f"platform/{part}"
        found = (
            {key: _Finding(key=key, priority=priority, kind="platform", element=part, text=text)}
            if is_active
            else {}
        )
        return self._merge(found, now_ns, prefix=key)

    def _merge(
        self, findings: dict[str, _Finding], now_ns: int, prefix: str
    ) -> tuple[AlarmState, ...]:
        changed = []
        for key, found in findings.items():
            old = self._alarms.get(key)
            fresh = _alarm(found, now_ns if old is None or not old.is_active else old.since_ns)
            if old is None or not old.is_active or old.priority != fresh.priority:
                changed.append(fresh)
            self._alarms[key] = fresh
        for key, alarm in list(self._alarms.items()):
            if not key.startswith(prefix) or key in findings:
                continue
            if alarm.is_active:
                self._alarms[key] = msgspec.structs.replace(alarm, is_active=False)
                self._gone_ns[key] = now_ns
                changed.append(self._alarms[key])
            elif now_ns - self._gone_ns[key] > self._keep_ns:
                del self._alarms[key], self._gone_ns[key]
        return tuple(changed)

    def _look(self, state: GridState) -> Iterator[_Finding]:
        yield from self._dead_cells(state)
        yield from self._voltages(state)
        for kind, table, loading in (
            ("line", self._grid.lines, state.line_loading_pct),
            ("transformer", self._grid.transformers, state.transformer_loading_pct),
        ):
            yield from self._overloads(kind, table.id.tolist(), loading)
        for suspect in state.suspects:
            yield _Finding(
                key=f"grid/suspect/{suspect.instrument}/{suspect.quantity}",
                priority=3,
                kind="instrument",
                element=suspect.instrument,
                text=f"{suspect.quantity} contradicts its neighbours by {suspect.normalised_residual:.1f} sigma",
                value=suspect.measured,
                limit=suspect.estimated,
                unit="pu",
            )

    def _dead_cells(self, state: GridState) -> Iterator[_Finding]:
        buses = self._grid.buses
        dead = buses.in_service & ~state.is_energised & (self._customers_of_bus > 0)
        for cell in np.unique(buses.cell[dead]).tolist():
            customers = int(self._customers_of_bus[dead & (buses.cell == cell)].sum())
            name = str(self._grid.cells.id[cell])
            yield _Finding(
                key=f"grid/dead/{name}",
                priority=1,
                kind="cell",
                element=name,
                text=f"no supply for {customers} customers",
                value=float(customers),
                limit=0.0,
                unit="customers",
            )

    def _voltages(self, state: GridState) -> Iterator[_Finding]:
        """Yield one alarm a cell and direction, with the worst bus: neighbours share their voltage."""
        buses, v = self._grid.buses, state.v_pu
        for word, excess, limit in (
            ("low", buses.v_min_pu - v, buses.v_min_pu),
            ("high", v - buses.v_max_pu, buses.v_max_pu),
        ):
            for cell in np.unique(buses.cell[excess > -_VOLTAGE_MARGIN_PU]).tolist():
                name = str(self._grid.cells.id[cell])
                key = f"grid/voltage_{word}/{name}"
                at = np.flatnonzero((buses.cell == cell) & np.isfinite(excess))
                worst = int(at[np.argmax(excess[at])])
                if excess[worst] <= 0 and not self._stands(key):
                    continue
                count = int((excess[at] > 0).sum())
                yield _Finding(
                    key=key,
                    priority=2,
                    kind="bus",
                    element=str(buses.id[worst]),
                    text=f"voltage {word} in {name}" + (f", {count} buses" if count > 1 else ""),
                    value=float(v[worst]),
                    limit=float(limit[worst]),
                    unit="pu",
                )

    def _stands(self, key: str) -> bool:
        alarm = self._alarms.get(key)
        return alarm is not None and alarm.is_active

    def _overloads(self, kind: str, ids: list[str], loading: Floats) -> Iterator[_Finding]:
        held = self._held(
            f"grid/overload_{kind}/", ids, loading > _FULL_LOAD_PCT - _LOADING_MARGIN_PCT
        )
        for row, more in _worst(loading, (loading > _FULL_LOAD_PCT) | held):
            yield _Finding(
                key=f"grid/overload_{kind}/{ids[row]}",
                priority=1 if loading[row] > _STRONG_OVERLOAD_PCT else 2,
                kind=kind,
                element=ids[row],
                text=f"{kind} overloaded{more}",
                value=float(loading[row]),
                limit=_FULL_LOAD_PCT,
                unit="%",
            )

    def _held(self, prefix: str, ids: list[str], within_margin: Flags) -> Flags:
        """Return the rows whose alarm stands and whose value has not yet left the margin."""
        held = np.zeros(len(ids), dtype=bool)
        for row in np.flatnonzero(within_margin).tolist():
            held[row] = self._stands(prefix + ids[row])
        return held


def _worst(severity: Floats, mask: Flags) -> Iterable[tuple[int, str]]:
    rows: Rows = np.flatnonzero(mask)
    rows = rows[np.argsort(-severity[rows], kind="stable")]
    for place, row in enumerate(rows[:_WORST_OF_A_KIND].tolist()):
        rest = len(rows) - _WORST_OF_A_KIND
        yield row, f", and {rest} more" if rest > 0 and place == _WORST_OF_A_KIND - 1 else ""


def _alarm(found: _Finding, since_ns: int) -> AlarmState:
    return AlarmState(
        id=found.key,
        priority=found.priority,
        element_kind=found.kind,
        element=found.element,
        text=found.text,
        since_ns=since_ns,
        value=found.value,
        limit=found.limit,
        unit=found.unit,
    )
