"""The primary plant: switches that move, fuses, faults, voltages, and who has power. It knows no messages.

What becomes visible to the outside (a position, a relay's state, an indicator's flag) is handed to an `Announcer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gridloom.core.units import NS_PER_MS, ns_from_s
from gridloom.field.agenda import Agenda, Turn
from gridloom.field.demand import Demand
from gridloom.field.electrics import Electrics
from gridloom.field.fault_network import MAX_LV_KV, FaultNetwork
from gridloom.field.faults import FaultScheme
from gridloom.field.indicators import Indicators
from gridloom.field.options import FieldOptions
from gridloom.field.probes import Probes
from gridloom.field.protection import RelayState
from gridloom.field.supply import HOLD_NS, Supply
from gridloom.field.switchgear import Movement, Switchgear
from gridloom.field.truth_log import TruthLog
from gridloom.grid.instruments import Instruments
from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags, Floats, Rows
from gridloom.physics import OperatingPoint, PowerFlowResult

type WhenMoved = Callable[[Movement, int], None]


class Announcer(Protocol):
    """Tells the outside what has changed."""

    def switch(self, row: int, now_ns: int, *, closed: bool) -> None:
        """Say where the switch in `row` stands now."""
        ...

    def relay(self, switch: int, state: RelayState, now_ns: int) -> None:
        """Say what the relay at a breaker does."""
        ...

    def indicators(self, rows: Rows, now_ns: int, *, is_event: bool) -> None:
        """Say what indicators show; `rows` are the instruments that changed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantRandomness:
    """Sources of chance, one a part, so that one part's draws do not shift another's."""

    switchgear: np.random.Generator
    relays: np.random.Generator


