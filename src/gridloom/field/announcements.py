"""From what happened to event frames: who sends it, on which subject, over which link."""

from __future__ import annotations

import numpy as np

from gridloom.field.events import Events
from gridloom.field.indicators import Indicators
from gridloom.field.outbox import Outbox
from gridloom.field.protection import RelayState
from gridloom.field.telemetry import Gateway, Telemetry
from gridloom.grid.instruments import Instruments
from gridloom.grid.tables import Rows
from gridloom.ioe import subjects
from gridloom.ioe.frames import FrameFlag, FrameKind


class Announcements:
    """The `Announcer` of a world: turns changes into frames on the event lane."""

    def __init__(
        self,
        instruments: Instruments,
        telemetry: Telemetry,
        indicators: Indicators,
        events: Events,
        outbox: Outbox,
    ) -> None:
        """Find for each kind which instrument watches which switch and which gateway sends it."""
        self._events, self._outbox, self._indicators = events, outbox, indicators
        self._switch = _by_switch(instruments, "switch")
        self._relay = _by_switch(instruments, "relay")
        self._gateway: dict[int, Gateway] = {}
        for kind in ("switch", "relay", "indicator"):
            for gateway in telemetry.of_kind(kind):
                self._gateway.update(dict.fromkeys(gateway.rows.tolist(), gateway))

    def switch(self, row: int, now_ns: int, *, closed: bool) -> None:
        """Send a switch's new position, where somebody watches it."""
        instrument = self._switch.get(row)
        if instrument is not None:
            self._event(FrameKind.SWITCH, instrument, float(closed), now_ns)

    def relay(self, switch: int, state: RelayState, now_ns: int) -> None:
        """Send a relay's new state."""
        instrument = self._relay.get(switch)
        if instrument is not None:
            self._event(FrameKind.RELAY, instrument, float(state), now_ns)

    def indicators(self, rows: Rows, now_ns: int, *, is_event: bool) -> None:
        """Send all flags of every gateway that has one of `rows`: whole, so that nothing more is to come."""
        gateways = {self._gateway[row].name: self._gateway[row] for row in rows.tolist()}
        for gateway in gateways.values():
            flags = self._indicators.flags_of(gateway.rows).astype(np.float32)[None, :]
            lane = "event" if is_event else "telemetry"
            frame = self._outbox.frame(
                lane,
                FrameKind.INDICATOR,
                gateway.name,
                now_ns,
                gateway.rows,
                flags,
                int(FrameFlag.COMPLETE),
            )
            if is_event:
                self._events.send(frame, gateway, now_ns)
            else:
                self._outbox.post_frame(subjects.telemetry(gateway.path), frame, gateway.link)

    def _event(self, kind: FrameKind, instrument: int, value: float, now_ns: int) -> None:
        gateway = self._gateway[instrument]
        index, values = np.array([instrument]), np.array([[value]], dtype=np.float32)
        frame = self._outbox.frame("event", kind, gateway.name, now_ns, index, values)
        self._events.send(frame, gateway, now_ns)


def _by_switch(instruments: Instruments, kind: str) -> dict[int, int]:
    """Return the instrument that watches each switch."""
    rows = np.flatnonzero((instruments.kind == kind) & (instruments.element_kind == "switch"))
    return dict(zip(instruments.element[rows].tolist(), rows.tolist(), strict=True))
