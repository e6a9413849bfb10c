"""The life of a fault: current flows, relays pick up, breakers trip, perhaps reclose, lock out; fuses blow; a repair.

What protection does is decided here; how switches move, what is sent and what is written down is the `Site`'s part.
A fault that nothing sees (too little current) stays as it is and is logged. Load flow during the tens of
milliseconds of fault current is not computed: readings then still show the moment before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_MS, SQRT3, ns_from_s
from gridloom.field.agenda import Agenda
from gridloom.field.fault_currents import FaultCurrents, FaultPlace, fault_currents
from gridloom.field.fault_network import FaultNetwork
from gridloom.field.protection import Relay, RelaySettings, RelayState
from gridloom.field.switchgear import Movement
from gridloom.grid.model import Grid
from gridloom.grid.tables import Flags, Floats, Rows

_RETRY_MS = 50
"""When a breaker is in the middle of another travel, the relay asks again after this long."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault from its beginning to its repair."""

    id: str
    place: FaultPlace
    begin_ns: int
    is_being_cleared: bool = False
    """A trip is under way; protection does not start over."""
    was_seen: bool = False


class Site(Protocol):
    """What the scheme needs of the world around it."""

    def fault_network(self) -> FaultNetwork:
        """Return the connections at the present positions."""
        ...

    def move(self, switch: int, now_ns: int, *, close: bool) -> Movement | None:
        """Start a travel; the world finishes it and calls `FaultScheme.on_moved`."""
        ...

    def blow_fuse(self, line: int, side: int, now_ns: int) -> None:
        """Open a line's end for good."""
        ...

    def replace_fuses(self, now_ns: int) -> None:
        """Put every blown fuse back."""
        ...

    def report_relay(self, switch: int, state: RelayState, now_ns: int) -> None:
        """Send what a relay says."""
        ...

    def latch_indicators(self, line_ka: Floats, now_ns: int) -> None:
        """Let fault passage indicators see the currents at line ends, shape (line, 2) [kA]."""
        ...

    def note(self, kind: str, element: str, text: str, value: float, now_ns: int) -> None:
        """Write a line into the truth log."""
        ...