class Plant:
    """Everything that carries current."""

    def __init__(  # noqa: PLR0913 - the plant's parts come together here
        self,
        grid: Grid,
        instruments: Instruments,
        *,
        probes: Probes,
        demand: Demand,
        agenda: Agenda,
        log: TruthLog,
        options: FieldOptions,
        chance: PlantRandomness,
        start_ns: int,
    ) -> None:
        """Put the true grid under voltage."""
        self._grid, self._probes, self._demand = grid, probes, demand
        self._agenda, self._log, self._settings = agenda, log, options.relays
        self._rng = chance.relays
        self.switchgear = Switchgear(
            grid.switches, chance.switchgear, failure_probability=options.switch_failure
        )
        self._blown_switch: Flags = np.zeros(len(grid.switches), dtype=np.bool_)
        self._dead_line: Flags = np.zeros(len(grid.lines), dtype=np.bool_)
        self.electrics = Electrics(grid, self.switchgear.closed)
        self.supply = Supply(grid, self.electrics.topology.is_energised, log)
        self.indicators = Indicators(grid, instruments, options.relays)
        self.indicators.follow(self.electrics.topology, start_ns)
        self._relayed = relayed_breakers(grid, instruments)
        self.scheme = FaultScheme(grid, self._relayed, self, agenda, options.relays, chance.relays)
        self._announcer: Announcer | None = None
        self._when_moved: dict[int, WhenMoved] = {}
        self._network: FaultNetwork | None = None
        self.point: OperatingPoint | None = None
        """What everybody wanted at the last tick."""
        self._solve_asked_ns = -1
        self.changes = 0
        """Counts the changes of positions and fuses."""
        self.result: PowerFlowResult | None = None
        """The last power flow."""

    def announce_to(self, announcer: Announcer) -> None:
        """Name who tells the outside."""
        self._announcer = announcer

    def tick(self, now_ns: int) -> None:
        """Let demand move on and solve."""
        self.point = self._demand.at(now_ns)
        self._solve(now_ns)

    def _solve(self, now_ns: int) -> None:
        if self.point is None:
            return
        result = self.electrics.solve(self.point)
        if not result.converged:
            # The world cannot stand still: the moment before goes on, and the log says so.
            self._log.event(
                now_ns, "no_solution", self._grid.name, result.engine, result.residual_pu
            )
            return
        self.result = result
        self._probes.take(self.point, result)
        self._log.voltages(now_ns, result.v_pu)

    def _solve_soon(self, now_ns: int) -> None:
        """Solve once at this moment, after everything else that happens at it."""
        if self._solve_asked_ns != now_ns:
            self._solve_asked_ns = now_ns
            self._agenda.add(now_ns, self._solve, Turn.SOLVE)

    def move(
        self, switch: int, now_ns: int, *, close: bool, then: WhenMoved | None = None
    ) -> Movement | None:
        """Start a travel and call `then` at its end; None where the switch already travels."""
        movement = self.switchgear.begin(switch, now_ns, close=close)
        if movement is None:
            return None
        if then is not None:
            self._when_moved[switch] = then
        id_ = str(self._grid.switches.id[switch])
        self._log.event(now_ns, "closing" if close else "opening", id_)
        self._agenda.add(movement.end_ns, lambda at: self._finish(movement, at))
        return movement

    def _finish(self, movement: Movement, now_ns: int) -> None:
        switch = movement.switch
        if not self.switchgear.is_under_way(movement):
            return
        changed = self.switchgear.finish(movement)
        closed = bool(self.switchgear.closed[switch])
        id_ = str(self._grid.switches.id[switch])
        outcome = "closed" if closed else "open"
        self._log.event(now_ns, outcome if movement.succeeds else "did_not_move", id_)
        if changed:
            self._positions_changed(now_ns)
            if self._announcer is not None:
                self._announcer.switch(switch, now_ns, closed=closed)
        self.scheme.on_moved(movement, now_ns)
        if changed:
            self.scheme.look(now_ns)
        then = self._when_moved.pop(switch, None)
        if then is not None:
            then(movement, now_ns)

    def remember(self, closed: Flags, blown: Rows, dead_lines: Rows, now_ns: int) -> None:
        """Take over positions and burnt fuses of an earlier process; nobody is told, nothing is counted."""
        self.switchgear.closed[:] = closed
        self._blown_switch[blown] = True
        self._dead_line[dead_lines] = True
        self.electrics.update(self.switchgear.closed & ~self._blown_switch, self._dead_line)
        self.supply = Supply(self._grid, self.electrics.topology.is_energised, self._log)
        self.indicators.follow(self.electrics.topology, now_ns)

    @property
    def blown(self) -> tuple[Rows, Rows]:
        """Rows of the switches with a melted fuse and of the lines that have burnt off."""
        return np.flatnonzero(self._blown_switch), np.flatnonzero(self._dead_line)

    def reset(self, now_ns: int) -> None:
        """Repair everything and put every switch back to its normal position at once; for tests and benchmarks."""
        movements = self.switchgear.call_off()
        self.scheme.reset(now_ns)
        self._blown_switch[:] = False
        self._dead_line[:] = False
        switches = self._grid.switches
        normal = switches.closed & switches.in_service
        changed = np.flatnonzero(normal != self.switchgear.closed)
        self.switchgear.closed[:] = normal
        self._positions_changed(now_ns)
        self._log.event(now_ns, "reset", self._grid.name, "", len(changed))
        for row in changed.tolist():
            if self._announcer is not None:
                self._announcer.switch(row, now_ns, closed=bool(normal[row]))
        self._tell_reset(self.indicators.clear(), now_ns)
        for movement in movements:
            then = self._when_moved.pop(movement.switch, None)
            if then is not None:
                then(movement, now_ns)

    def _positions_changed(self, now_ns: int) -> None:
        self._network = None
        self.changes += 1
        self.electrics.update(self.switchgear.closed & ~self._blown_switch, self._dead_line)
        topology = self.electrics.topology
        if self.supply.update(topology.is_energised, now_ns):
            self._agenda.add(now_ns + HOLD_NS, self.supply.confirm)
        self._report_indicators(self.indicators.follow(topology, now_ns), now_ns)
        reset_ns = now_ns + ns_from_s(self._settings.indicator_reset_s)
        self._agenda.add(reset_ns, self._reset_indicators)
        self._solve_soon(now_ns)

    def fault_network(self) -> FaultNetwork:
        """Return the connections at the present positions."""
        if self._network is None:
            self._network = self.electrics.fault_network(self._relayed)
        return self._network

    def blow_fuse(self, line: int, side: int, now_ns: int) -> None:
        """Open a line's end: at the switch that stands there, else the whole line goes dead."""
        lines, switches = self._grid.lines, self._grid.switches
        bus = (lines.from_bus, lines.to_bus)[side][line]
        at_end = (switches.element_kind == "line") & (switches.element == line)
        rows = np.flatnonzero(at_end & (switches.bus == bus))
        if len(rows):
            self._blown_switch[rows] = True
        else:
            self._dead_line[line] = True
        self._log.event(now_ns, "fuse_blown", str(lines.id[line]), "", side)
        self._positions_changed(now_ns)

    def replace_fuses(self, now_ns: int) -> None:
        """Put every blown fuse back."""
        if self._blown_switch.any() or self._dead_line.any():
            self._blown_switch[:] = False
            self._dead_line[:] = False
            self._log.event(now_ns, "fuses_replaced", self._grid.name)
            self._positions_changed(now_ns)

    def report_relay(self, switch: int, state: RelayState, now_ns: int) -> None:
        """Log and announce what a relay does."""
        id_ = str(self._grid.switches.id[switch])
        self._log.event(now_ns, "relay", id_, state.name.lower(), int(state))
        if self._announcer is not None:
            self._announcer.relay(switch, state, now_ns)

    def latch_indicators(self, line_ka: Floats, now_ns: int) -> None:
        """Let indicators see a fault and report a little later."""
        rows = self.indicators.latch(line_ka, now_ns)
        if not len(rows):
            return
        self._report_indicators(rows, now_ns)
        reset_ns = now_ns + ns_from_s(self._settings.indicator_reset_s)
        self._agenda.add(reset_ns, self._reset_indicators)

    def _report_indicators(self, rows: Rows, now_ns: int) -> None:
        """Have the gateways of `rows` report all their flags: at a latch, and when their voltage goes.

        So an indicator that saw nothing says so too, and nobody has to wait for its silence.
        """
        if not len(rows):
            return
        delay_ns = round(self._rng.uniform(*self._settings.indicator_report_ms) * NS_PER_MS)

        def report(at_ns: int) -> None:
            if self._announcer is not None:
                self._announcer.indicators(rows, at_ns, is_event=True)

        self._agenda.add(now_ns + delay_ns, report)

    def _reset_indicators(self, now_ns: int) -> None:
        self._tell_reset(self.indicators.reset(now_ns), now_ns)

    def _tell_reset(self, rows: Rows, now_ns: int) -> None:
        if len(rows) and self._announcer is not None:
            self._announcer.indicators(rows, now_ns, is_event=False)

    def note(self, kind: str, element: str, text: str, value: float, now_ns: int) -> None:
        """Write a line into the truth log."""
        self._log.event(now_ns, kind, element, text, value)


def relayed_breakers(grid: Grid, instruments: Instruments) -> Rows:
    """Return the rows of the switches that a relay trips, rising.

    Every breaker above low voltage has one; the platform hears those that stand among the instruments. The others
    matter when a breaker fails and the next one behind it has to clear the fault.
    """
    switches = grid.switches
    is_breaker = (switches.kind == "breaker") & switches.in_service
    is_breaker &= grid.buses.vn_kv[switches.bus] > MAX_LV_KV
    is_relay = (instruments.kind == "relay") & (instruments.element_kind == "switch")
    return np.union1d(np.flatnonzero(is_breaker), instruments.element[is_relay])
