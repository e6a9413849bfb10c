"""From the last readings to weighted rows: what each is worth now, and which are not believed.

A row's variance is the instrument's class plus what may have changed since it was read. The meters' voltages, read up
to minutes ago, are carried to now by the common movement of the telemetered voltages, in which constant errors of the
instruments cancel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.core.units import KW_PER_MW, NS_PER_S
from gridloom.ioe.frames import FrameKind
from gridloom.physics.arrays import Flags, Floats, Rows
from gridloom.twin.injections import NEVER, InjectionModel, Injections
from gridloom.twin.layout import Layout
from gridloom.twin.measurements import Origin
from gridloom.twin.sensors import Elements, Sensors

if TYPE_CHECKING:
    from gridloom.grid.instruments import Instruments
    from gridloom.ioe.telemetry import Readings

AHEAD_NS = 5 * NS_PER_S
"""A reading from further ahead is refused: its sender's clock is wrong."""
JUMP_NS = 60 * NS_PER_S
"""If our own clock falls by more than this, everything known is forgotten."""
TELEMETRY_S = 30.0
"""Telemetry older than this many of its periods, and this many seconds, no longer counts."""
METER_V_S = 7200.0
_FLOW_FLOOR_MW = 3e-4
_LEAST_CURRENT = 0.02
"""Below this a current's magnitude says nothing that its power does not, and has no clear derivative [pu on 1 MVA]."""
_FLOW_DRIFT = 5e-4
"""A flow may change by this share of itself in a second."""
_V_DRIFT = 1e-4
"""A voltage may change by this much in a second, as a random walk [pu]."""
_METER_V_DRIFT = 2e-4
"""Same for a meter's voltage beyond the common movement: its neighbours' loads."""
_AFTER_SWITCHING_PU = 0.02
"""How far the voltage at a meter may have moved by switching since it was read [pu]."""
_LEAST_V, _MOST_V = 0.3, 2.0
"""Readings outside are a dead bus or nonsense [pu]."""
_ZERO_SIGMA, _CONDITION = 1e-6, 1e-8
"""Nothing injects nothing: a standard deviation of 1 W, or as much as the admittance there lets rounding resolve."""
_SOURCE_SIGMA = 0.03
"""What a documented source voltage is worth [pu]."""
_LEAP_PU = 0.01
"""An instrument that moves by this much more than the others in one cycle does not tell the common movement [pu]."""
_HISTORY = 4096

