"""A truth to estimate: a grid with parameters off, voltage-dependent loads, an uncertain source, and its instruments.

The parts come from `gridloom.field`; the wire is left out, so that what is measured here is the estimator. `Truth`
moves on second by second: demand wanders, the source voltage wanders, meters report once a minute with dropouts,
remote terminal units every second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gridloom.core.units import NS_PER_S
from gridloom.field.demand import Demand
from gridloom.field.electrics import Electrics
from gridloom.field.meters import InstrumentErrors
from gridloom.field.probes import Probes
from gridloom.field.truth import Tolerances, true_grid
from gridloom.grid.instruments import place_instruments
from gridloom.grid.model import (
    Buses,
    Cells,
    Generators,
    Grid,
    Lines,
    Loads,
    Sources,
    Switches,
    Transformers,
)
from gridloom.grid.profiles import load_profiles
from gridloom.ioe.frames import COLUMNS, FrameKind
from gridloom.ioe.telemetry import Readings
from gridloom.physics import PowerFlowResult

START_NS = 1_467_547_200 * NS_PER_S
"""A Sunday noon in July 2016, the year of SimBench's profiles: sun and some load."""
ANALOGUE = (FrameKind.METER, FrameKind.BRANCH, FrameKind.BUS)
SOURCE_SIGMA, SOURCE_TAU_S = 0.01, 900.0
"""The voltage of the grid above wanders by 1 % within a quarter of an hour (an Ornstein-Uhlenbeck process)."""


class Truth:
    """What really happens, and what the instruments say about it."""

    def __init__(
        self,
        grid: Grid,
        seed: int,
        *,
        tolerances: Tolerances | None = None,
        meter_period_s: int = 60,
        dropout: float = 0.02,
        start_ns: int = START_NS,
    ) -> None:
        """Draw a world around `grid`; equal seeds give equal worlds."""
        chance = [np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(5)]
        tolerances = tolerances or Tolerances()
        self.grid = grid
        self.true_grid = true_grid(grid, chance[0], tolerances)
        self.instruments = place_instruments(grid, rng=chance[1])
        self._probes = Probes(self.true_grid, self.instruments)
        profiles = load_profiles(grid)
        self._demand = Demand(self.true_grid, profiles, chance[2], tolerances)
        self._errors = {
            kind: InstrumentErrors(
                self.instruments.class_pct[self._probes.rows[kind]], len(COLUMNS[kind]), chance[3]
            )
            for kind in ANALOGUE
        }
        self._rng, self._dropout, self._period_s = chance[4], dropout, meter_period_s
        meters = self._probes.rows[FrameKind.METER]
        self._phase = self._rng.integers(0, meter_period_s, len(meters))
        n = len(self.instruments)
        self._values = np.full((4, n), np.nan, dtype=np.float32)
        self._time_ns, self._kind = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.uint8)
        self._source_off = SOURCE_SIGMA * self._rng.standard_normal()
        self._electrics = Electrics(self.true_grid, grid.switches.closed)
        self.now_ns, self._second = start_ns, 0
        self.result: PowerFlowResult
        self.tamper: Callable[[FrameKind, np.ndarray, np.ndarray], None] | None = None
        """Called with kind, instrument rows and their readings before these go out: where lies are planted."""

    def rows(self, kind: FrameKind) -> np.ndarray:
        """Return the instruments of a kind."""
        return self._probes.rows[kind]

    def step(self, seconds: int = 1, closed: np.ndarray | None = None) -> Readings:
        """Go on by some seconds and return the last values of all instruments."""
        if closed is not None:
            self._electrics.update(closed, np.zeros(len(self.grid.lines), dtype=np.bool_))
        for _ in range(seconds):
            self.now_ns += NS_PER_S
            self._second += 1
            kept = np.exp(-1 / SOURCE_TAU_S)
            fresh = SOURCE_SIGMA * np.sqrt(1 - kept**2) * self._rng.standard_normal()
            self._source_off = kept * self._source_off + fresh
            point = self._demand.at(self.now_ns)
            point = replace(point, source_vm_pu=self.grid.sources.vm_pu + self._source_off)
            self.result = self._electrics.solve(point)
            self._probes.take(point, self.result)
            meters = self.rows(FrameKind.METER)[self._phase == self._second % self._period_s]
            self._report(FrameKind.METER, meters[self._rng.random(len(meters)) >= self._dropout])
            for kind in (FrameKind.BRANCH, FrameKind.BUS):
                self._report(kind, self.rows(kind))
        return self.readings()

    def readings(self) -> Readings:
        """Return the last values of all instruments, as `LatestValues.snapshot` would."""
        return Readings(
            generation=self._second,
            values=self._values.copy(),
            time_ns=self._time_ns.copy(),
            kind=self._kind.copy(),
        )

    def _report(self, kind: FrameKind, rows: np.ndarray) -> None:
        slots = self._probes.slot[rows]
        values = self._errors[kind].read(self._probes.true[kind][:, slots], slots)
        if self.tamper is not None:
            self.tamper(kind, rows, values)
        self._values[:, rows] = np.nan
        self._values[: len(values), rows] = values
        self._time_ns[rows], self._kind[rows] = self.now_ns, int(kind)


