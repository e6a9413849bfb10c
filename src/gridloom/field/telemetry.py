"""Readings on their way out: which gateway sends which instruments, how often, over what link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S, ns_from_s
from gridloom.field.agenda import Agenda, Turn
from gridloom.field.links import LINK_OF_KIND, LINKS, LinkProfile
from gridloom.field.meters import InstrumentErrors, spread, surviving
from gridloom.field.outbox import Outbox
from gridloom.field.probes import FRAME_KIND, Probes
from gridloom.grid.instruments import Instruments
from gridloom.grid.tables import Flags, Rows
from gridloom.ioe import subjects
from gridloom.ioe.frames import COLUMNS, MAX_ROWS, FrameFlag, FrameKind

ANALOGUE = (FrameKind.METER, FrameKind.BRANCH, FrameKind.BUS)
ROLE = {
    "meter": "ami",
    "branch": "rtu",
    "bus": "rtu",
    "switch": "rtu",
    "indicator": "fpi",
    "relay": "relay",
}
"""Roles of a gateway: each is a unit of its own with its own link and its own sequence of frames."""
_PACES_A_PERIOD = 20.0
"""On a fast clock, slow readings are spread over at least this many power flows."""
_HEAD_END_ROWS = 4000
HEAD_END = "head-end"
"""Source of all meters when readings are sent at a given rate: frames of a useful size instead of many tiny ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """How often instruments are read and how often a reading is missing."""

    meter_period_s: float = 60.0
    """Each meter is read once in this time; real systems take 15 minutes [s]."""
    rtu_period_s: float = 1.0
    """Substation and feeder-head units [s]."""
    scan_period_s: float = 10.0
    """All switch positions are sent again, changed or not [s]."""
    meter_dropout: float = 0.02
    """Share of meter readings that are never taken."""
    meters_a_frame: int = 8
    """Meters that a concentrator sends together, at least."""
    readings_per_second: float = 0.0
    """Load test: send the real meters' readings at this rate through one head end; 0 for ordinary reading."""
    links: tuple[tuple[str, str], ...] = ()
    """(kind of instrument, technology) where it is not the usual one."""

    def __post_init__(self) -> None:
        """Check that periods and shares make sense."""
        for name in ("meter_period_s", "rtu_period_s", "scan_period_s"):
            if getattr(self, name) <= 0.0:
                raise BadInput(f"{name} is {getattr(self, name)} s; give a positive time")
        if not 0.0 <= self.meter_dropout < 1.0:
            raise BadInput(f"meter_dropout is {self.meter_dropout}; give a share from 0 to below 1")
        for kind, name in self.links:
            if kind not in LINK_OF_KIND or name not in LINKS:
                raise BadInput(f"no link {name!r} for {kind!r}; links are {', '.join(LINKS)}")

    def link(self, kind: str) -> LinkProfile:
        """Return the link behind a kind of instrument."""
        return LINKS[dict(self.links).get(kind, LINK_OF_KIND[kind])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One unit that sends frames of one kind of instrument."""

    name: str
    path: str
    """Cell path in the subjects."""
    kind: str
    rows: Rows
    """Rows of its instruments."""
    link: LinkProfile


class Telemetry:
    """All gateways and the schedule by which they read and send."""

    def __init__(
        self,
        instruments: Instruments,
        paths: dict[str, str],
        probes: Probes,
        outbox: Outbox,
        settings: TelemetrySettings,
        rng: np.random.Generator,
    ) -> None:
        """Group instruments by gateway.

        Args:
            instruments: What is placed in the grid.
            paths: Cell path of each gateway.
            probes: True values at the instruments.
            outbox: Takes the frames.
            settings: Periods and losses.
            rng: Draws errors and dropouts.
        """
        self._probes, self._outbox, self._settings, self._rng = probes, outbox, settings, rng
        self.gateways = _gateways(instruments, paths, settings)
        self._errors = {
            kind: InstrumentErrors(
                instruments.class_pct[probes.rows[kind]], len(COLUMNS[kind]), rng
            )
            for kind in ANALOGUE
        }
        self._generation = 0
        self.readings = 0
        """Rows sent so far, lost ones included."""

    def of_kind(self, kind: str) -> list[Gateway]:
        """Return the gateways that send a kind of instrument."""
        return [gateway for gateway in self.gateways if gateway.kind == kind]

    def begin(
        self,
        agenda: Agenda,
        start_ns: int,
        closed: Flags,
        switch_of: Rows,
        *,
        pace_s: float = 1.0,
    ) -> None:
        """Enter the first reading of everything; readings entered by an earlier call end.

        Args:
            agenda: Takes the readings to come.
            start_ns: Now [ns].
            closed: Positions of all switches; read again at every scan, shape (switch,).
            switch_of: Row of the switch that an instrument watches, shape (instrument,).
            pace_s: Time between two power flows; nothing is read more often than that would make sense [s].
        """
        self._generation += 1
        if self._settings.readings_per_second > 0.0:
            self._begin_head_end(agenda, start_ns, pace_s)
        else:
            for gateway in self.of_kind("meter"):
                self._begin_meters(agenda, start_ns, gateway, pace_s)
        rtu_s = max(self._settings.rtu_period_s, pace_s)
        for kind in ("branch", "bus"):
            for gateway in self.of_kind(kind):
                self._repeat(agenda, start_ns, rtu_s, partial(self._read, gateway, gateway.rows))
        scan_s = max(self._settings.scan_period_s, _PACES_A_PERIOD * (pace_s - 1.0))
        for number, gateway in enumerate(self.of_kind("switch")):
            first_ns = start_ns + number * NS_PER_S % ns_from_s(scan_s)
            scan = partial(self._scan, gateway, closed, switch_of)
            self._repeat(agenda, first_ns, scan_s, scan)

    def _begin_meters(self, agenda: Agenda, start_ns: int, gateway: Gateway, pace_s: float) -> None:
        period_s = max(self._settings.meter_period_s, _PACES_A_PERIOD * (pace_s - 1.0))
        slots = spread(gateway.rows, ns_from_s(period_s), NS_PER_S, self._settings.meters_a_frame)
        # Gateways start at different seconds, or all would send at the full minute.
        shift_ns = int(self._rng.integers(max(1, int(period_s)))) * NS_PER_S
        for offset_ns, rows in slots:
            first_ns = start_ns + (offset_ns + shift_ns) % ns_from_s(period_s)
            self._repeat(agenda, first_ns, period_s, partial(self._read, gateway, rows))

    def _begin_head_end(self, agenda: Agenda, start_ns: int, pace_s: float) -> None:
        rows = self._probes.rows[FrameKind.METER]
        if not len(rows):
            return
        taken = len(rows) * (1.0 - self._settings.meter_dropout)
        period_s = max(1.0, pace_s) * taken / self._settings.readings_per_second
        gateway = Gateway(
            name=HEAD_END, path="head-end", kind="meter", rows=rows, link=LINKS["fibre"]
        )
        parts = np.array_split(rows, max(1, -(-len(rows) // _HEAD_END_ROWS)))
        for number, part in enumerate(parts):
            first_ns = start_ns + ns_from_s(period_s * number / len(parts))
            self._repeat(agenda, first_ns, period_s, partial(self._read, gateway, part))

    def _repeat(
        self, agenda: Agenda, first_ns: int, period_s: float, read: Callable[[int], None]
    ) -> None:
        period_ns, generation = max(1, ns_from_s(period_s)), self._generation

        def turn(now_ns: int) -> None:
            if generation == self._generation:
                read(now_ns)
                agenda.add(now_ns + period_ns, turn, Turn.SAMPLE)

        agenda.add(first_ns, turn, Turn.SAMPLE)

    def _scan(self, gateway: Gateway, closed: Flags, switch_of: Rows, now_ns: int) -> None:
        values = closed[switch_of[gateway.rows]].astype(np.float32)[None, :]
        self._send(gateway, gateway.rows, values, now_ns, FrameFlag.COMPLETE)

    def _read(self, gateway: Gateway, rows: Rows, now_ns: int) -> None:
        kind = FRAME_KIND[gateway.kind]
        taken = rows
        if kind is FrameKind.METER:
            taken = surviving(rows, self._settings.meter_dropout, self._rng)
        if len(taken):
            slots = self._probes.slot[taken]
            values = self._errors[kind].read(self._probes.true[kind][:, slots], slots)
            complete = len(taken) == len(gateway.rows)
            flags = FrameFlag.COMPLETE if complete else FrameFlag(0)
            self._send(gateway, taken, values, now_ns, flags)

    def _send(
        self,
        gateway: Gateway,
        rows: Rows,
        values: NDArray[np.float32],
        now_ns: int,
        flags: FrameFlag,
    ) -> None:
        kind = FRAME_KIND[gateway.kind]
        subject = subjects.telemetry(gateway.path)
        self.readings += len(rows)
        for start in range(0, len(rows), MAX_ROWS):
            part = slice(start, start + MAX_ROWS)
            frame = self._outbox.frame(
                "telemetry", kind, gateway.name, now_ns, rows[part], values[:, part], int(flags)
            )
            self._outbox.post_frame(subject, frame, gateway.link)


def _gateways(
    instruments: Instruments, paths: dict[str, str], settings: TelemetrySettings
) -> tuple[Gateway, ...]:
    """Group instruments by (gateway, kind), in the order of their first rows."""
    groups: dict[tuple[str, str], list[int]] = {}
    pairs = zip(instruments.gateway.tolist(), instruments.kind.tolist(), strict=True)
    for row, (name, kind) in enumerate(pairs):
        groups.setdefault((name, kind), []).append(row)
    return tuple(
        Gateway(
            name=source_name(name, kind),
            path=paths[name],
            kind=kind,
            rows=np.array(rows, dtype=np.int64),
            link=settings.link(kind),
        )
        for (name, kind), rows in groups.items()
        if kind in FRAME_KIND
    )


def source_name(gateway: str, kind: str) -> str:
    """Return the name by which the unit behind a kind of instrument signs its frames."""
    return f"{gateway}.{ROLE[kind]}"