_A_PER_KA = 1000.0
P, Q, V, CURRENT = 0, 1, 2, 3
"""Columns of what is kept of a reading: MW, Mvar, pu, kA."""
_FLOW_COLUMNS = [P, Q, CURRENT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Values and weights of the rows of a layout at one moment."""

    value: Floats
    weight: Floats
    """One over the variance; 0 for rows without a say, shape (m,)."""
    origin: Rows
    injections: Injections
    age_s: Floats
    """Age of the last reading of each instrument; infinite without one, shape (instrument,)."""


class EvidenceBook:
    """Keeps the last readings and weighs them."""

    def __init__(
        self, instruments: Instruments, sensors: Sensors, elements: Elements, source_vm_pu: Floats
    ) -> None:
        """Start without readings; sources have their documented voltage, shape (source,) [pu]."""
        self._source_vm_pu = source_vm_pu
        self._instruments, self._sensors, self._elements = instruments, sensors, elements
        n = len(instruments)
        self._value: Floats = np.full((4, n), np.nan)
        self._time_ns: Rows = np.full(n, NEVER)
        self._doubted_ns: Rows = np.full((4, n), NEVER)
        """Time of the reading that is not believed, per column."""
        class_pct = np.full(len(elements), np.nan)
        class_pct[sensors.meter_element] = instruments.class_pct[sensors.meter_row]
        self._model = InjectionModel(elements.rated, class_pct, elements.group)
        self._kind = _frame_kinds(instruments)
        self._is_meter: Flags = self._kind == FrameKind.METER
        self._switched_ns = NEVER
        self._moved_by, self._moves = 0.0, [(NEVER, 0.0)]
        self._last_voltage: tuple[Rows, Floats] | None = None
        self.refused = 0
        """Readings that were passed over so far: from the future, of the wrong kind, or no number at all."""

    def read(self, readings: Readings, now_ns: int) -> None:
        """Take in the last values of all instruments.

        Args:
            readings: One column per instrument, in the order of the table.
            now_ns: Grid time now; what is read later than this by more than `AHEAD_NS` is refused.

        Raises:
            BadInput: If the table has another length.
        """
        n = len(self._time_ns)
        if readings.values.shape[1] != n or readings.time_ns.shape != (n,):
            raise BadInput(f"readings of {readings.values.shape[1]} instruments; the grid has {n}")
        newer = (readings.time_ns > self._time_ns) & (readings.time_ns >= 0) & (self._kind > 0)
        good = newer & (readings.time_ns <= now_ns + AHEAD_NS) & (readings.kind == self._kind)
        self.refused += int((newer & ~good).sum())
        rows = np.flatnonzero(good)
        raw = readings.values[:, rows].astype(np.float64)
        is_bus = self._kind[rows] == FrameKind.BUS
        v_pu = np.where(is_bus, raw[0], raw[2])
        power = np.where(is_bus, np.nan, raw[:2]) / KW_PER_MW
        silent = ~np.isfinite(v_pu) & ~np.isfinite(power).any(axis=0)
        self.refused += int(silent.sum())
        self._value[:2, rows] = np.where(np.isfinite(power), power, np.nan)
        self._value[V, rows] = np.where((v_pu > _LEAST_V) & (v_pu < _MOST_V), v_pu, np.nan)
        self._value[CURRENT, rows] = np.where(np.isfinite(raw[3]), raw[3], np.nan) / _A_PER_KA
        self._time_ns[rows] = readings.time_ns[rows]
        self._read_meters(rows, power, v_pu)

    def _read_meters(self, rows: Rows, power: Floats, v_pu: Floats) -> None:
        element = np.full(len(self._time_ns), -1, dtype=np.int64)
        element[self._sensors.meter_row] = self._sensors.meter_element
        # A meter without voltage says that its supply is gone, not what the customer wants.
        is_dead = ~(v_pu > _LEAST_V) & (np.nan_to_num(power) == 0.0).all(axis=0)
        use = (element[rows] >= 0) & ~is_dead
        self._model.read(element[rows[use]], power[:, use], self._time_ns[rows[use]])

    def forget(self) -> None:
        """Forget all readings, as after a jump of the clock."""
        self._time_ns[:], self._doubted_ns[:] = NEVER, NEVER
        self._switched_ns, self._moves, self._last_voltage = NEVER, [(NEVER, self._moved_by)], None
        self._model.forget()

    def switched(self, now_ns: int, revived: Flags) -> None:
        """Note that the topology changed.

        Args:
            now_ns: When it was noticed; flows read before no longer hold.
            revived: Elements that were dead and are supplied again, shape (element,).
        """
        self._switched_ns = now_ns
        self._model.doubt(revived, 0.2)

    def doubt(self, instrument: int, columns: tuple[int, ...]) -> None:
        """Believe the last reading of an instrument no more; its next one gets a new chance."""
        self._doubted_ns[list(columns), instrument] = self._time_ns[instrument]

    def time_of(self, instrument: int) -> int:
        """Return when the last reading of an instrument was taken."""
        return int(self._time_ns[instrument])

    def follow_voltage(self, now_ns: int) -> None:
        """Note the common movement of the telemetered voltages since the last call."""
        rows = np.unique(self._sensors.voltage_row[~self._sensors.voltage_is_meter])
        age_s = (now_ns - self._time_ns[rows]) / NS_PER_S
        good = (self._time_ns[rows] != NEVER) & (age_s < TELEMETRY_S) & ~self._is_doubted(V)[rows]
        rows = rows[good & np.isfinite(self._value[V, rows])]
        if self._last_voltage is not None:
            both, now, before = np.intersect1d(rows, self._last_voltage[0], return_indices=True)
            if len(both):
                step = self._value[V, rows[now]] - self._last_voltage[1][before]
                # A plain mean, so that noise cancels from one call to the next; leaps are somebody's error.
                calm = np.abs(step - np.median(step)) < _LEAP_PU
                self._moved_by += float(step[calm].mean())
        self._last_voltage = rows, self._value[V, rows].copy()
        read_ns = int(np.median(self._time_ns[rows])) if len(rows) else now_ns
        if read_ns > self._moves[-1][0]:
            self._moves = [*self._moves[-_HISTORY:], (read_ns, self._moved_by)]

    def evidence(self, layout: Layout, now_ns: int) -> Evidence:
        """Return what every row of `layout` reads and weighs at `now_ns`."""
        known = self._time_ns != NEVER
        past = np.where(known, self._time_ns, now_ns)
        age_s = np.where(known, np.maximum(now_ns - past, 0) / NS_PER_S, np.inf)
        meter = self._sensors.meter_row
        ignored = np.zeros(len(self._elements), dtype=np.bool_)
        doubted = self._is_doubted(P) | self._is_doubted(Q)
        ignored[self._sensors.meter_element] = doubted[meter]
        injections = self._model.at(now_ns, ignored)
        parts = (
            self._injection_rows(layout, injections),
            self._voltage_rows(layout, age_s),
            _source_rows(layout, self._source_vm_pu),
            self._flow_rows(layout, age_s),
        )
        value, variance, origin = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        usable = np.isfinite(value) & np.isfinite(variance)
        return Evidence(
            value=np.where(usable, value, 0.0),
            weight=np.where(usable, 1.0 / np.where(usable, variance, 1.0), 0.0),
            origin=np.where(usable, origin, Origin.NONE),
            injections=injections,
            age_s=age_s,
        )

    def _is_doubted(self, column: int) -> Flags:
        doubted: Flags = (self._time_ns != NEVER) & (self._doubted_ns[column] == self._time_ns)
        return doubted

    def _injection_rows(
        self, layout: Layout, injections: Injections
    ) -> tuple[Floats, Floats, Rows]:
        at, used, n = layout.element_node, layout.element_used, layout.n_nodes
        columns = []
        for part in (P, Q):
            total = np.bincount(at, injections.value[part, used], n)
            variance = np.bincount(at, injections.variance[part, used], n)
            columns.append((total[layout.free_node], variance[layout.free_node]))
        count = np.bincount(at, minlength=n)
        read = np.bincount(at, injections.is_read[used], n)
        origin = np.where(
            count == 0, Origin.ZERO, np.where(read == count, Origin.METER, Origin.PSEUDO)
        )
        floor = np.maximum(_ZERO_SIGMA, _CONDITION * layout.stiffness) ** 2
        value = np.concatenate([column[0] for column in columns])
        variance = np.concatenate([column[1] for column in columns])
        return value, np.maximum(variance, np.tile(floor, 2)), np.tile(origin[layout.free_node], 2)

    def _voltage_rows(self, layout: Layout, age_s: Floats) -> tuple[Floats, Floats, Rows]:
        row, is_meter = layout.voltage_row, layout.voltage_is_meter
        value, age = self._value[V, row], age_s[row]
        variance = (self._instruments.class_pct[row] / 300 * value) ** 2
        drift = np.where(is_meter, _METER_V_DRIFT, _V_DRIFT)
        stale = np.where(is_meter, METER_V_S, self._longest_s(row))
        before = (self._time_ns[row] < self._switched_ns) & np.isfinite(age)
        with np.errstate(invalid="ignore"):
            variance += drift**2 * np.minimum(age, 1e9) + before * _AFTER_SWITCHING_PU**2
        variance[(age > stale) | self._is_doubted(V)[row] | (before & ~is_meter)] = np.inf
        times, moves = np.array([t for t, _ in self._moves]), np.array([m for _, m in self._moves])
        then = np.interp(self._time_ns[row], times, moves)
        value = np.where(is_meter, value + self._moved_by - then, value)
        return value, variance, np.where(is_meter, Origin.METER, Origin.TELEMETRY)

    def _flow_rows(self, layout: Layout, age_s: Floats) -> tuple[Floats, Floats, Rows]:
        row = layout.flow_row
        value, age = self._value[_FLOW_COLUMNS][:, row], age_s[row]
        # With the voltage near 1 pu, the current is as large in per unit as the apparent power.
        value[2] /= layout.flow_base_ka
        size = np.stack([*[np.hypot(value[0], value[1])] * 2, value[2]])
        variance = (self._instruments.class_pct[row] / 300 * value) ** 2 + _FLOW_FLOOR_MW**2
        with np.errstate(invalid="ignore"):
            variance += (_FLOW_DRIFT * size) ** 2 * np.minimum(age, 1e9)
            variance[2, ~(value[2] > _LEAST_CURRENT)] = np.inf
        before = (self._time_ns[row] < self._switched_ns) & np.isfinite(age)
        drop = (age > self._longest_s(row)) | before
        for part, column in enumerate(_FLOW_COLUMNS):
            variance[part, drop | self._is_doubted(column)[row]] = np.inf
        return value.ravel(), variance.ravel(), np.full(3 * len(row), Origin.TELEMETRY)

    def _longest_s(self, row: Rows) -> Floats:
        return np.maximum(
            TELEMETRY_S, TELEMETRY_S * np.minimum(self._instruments.period_s[row], 60.0)
        )


def _source_rows(layout: Layout, source_vm_pu: Floats) -> tuple[Floats, Floats, Rows]:
    n = len(layout.source)
    return source_vm_pu[layout.source], np.full(n, _SOURCE_SIGMA**2), np.full(n, Origin.PSEUDO)


def _frame_kinds(instruments: Instruments) -> Rows:
    kinds = {"meter": FrameKind.METER, "branch": FrameKind.BRANCH, "bus": FrameKind.BUS}
    return np.array([kinds.get(kind, 0) for kind in instruments.kind.tolist()], dtype=np.int64)
