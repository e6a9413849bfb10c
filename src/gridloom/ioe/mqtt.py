"""The door for devices that speak MQTT 3.1.1: small JSON texts in, frames out.

The NATS server itself is the MQTT broker, on the loopback and with the bus's credentials; it maps the topic
`devices/<cell>/<id>` to the subject `devices.<cell>.<id>`. A device publishes

    {"t": 1700000000.25, "p_kw": -1.2, "q_kvar": -0.1, "v_pu": 1.01}

with `t` in seconds since 1970 UTC and injections positive into the grid; `q_kvar` and `v_pu` may be missing. Cells
below cells are further levels of the topic (`devices/area/feeder/<id>`); an id with other characters than letters,
digits, `_` and `-` is percent-encoded. `DeviceReadings` is pure; `MqttDoor` puts it on a bus.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import structlog

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_MS, NS_PER_S
from gridloom.ioe import subjects
from gridloom.ioe.decoding import DECODE_ERRORS
from gridloom.ioe.frames import MAX_ROWS, Frame, FrameKind, encode
from gridloom.ioe.pacing import Pacer, pace_ns
from gridloom.ioe.retry import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gridloom.core.clock import Clock
    from gridloom.grid.instruments import Instruments
    from gridloom.ioe.message import Bus, Message, Subscription

log = structlog.get_logger(__name__)

MAX_PAYLOAD_BYTES: Final = 1024
_LARGEST_KW: Final = 1e6
"""A single device of more than a gigawatt is a mistake in units."""
_HIGHEST_PU: Final = 10.0
_LATEST_S: Final = 9e9
"""Some 285 years after 1970: later does not fit a frame."""
_SAME_MOMENT_NS: Final = NS_PER_S


class DevicePayload(msgspec.Struct, frozen=True):
    """What a device says in one message."""

    t: float
    p_kw: float
    q_kvar: float = math.nan
    v_pu: float = math.nan


@dataclass(frozen=True, slots=True)
class Device:
    """Where a device's readings belong."""

    row: int
    """Row in the table of instruments."""
    cell_path: str


def devices_of(instruments: Instruments, cell_path: Callable[[int], str]) -> dict[str, Device]:
    """Return all meters as devices that may speak, by id.

    Args:
        instruments: The birth's table of instruments.
        cell_path: Returns the path of the cell in a row, as `Grid.cell_path` does.
    """
    rows = np.flatnonzero(instruments.kind == "meter").tolist()
    return {
        str(instruments.id[row]): Device(row, cell_path(int(instruments.cell[row]))) for row in rows
    }


@dataclass(slots=True)
class _Batch:
    rows: list[int] = field(default_factory=list)
    values: list[tuple[float, float, float]] = field(default_factory=list)