def synthetic_district(
    n_feeders: int = 3, stations: int = 6, customers: int = 8, seed: int = 0
) -> Grid:
    """Return a small 110/10/0.4 kV district: feeders of stations, a tie between neighbours, houses along LV cables."""
    rng = np.random.default_rng(seed)
    build = _Build()
    hv, busbar = build.bus("hv", 110.0), build.bus("busbar", 10.0)
    build.transformers.append(("main", hv, busbar, 40.0, 110.0, 10.0, 16.2, 0.34, 150.0))
    ends = []
    for feeder in range(n_feeders):
        before, cell = busbar, build.cell(f"F{feeder}", 0, "feeder")
        for number in range(stations):
            name = f"F{feeder}S{number}"
            bus = build.bus(name, 10.0, cell)
            head = "breaker" if number == 0 else "load_break_switch"
            build.line(name, before, bus, rng.uniform(0.2, 0.9), 0.2, 0.1, 0.4, head)
            _add_houses(build, name, bus, customers, cell, rng)
            before = bus
        ends.append(before)
    for feeder in range(n_feeders - 1):
        build.line(
            f"T{feeder}",
            ends[feeder],
            ends[feeder + 1],
            0.5,
            0.2,
            0.1,
            0.4,
            "load_break_switch",
            closed=False,
        )
    return build.grid()


def _add_houses(
    build: _Build, name: str, bus: int, customers: int, cell: int, rng: np.random.Generator
) -> None:
    area = build.cell(f"{name}N", cell, "neighbourhood")
    before = build.bus(f"{name}B", 0.4, area)
    build.transformers.append((name, bus, before, 0.4, 10.0, 0.4, 4.0, 1.2, 150.0))
    for number in range(customers):
        house = build.bus(f"{name}H{number}", 0.4, area)
        build.line(f"{name}L{number}", before, house, rng.uniform(0.02, 0.06), 0.2, 0.08, 0.27, "")
        p_mw = rng.uniform(0.003, 0.02)
        build.loads.append((f"{name}C{number}", house, p_mw, 0.3 * p_mw))
        if rng.random() < 0.3:
            build.generators.append((f"{name}G{number}", house, rng.uniform(0.002, 0.01)))
        before = house if rng.random() < 0.7 else before


class _Build:
    """Collects rows."""

    def __init__(self) -> None:
        self.cells = [("area", -1, "area")]
        self.buses: list[tuple[str, float, int]] = []
        self.lines: list[tuple[str, int, int, float, float, float]] = []
        self.switches: list[tuple[str, int, int, str, bool]] = []
        self.transformers: list[tuple[str, int, int, float, float, float, float, float, float]] = []
        self.loads: list[tuple[str, int, float, float]] = []
        self.generators: list[tuple[str, int, float]] = []

    def cell(self, name: str, parent: int, kind: str) -> int:
        self.cells.append((name, parent, kind))
        return len(self.cells) - 1

    def bus(self, name: str, kv: float, cell: int = 0) -> int:
        self.buses.append((name, kv, cell))
        return len(self.buses) - 1

    def line(
        self,
        name: str,
        a: int,
        b: int,
        km: float,
        r: float,
        x: float,
        ka: float,
        switch: str,
        *,
        closed: bool = True,
    ) -> None:
        self.lines.append((name, a, b, r * km, x * km, ka))
        if switch:
            self.switches.append((f"{name}Q", a, len(self.lines) - 1, switch, closed))

    def grid(self) -> Grid:
        names = ["id", "parent", "kind"]
        lines = ["id", "from_bus", "to_bus", "r_ohm", "x_ohm", "rated_ka"]
        switches = ["id", "bus", "element", "kind", "closed"]
        transformers = [
            "id",
            "hv_bus",
            "lv_bus",
            "sn_mva",
            "vn_hv_kv",
            "vn_lv_kv",
            "vk_pct",
            "vkr_pct",
            "shift_deg",
        ]
        return Grid(
            name="synthetic district",
            cells=Cells(**_columns(self.cells, names)),
            buses=Buses(**_columns(self.buses, ["id", "vn_kv", "cell"])),
            lines=Lines(**_columns(self.lines, lines)),
            switches=Switches(
                **_columns(self.switches, switches),
                element_kind=["line"] * len(self.switches),
                is_remote=[True] * len(self.switches),
            ),
            transformers=Transformers(**_columns(self.transformers, transformers)),
            loads=Loads(**_columns(self.loads, ["id", "bus", "p_mw", "q_mvar"])),
            generators=Generators(**_columns(self.generators, ["id", "bus", "p_mw"])),
            sources=Sources(id=["source"], bus=[0], vm_pu=[1.02]),
        )


def _columns(rows: list[tuple], names: list[str]) -> dict[str, list]:
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}