class FaultScheme:
    """All faults of a world and all of its relays."""

    def __init__(
        self,
        grid: Grid,
        relayed: Rows,
        site: Site,
        agenda: Agenda,
        settings: RelaySettings,
        rng: np.random.Generator,
    ) -> None:
        """Set the relays.

        Args:
            grid: The true grid.
            relayed: Rows of the switches that a relay trips.
            site: The world around.
            agenda: Takes what is to happen later.
            settings: Settings of all relays.
            rng: Draws pick-up and melting times.
        """
        self._grid, self._site, self._agenda = grid, site, agenda
        self._settings, self._rng = settings, rng
        self._pickup_ka = _pickup_ka(grid, relayed, settings)
        self.relays: dict[int, Relay] = {int(row): Relay(settings) for row in relayed}
        self.active: dict[int, Fault] = {}
        """Faults by row of their line."""
        self._trip_of: dict[int, Fault] = {}
        self._failed: set[int] = set()
        self._reclosing: set[int] = set()
        self._count = 0
        self._repaired = 0

    @property
    def changes(self) -> int:
        """Counts beginnings and ends of faults."""
        return self._count + self._repaired

    @property
    def is_fed(self) -> bool:
        """Whether fault current flows or a relay still has something to do."""
        busy = any(fault.is_being_cleared for fault in self.active.values())
        return busy or bool(self._reclosing)

    def inject(self, place: FaultPlace, now_ns: int) -> Fault:
        """Break a line.

        Raises:
            BadInput: The line is already broken, or the place is not on it.
        """
        line_id = str(self._grid.lines.id[place.line])
        if place.line in self.active:
            raise BadInput(f"line {line_id} has a fault already")
        if not 0.0 < place.fraction < 1.0 or not place.resistance_ohm >= 0.0:
            raise BadInput(
                f"fault on line {line_id}: the place is a fraction inside (0, 1) and the resistance "
                f"0 ohm or more, got {place.fraction} and {place.resistance_ohm}"
            )
        self._count += 1
        fault = Fault(id=f"fault-{self._count}", place=place, begin_ns=now_ns)
        self.active[place.line] = fault
        self._site.note("fault", line_id, fault.id, place.fraction, now_ns)
        self.look(now_ns)
        return fault

    def remember(self, place: FaultPlace, now_ns: int) -> None:
        """Take over a fault of an earlier process."""
        self._count += 1
        fault = Fault(id=f"fault-{self._count}", place=place, begin_ns=now_ns)
        self.active[place.line] = fault

    def repair(self, line: int, now_ns: int) -> None:
        """Take a fault away and put blown fuses back; switches stay where they are.

        Raises:
            BadInput: The line has no fault.
        """
        line_id = str(self._grid.lines.id[line])
        fault = self.active.pop(line, None)
        if fault is None:
            raise BadInput(f"line {line_id} has no fault")
        self._repaired += 1
        self._site.note("repair", line_id, fault.id, 0.0, now_ns)
        if not self.active:
            self._site.replace_fuses(now_ns)

    def reset(self, now_ns: int) -> None:
        """Repair all lines, call off all that protection is about, and bring all relays to rest."""
        for line, fault in self.active.items():
            self._site.note("repair", str(self._grid.lines.id[line]), fault.id, 0.0, now_ns)
        self._repaired += len(self.active)
        self.active.clear()
        self._trip_of.clear()
        self._failed.clear()
        self._reclosing.clear()
        for switch, relay in self.relays.items():
            if relay.state is not RelayState.RESET:
                relay.reset()
                self._site.report_relay(switch, relay.state, now_ns)

    def look(self, now_ns: int) -> None:
        """Let protection see every fault that is fed and not yet being cleared."""
        waiting = [fault for fault in self.active.values() if not fault.is_being_cleared]
        if not waiting:
            return
        network = self._site.fault_network()
        for fault in waiting:
            currents = fault_currents(
                network, fault.place, self._pickup_ka, frozenset(self._failed)
            )
            if currents is not None:
                self._see(fault, currents, now_ns)

    def on_moved(self, movement: Movement, now_ns: int) -> None:
        """Take note of the end of a travel, whoever asked for it."""
        switch = movement.switch
        if movement.close:
            self._on_closed(switch, now_ns)
        elif switch in self._trip_of:
            self._on_trip_ended(movement, now_ns)

    def _see(self, fault: Fault, currents: FaultCurrents, now_ns: int) -> None:
        line_id = str(self._grid.lines.id[fault.place.line])
        self._site.note("fault_current", line_id, fault.id, currents.total_ka, now_ns)
        if currents.trips and not currents.fuses:
            fault.is_being_cleared = fault.was_seen = True
            delay_ns = self._draw_ns(self._settings.pickup_ms)
            self._agenda.add(now_ns + delay_ns, lambda at: self._trip(fault, currents, at))
            return
        ends = currents.fuses or self._own_ends(fault, currents)
        if ends:
            fault.is_being_cleared = fault.was_seen = True
            delay_ns = self._draw_ns(self._settings.fuse_ms)
            self._agenda.add(now_ns + delay_ns, lambda at: self._melt(fault, ends, at))

    def _own_ends(self, fault: Fault, currents: FaultCurrents) -> tuple[tuple[int, int], ...]:
        """Without relay and feeder fuse, the broken line burns off at the ends that feed it."""
        line = fault.place.line
        fed = currents.line_ka[line] > self._settings.pickup_floor_ka
        return tuple((line, int(side)) for side in np.flatnonzero(fed))

    def _is_over(self, fault: Fault) -> bool:
        return self.active.get(fault.place.line) is not fault

    def _trip(self, fault: Fault, currents: FaultCurrents, now_ns: int) -> None:
        if self._is_over(fault):
            return
        self._site.latch_indicators(currents.line_ka, now_ns)
        for switch in currents.trips:
            relay = self.relays[switch]
            relay.pick_up()
            self._site.report_relay(switch, relay.state, now_ns)
            self._order_trip(fault, switch, now_ns)

    def _order_trip(self, fault: Fault, switch: int, now_ns: int) -> None:
        if self._is_over(fault):
            return
        self._trip_of[switch] = fault
        if self._site.move(switch, now_ns, close=False) is None:
            retry_ns = now_ns + _RETRY_MS * NS_PER_MS
            self._agenda.add(retry_ns, lambda at: self._order_trip(fault, switch, at))

    def _on_trip_ended(self, movement: Movement, now_ns: int) -> None:
        switch, relay = movement.switch, self.relays[movement.switch]
        fault = self._trip_of.pop(switch)
        if movement.succeeds:
            dead_s = relay.trip()
            self._site.report_relay(switch, relay.state, now_ns)
            if dead_s is None:
                relay.lock_out()
                self._site.report_relay(switch, relay.state, now_ns)
            else:
                self._reclosing.add(switch)
                self._agenda.add(now_ns + ns_from_s(dead_s), lambda at: self._reclose(switch, at))
        else:
            self._failed.add(switch)
            id_ = str(self._grid.switches.id[switch])
            self._site.note("breaker_failure", id_, fault.id, 0.0, now_ns)
        if fault not in self._trip_of.values():
            self._end_clearing(fault, now_ns, failed=not movement.succeeds)

    def _end_clearing(self, fault: Fault, now_ns: int, *, failed: bool) -> None:
        """Look again once all trips of a fault are over; behind a failed breaker only after the time grading."""

        def again(at_ns: int) -> None:
            fault.is_being_cleared = False
            self.look(at_ns)

        wait_ns = ns_from_s(self._settings.backup_s) if failed else 0
        self._agenda.add(now_ns + wait_ns, again)

    def _reclose(self, switch: int, now_ns: int) -> None:
        if switch not in self._reclosing:
            return
        if self._site.move(switch, now_ns, close=True) is None:
            retry_ns = now_ns + _RETRY_MS * NS_PER_MS
            self._agenda.add(retry_ns, lambda at: self._reclose(switch, at))

    def _on_closed(self, switch: int, now_ns: int) -> None:
        relay = self.relays.get(switch)
        if relay is None:
            return
        by_itself = switch in self._reclosing
        self._reclosing.discard(switch)
        self._failed.discard(switch)
        if not by_itself and relay.state is not RelayState.RESET:
            relay.reset()
            self._site.report_relay(switch, relay.state, now_ns)
        elif by_itself:
            reclaim_ns = now_ns + ns_from_s(self._settings.reclaim_s)
            self._agenda.add(reclaim_ns, lambda at: self._reclaim(switch, at))

    def _reclaim(self, switch: int, now_ns: int) -> None:
        """Return to rest after a reclosing that held."""
        relay = self.relays[switch]
        if relay.state is RelayState.TRIPPED and switch not in self._reclosing:
            relay.reset()
            self._site.report_relay(switch, relay.state, now_ns)

    def _melt(self, fault: Fault, ends: tuple[tuple[int, int], ...], now_ns: int) -> None:
        if self._is_over(fault):
            return
        for line, side in ends:
            self._site.blow_fuse(line, side, now_ns)
        self._end_clearing(fault, now_ns, failed=False)

    def _draw_ns(self, range_ms: tuple[float, float]) -> int:
        return round(self._rng.uniform(*range_ms) * NS_PER_MS)