class DeviceReadings:
    """Collects readings by cell and second, and makes frames of them. Pure."""

    def __init__(
        self,
        devices: Mapping[str, Device],
        *,
        source: str = "mqtt",
        epoch: int = 1,
        ahead_tolerance_ns: int = 5 * NS_PER_S,
        oldest_ns: int = 86_400 * NS_PER_S,
    ) -> None:
        """Make an empty collection.

        Args:
            devices: The devices that may speak, by id.
            source: Name of the door in its frames; the cell's path is added to it.
            epoch: Restarts of the door so far.
            ahead_tolerance_ns: How far a device's clock may be ahead of ours [ns].
            oldest_ns: Age beyond which a reading is refused [ns].
        """
        self._devices, self._source, self._epoch = dict(devices), source, epoch
        self._ahead_ns, self._oldest_ns = ahead_tolerance_ns, oldest_ns
        self._batches: dict[tuple[str, int], _Batch] = {}
        self._sequence: Counter[str] = Counter()
        self._full: list[tuple[str, Frame]] = []
        self._decoder = msgspec.json.Decoder(DevicePayload)
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        """Refused messages by reason."""

    def take(self, subject: str, payload: bytes, now_ns: int) -> str:
        """Take one device's message; return why it was refused, or an empty text."""
        reason = self._take(subject, payload, now_ns)
        if reason:
            self.refused[reason] += 1
        else:
            self.accepted += 1
        return reason

    def frames(self) -> list[tuple[str, Frame]]:
        """Return what was collected since the last call, as (cell path, frame) in the order of time."""
        made, self._full = self._full, []
        for (path, second), batch in sorted(self._batches.items()):
            made.append((path, self._frame(path, second, batch)))
        self._batches.clear()
        return made

    @property
    def waiting(self) -> int:
        """Readings collected and not framed yet."""
        return sum(len(batch.rows) for batch in self._batches.values())

    def _take(self, subject: str, payload: bytes, now_ns: int) -> str:
        device, said = self._device(subject), self._read(payload)
        if isinstance(device, str):
            return device
        if isinstance(said, str):
            return said
        time_ns = round(said.t * NS_PER_S)
        if time_ns > now_ns + self._ahead_ns:
            return "time_ahead"
        if time_ns < max(now_ns - self._oldest_ns, 0):
            return "time_too_old"
        second = time_ns // _SAME_MOMENT_NS
        batch = self._batches.setdefault((device.cell_path, second), _Batch())
        batch.rows.append(device.row)
        batch.values.append((said.p_kw, said.q_kvar, said.v_pu))
        if len(batch.rows) == MAX_ROWS:
            del self._batches[device.cell_path, second]
            self._full.append((device.cell_path, self._frame(device.cell_path, second, batch)))
        return ""

    def _device(self, subject: str) -> Device | str:
        path, _, name = subjects.split(subject)[1].rpartition(".")
        device = self._devices.get(subjects.from_token(name))
        if device is None:
            return "unknown_device"
        return device if device.cell_path == path else "wrong_cell"

    def _read(self, payload: bytes) -> DevicePayload | str:
        if len(payload) > MAX_PAYLOAD_BYTES:
            return "too_large"
        try:
            said = self._decoder.decode(payload)
        except msgspec.ValidationError:
            return "wrong_fields"
        except DECODE_ERRORS:
            return "not_json"
        return _implausible(said) or said

    def _frame(self, path: str, second: int, batch: _Batch) -> Frame:
        source = f"{self._source}:{path}"
        sequence = self._sequence[source]
        self._sequence[source] += 1
        return Frame(
            kind=FrameKind.METER,
            source=source,
            epoch=self._epoch,
            sequence=sequence,
            time_ns=second * _SAME_MOMENT_NS,
            index=np.array(batch.rows, np.uint32),
            values=np.ascontiguousarray(np.array(batch.values, np.float32).T),
        )


def _implausible(said: DevicePayload) -> str:
    """Return what cannot be true of a payload, or an empty text."""
    if not abs(said.t) < _LATEST_S:
        return "impossible_time"
    if abs(said.p_kw) > _LARGEST_KW or abs(said.q_kvar) > _LARGEST_KW:
        return "impossible_power"
    if said.v_pu < 0.0 or said.v_pu > _HIGHEST_PU:
        return "impossible_voltage"
    return ""


class MqttDoor:
    """Listens to devices on a bus and publishes their readings as frames of telemetry."""

    def __init__(
        self, bus: Bus, clock: Clock, readings: DeviceReadings, *, period_s: float = 1.0
    ) -> None:
        """Make a door that publishes every `period_s` seconds; `start` opens it."""
        if period_s <= 0:
            raise BadInput(f"a period of {period_s} s")
        self._bus, self._clock, self.readings = bus, clock, readings
        self._period_ns = max(round(period_s * NS_PER_S), NS_PER_MS)
        self._due_ns = NEVER
        self._pacer = Pacer(clock, lambda: self._due_ns, self.tick)
        self._devices: Subscription | None = None

    async def start(self) -> None:
        """Open the door."""
        pattern = subjects.everything(subjects.Lane.DEVICES)
        self._devices = await self._bus.subscribe(pattern, self._received)
        self._pacer.start()

    async def stop(self) -> None:
        """Close the door, publishing what was collected."""
        if self._devices is not None:
            await self._devices.unsubscribe()
        await self._pacer.stop()
        await self.tick()

    async def tick(self) -> None:
        """Publish what was collected; call it at each step of a stepped clock."""
        self._due_ns = NEVER
        for path, frame in self.readings.frames():
            await self._bus.publish(subjects.telemetry(path), encode(frame))

    def _received(self, message: Message) -> None:
        reason = self.readings.take(message.subject, message.data, self._clock.now_ns())
        if reason:
            log.debug("device_refused", subject=message.subject, reason=reason)
        elif self._due_ns == NEVER:
            self._due_ns = pace_ns(self._clock) + self._period_ns
            self._pacer.nudge()
