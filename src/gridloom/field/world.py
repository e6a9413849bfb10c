"""The simulated world: everything behind the bus, without input or output of its own.

`advance` moves time and returns the messages that the networks hand over, each with its moment; `receive` takes what
came from the bus; `control` is the hand of people and tests. Equal seeds, options and calls give equal bytes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import numpy as np

from gridloom.core.errors import BadInput, Refused
from gridloom.core.plans import Command
from gridloom.core.units import NS_PER_S, ns_from_s
from gridloom.field.agenda import Agenda, Turn
from gridloom.field.announcements import Announcements
from gridloom.field.control import ControlReply, ControlRequest
from gridloom.field.demand import Demand
from gridloom.field.devices import Devices, Keep, Verify
from gridloom.field.events import Events
from gridloom.field.fault_currents import FaultPlace
from gridloom.field.faults import Fault
from gridloom.field.memory import BrokenLine, Memory
from gridloom.field.options import FieldOptions
from gridloom.field.outbox import Emission, Outbox
from gridloom.field.plant import Plant, PlantRandomness
from gridloom.field.probes import Probes
from gridloom.field.telemetry import Telemetry
from gridloom.field.truth import true_grid
from gridloom.field.truth_log import TruthHeader, TruthLog
from gridloom.grid.archive import table_to_bytes
from gridloom.grid.instruments import place_instruments
from gridloom.grid.model import Grid
from gridloom.grid.profiles import Profiles, load_profiles
from gridloom.ioe import subjects
from gridloom.ioe.birth import Birth
from gridloom.ioe.subjects import Lane

_FROM_MV_KV, _TO_MV_KV = 1.0, 60.0


class World:
    """One simulated grid with its devices and their networks."""

    def __init__(
        self,
        grid: Grid,
        options: FieldOptions,
        *,
        verify: Verify | None = None,
        keep: Keep | None = None,
        profiles: Profiles | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Build the world and put it under voltage at `options.start_ns`, or where `memory` left it.

        Args:
            grid: The grid as documented; the truth is drawn around it.
            options: Everything that makes this world.
            verify: Opens command envelopes; without it every command is taken as forged.
            keep: Stores the devices' memory before an order is carried out.
            profiles: The year; the grid's own by default.
            memory: What an earlier process of the same world left.

        Raises:
            BadInput: `memory` is of another grid.
        """
        chance = [
            np.random.default_rng(one) for one in np.random.SeedSequence(options.seed).spawn(8)
        ]
        self.grid, self.options = grid, options
        self.true_grid = true_grid(grid, chance[0], options.tolerances)
        self.instruments = place_instruments(grid, rng=chance[1], mv_share=options.mv_share)
        self.began_ns = self.now_ns = options.start_ns if memory is None else memory.now_ns
        self.log = TruthLog(options.truth_dir, _header(grid, options))
        self.agenda = Agenda()
        self.outbox = Outbox(options.epoch, chance[2])
        probes = Probes(self.true_grid, self.instruments)
        profiles = load_profiles(grid) if profiles is None else profiles
        self.plant = Plant(
            self.true_grid,
            self.instruments,
            probes=probes,
            demand=Demand(self.true_grid, profiles, chance[3], options.tolerances),
            agenda=self.agenda,
            log=self.log,
            options=options,
            chance=PlantRandomness(switchgear=chance[4], relays=chance[5]),
            start_ns=self.began_ns,
        )
        self.telemetry = Telemetry(
            self.instruments, self._paths(), probes, self.outbox, options.telemetry, chance[6]
        )
        self.events = Events(self.agenda, self.outbox)
        self.plant.announce_to(
            Announcements(
                self.instruments, self.telemetry, self.plant.indicators, self.events, self.outbox
            )
        )
        self.devices = Devices(
            grid.switches,
            self.instruments,
            self.telemetry.of_kind("switch"),
            plant=self.plant,
            outbox=self.outbox,
            log=self.log,
            verify=verify or _refuse_all,
            keep=keep,
        )
        self._chance = chance[7]
        self._pace_s, self._round = 1.0, 0
        self._planned_ns: list[int] = []
        self.faults = 0
        """Faults so far."""
        if memory is not None:
            self._remember(memory)
        self._begin()

    def _begin(self) -> None:
        start_ns = self.options.start_ns
        self._begin_readings()
        for planned in self.options.faults:
            place = FaultPlace(line=self.grid.lines.row(planned.line), fraction=planned.fraction)
            self._plan(start_ns + ns_from_s(planned.at_s), partial(self._break_planned, place))
        window_s = np.sort(
            self._chance.uniform(*self.options.fault_window_s, self.options.random_faults)
        )
        for at_s in window_s.tolist():
            self._plan(start_ns + ns_from_s(at_s), self._break_any)

    def _remember(self, memory: Memory) -> None:
        closed = np.frombuffer(memory.closed, dtype=np.uint8).astype(np.bool_)
        if memory.grid_hash != self.grid.hash or len(closed) != len(self.grid.switches):
            raise BadInput(
                f"the memory is of grid {memory.grid_hash[:12]}, this one is {self.grid.hash[:12]}; "
                "remove the state directory to start anew"
            )
        self.faults = memory.faults_so_far
        blown = np.array(memory.blown, dtype=np.int64)
        dead = np.array(memory.dead_lines, dtype=np.int64)
        self.plant.remember(closed, blown, dead, self.now_ns)
        for one in memory.broken:
            place = FaultPlace(
                line=self.grid.lines.row(one.line),
                fraction=one.fraction,
                resistance_ohm=one.resistance_ohm,
            )
            self.plant.scheme.remember(place, self.now_ns)
        self.agenda.add(self.now_ns, self.plant.scheme.look)

    @property
    def changes(self) -> int:
        """Rises whenever `memory` would say something else about the plant."""
        scheme = self.plant.scheme
        return self.plant.changes + scheme.changes

    def memory(self, wall_ns: int) -> Memory:
        """Return what has to outlive this process; `wall_ns` is the machine's time [ns since 1970 UTC]."""
        blown, dead_lines = self.plant.blown
        places = [fault.place for fault in self.plant.scheme.active.values()]
        return Memory(
            grid_hash=self.grid.hash,
            now_ns=self.now_ns,
            wall_ns=wall_ns,
            faults_so_far=self.faults,
            closed=self.plant.switchgear.closed.astype(np.uint8).tobytes(),
            blown=tuple(blown.tolist()),
            dead_lines=tuple(dead_lines.tolist()),
            broken=tuple(
                BrokenLine(
                    line=str(self.grid.lines.id[place.line]),
                    fraction=place.fraction,
                    resistance_ohm=place.resistance_ohm,
                )
                for place in places
            ),
        )

    def _plan(self, at_ns: int, act: Callable[[int], None]) -> None:
        if at_ns < self.now_ns:
            return
        insort(self._planned_ns, at_ns)
        self.agenda.add(at_ns, act)

    @property
    def next_planned_ns(self) -> int | None:
        """When the next planned fault begins [ns], None where none is left."""
        at = bisect_left(self._planned_ns, self.now_ns)
        return self._planned_ns[at] if at < len(self._planned_ns) else None

    def _begin_readings(self) -> None:
        """Start the round of power flows and readings, ending the round before."""
        self._round += 1
        self.agenda.add(self.now_ns, partial(self._tick, self._round), Turn.SOLVE)
        switch_of = np.where(self.instruments.kind == "switch", self.instruments.element, -1)
        self.telemetry.begin(
            self.agenda,
            self.now_ns,
            self.plant.switchgear.closed,
            switch_of.astype(np.int64),
            pace_s=self._pace_s,
        )

    def set_pace(self, pace_s: float) -> None:
        """Solve the grid every `pace_s` seconds of grid time; 1 for a clock that is not accelerated."""
        if pace_s != self._pace_s:
            self._pace_s = pace_s
            self._begin_readings()

    def advance(self, to_ns: int) -> list[Emission]:
        """Let the world go on until `to_ns`.

        Returns:
            What reaches the bus because of it, by due time; some of it is due later than `to_ns`.

        Raises:
            BadInput: `to_ns` lies in the past.
        """
        if to_ns < self.now_ns:
            raise BadInput(f"the world cannot go back by {(self.now_ns - to_ns) / NS_PER_S} s")
        self.agenda.run_until(to_ns)
        self.now_ns = to_ns
        return self.outbox.drain()

    @property
    def next_ns(self) -> int | None:
        """When something happens next [ns]."""
        return self.agenda.next_ns

    @property
    def is_eventful(self) -> bool:
        """Whether protection is at work or a switch travels: an accelerated clock goes at 1x meanwhile."""
        return self.plant.scheme.is_fed or self.plant.switchgear.is_any_moving

    def receive(self, subject: str, data: bytes, now_ns: int) -> list[Emission]:
        """Take a message from the bus at `now_ns`; what it causes comes back as from `advance`."""
        emitted = self.advance(max(now_ns, self.now_ns))
        lane, path = subjects.split(subject)
        if lane == Lane.COMMAND:
            self._receive_command(path, data)
        elif lane == Lane.RECEIPT:
            self.events.on_receipt(data, self.now_ns)
        return emitted + self.outbox.drain()

    def _receive_command(self, path: str, envelope: bytes) -> None:
        gateway = self.devices.gateway(path)
        if gateway is None:
            self.log.command(self.now_ns, "", path, "", "no_such_cell", moved=False)
            return
        delay_ns = self.outbox.inbound_ns(gateway.name, gateway.link)
        if delay_ns is not None:
            self.agenda.add(
                self.now_ns + delay_ns, lambda at: self.devices.take(path, envelope, at)
            )

    def birth(self, *, clock: str = "real", speed: float = 1.0) -> Birth:
        """Return what this field says of itself."""
        return Birth(
            grid_hash=self.grid.hash,
            grid_uri=self.options.grid_uri,
            instruments=table_to_bytes(self.instruments),
            epoch=self.options.epoch,
            start_ns=self.began_ns,
            clock=clock,
            speed=speed,
            gateways=self._paths() | {one.name: one.path for one in self.telemetry.gateways},
            positions=self.plant.switchgear.closed.astype(np.uint8).tobytes(),
        )

    def control(self, request: ControlRequest, now_ns: int) -> tuple[ControlReply, list[Emission]]:
        """Do what a person or a test asks for; a wish that cannot be met is answered, not raised."""
        emitted = self.advance(max(now_ns, self.now_ns))
        fault_id = note = ""
        try:
            fault_id = self._do(request)
        except BadInput as error:
            note = str(error)
        reply = ControlReply(
            ok=not note,
            note=note,
            fault=fault_id,
            at_ns=self.now_ns,
            faults=self.faults,
            customers_interrupted=self.plant.supply.interrupted,
            customers_restored=self.plant.supply.restored,
            readings=self.telemetry.readings,
            messages_lost=self.outbox.lost,
        )
        return reply, emitted + self.outbox.drain()

    def _do(self, request: ControlRequest) -> str:
        """Do one deed; return the id of the fault that it made, if any."""
        target, gear = request.target, self.plant.switchgear
        match request.do:
            case "inject" | "repair":
                return self._inject_or_repair(request, self.grid.lines.row(target))
            case "stick":
                gear.make_stick(self.grid.switches.row(target))
            case "release":
                gear.release(self.grid.switches.row(target))
            case "operate":
                row = self.grid.switches.row(target)
                if self.plant.move(row, self.now_ns, close=request.close) is None:
                    raise BadInput(f"switch {target} is moving already")
            case "cut_link":
                self.outbox.cut(self._gateway(target))
            case "mend_link":
                self.outbox.mend(self._gateway(target))
            case "reset":
                self.plant.reset(self.now_ns)
            case "status":
                pass
        return ""

    def _inject_or_repair(self, request: ControlRequest, line: int) -> str:
        if request.do == "repair":
            self.plant.scheme.repair(line, self.now_ns)
            return ""
        place = FaultPlace(
            line=line, fraction=request.fraction, resistance_ohm=request.resistance_ohm
        )
        return self._break(place, self.now_ns, request.repair_after_s).id

    def _gateway(self, name: str) -> str:
        known = {one.name for one in self.telemetry.gateways}
        if name not in known:
            raise BadInput(f"no gateway {name!r}; there are {len(known)}, as in the birth")
        return name

    def _tick(self, number: int, now_ns: int) -> None:
        if number == self._round:
            self.plant.tick(now_ns)
            next_ns = now_ns + ns_from_s(self._pace_s)
            self.agenda.add(next_ns, partial(self._tick, number), Turn.SOLVE)

    def _break(self, place: FaultPlace, now_ns: int, repair_after_s: float = 0.0) -> Fault:
        fault = self.plant.scheme.inject(place, now_ns)
        self.faults += 1
        after_s = repair_after_s or self.options.repair_after_s
        if after_s > 0.0:
            self.agenda.add(now_ns + ns_from_s(after_s), lambda at: self._mend(place.line, at))
        return fault

    def _break_planned(self, place: FaultPlace, now_ns: int) -> None:
        if place.line not in self.plant.scheme.active:
            self._break(place, now_ns)

    def _mend(self, line: int, now_ns: int) -> None:
        if line in self.plant.scheme.active:
            self.plant.scheme.repair(line, now_ns)

    def _break_any(self, now_ns: int) -> None:
        """Break a live medium-voltage line that has no fault yet."""
        lines, vn_kv = self.grid.lines, self.grid.buses.vn_kv
        is_mv = (vn_kv[lines.from_bus] > _FROM_MV_KV) & (vn_kv[lines.from_bus] < _TO_MV_KV)
        topology = self.plant.electrics.topology
        is_live = topology.line_closed.all(axis=1) & topology.is_energised[lines.from_bus]
        broken = list(self.plant.scheme.active)
        is_live[broken] = False
        candidates = np.flatnonzero(is_mv & is_live)
        if len(candidates):
            line = int(self._chance.choice(candidates))
            self._break(FaultPlace(line=line, fraction=self._chance.uniform(0.1, 0.9)), now_ns)

    def _paths(self) -> dict[str, str]:
        """Return the cell path of each gateway: that of its first instrument's cell."""
        paths: dict[str, str] = {}
        pairs = zip(self.instruments.gateway.tolist(), self.instruments.cell.tolist(), strict=True)
        for name, cell in pairs:
            paths.setdefault(name, self.grid.cell_path(cell))
        return paths


def _refuse_all(envelope: bytes) -> Command:
    raise Refused(f"this field trusts no key; {len(envelope)} bytes refused")


def _header(grid: Grid, options: FieldOptions) -> TruthHeader:
    tolerances = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(options.tolerances).items()
    }
    return TruthHeader(
        grid_name=grid.name,
        grid_hash=grid.hash,
        seed=options.seed,
        epoch=options.epoch,
        start_ns=options.start_ns,
        tolerances=tolerances,
        bus_vn_kv=grid.buses.vn_kv.tolist(),
    )