def _pickup_ka(grid: Grid, relayed: Rows, settings: RelaySettings) -> Floats:
    """Return each relay's pick-up from the rating of what it protects, infinite without a relay, shape (switch,)."""
    pickup_ka = np.full(len(grid.switches), np.inf)
    switches = grid.switches
    for row in relayed.tolist():
        rated_ka = float(switches.rated_ka[row])
        element = int(switches.element[row])
        if switches.element_kind[row] == "line":
            rated_ka = float(np.fmin(rated_ka, grid.lines.rated_ka[element]))
        elif switches.element_kind[row] == "transformer":
            vn_kv = float(grid.buses.vn_kv[switches.bus[row]])
            sn_mva = float(grid.transformers.sn_mva[element] * grid.transformers.parallel[element])
            rated_ka = float(np.fmin(rated_ka, sn_mva / SQRT3 / vn_kv))
        known = np.isfinite(rated_ka) and rated_ka > 0.0
        floor_ka = settings.pickup_floor_ka
        pickup_ka[row] = max(settings.pickup_factor * rated_ka, floor_ka) if known else floor_ka
    return pickup_ka


def latched(line_ka: Floats, line: Rows, side: Rows, threshold_ka: float) -> Flags:
    """Return which indicators at (line, side) have seen more than `threshold_ka` [kA]."""
    return line_ka[line, side] > threshold_ka
