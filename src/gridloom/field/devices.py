"""Remote-controlled switches as devices: they check an order, answer it, carry it out, and answer again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from gridloom.core.errors import Malformed
from gridloom.core.plans import Acknowledgement, ActionKind, Command
from gridloom.edge import CommandGuard
from gridloom.field.outbox import Outbox
from gridloom.field.plant import Plant
from gridloom.field.switchgear import Movement
from gridloom.field.telemetry import Gateway
from gridloom.field.truth_log import TruthLog
from gridloom.grid.instruments import Instruments
from gridloom.grid.model import Switches
from gridloom.ioe import subjects

type Verify = Callable[[bytes], Command]
type Keep = Callable[[bytes], None]


@dataclass(slots=True, kw_only=True)
class _Station:
    """All switch gateways of one cell: one guard, one address."""

    gateway: Gateway
    guard: CommandGuard[Command]


class Devices:
    """The receiving end of commands."""

    def __init__(
        self,
        switches: Switches,
        instruments: Instruments,
        gateways: list[Gateway],
        plant: Plant,
        outbox: Outbox,
        log: TruthLog,
        verify: Verify,
        keep: Keep | None = None,
    ) -> None:
        """Make one guard per cell.

        Args:
            switches: The grid's switches.
            instruments: Those of kind `switch` say which switches can be reached.
            gateways: Gateways of that kind.
            plant: Moves the switches.
            outbox: Takes the answers.
            log: Keeps what was received and done.
            verify: Opens an envelope, or raises if it is not genuine.
            keep: Stores the guards' memory before an order is carried out; a restart gives it to `restore`.
        """
        self._switches, self._plant, self._outbox, self._log = switches, plant, outbox, log
        self._verify, self._keep = verify, keep
        self._final: dict[str, str] = {}
        self._stations: dict[str, _Station] = {}
        targets: dict[str, set[str]] = {}
        for gateway in gateways:
            watched = instruments.element[gateway.rows]
            ids = {str(switches.id[row]) for row in watched[switches.is_remote[watched]]}
            targets.setdefault(gateway.path, set()).update(ids)
            guard = CommandGuard(verify, targets[gateway.path])
            self._stations.setdefault(gateway.path, _Station(gateway=gateway, guard=guard))

    def paths(self) -> tuple[str, ...]:
        """Return the cells in which something can be operated."""
        return tuple(self._stations)

    def gateway(self, path: str) -> Gateway | None:
        """Return the gateway that takes commands of a cell, None where nothing can be operated."""
        station = self._stations.get(path)
        return station.gateway if station is not None else None

    def take(self, path: str, envelope: bytes, now_ns: int) -> None:
        """Check one envelope at the device and begin what it orders."""
        station = self._stations[path]
        decision = station.guard.check(envelope, now_ns)
        order = decision.order
        if decision.is_accepted and order is not None:
            if self._keep is not None:
                self._keep(self.save())
            self._begin(station, order, now_ns)
            return
        note = decision.note
        if decision.outcome == "duplicate":
            note = self._final.get(decision.key, "still under way")
        target, action = ("", "") if order is None else (order.action.target, order.action.kind)
        self._log.command(now_ns, decision.key, target, str(action), decision.outcome, moved=False)
        self._answer(station, decision.key, decision.outcome, now_ns, note)

    def save(self) -> bytes:
        """Return what all guards must remember."""
        guards = {path: one.guard.save().decode() for path, one in self._stations.items()}
        return json.dumps(guards, separators=(",", ":")).encode()

    def restore(self, state: bytes) -> None:
        """Take over what `save` returned before a restart.

        Raises:
            Malformed: The bytes are damaged; call `forget_before` then.
        """
        try:
            guards = msgspec.json.decode(state, type=dict[str, str])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise Malformed(f"memory of the devices is damaged: {error}") from None
        for path, station in self._stations.items():
            if path in guards:
                station.guard.restore(guards[path].encode())

    def forget_before(self, time_ns: int) -> None:
        """Refuse every order issued up to `time_ns`: what was carried out is not known."""
        for station in self._stations.values():
            station.guard.forget_before(time_ns)

    def _begin(self, station: _Station, order: Command, now_ns: int) -> None:
        kind, target = order.action.kind, order.action.target
        if kind not in {ActionKind.OPEN, ActionKind.CLOSE}:
            self._end(station, order, "failed", f"a switch cannot {kind}", now_ns)
            return
        row, close = self._switches.row(target), kind is ActionKind.CLOSE

        def done(movement: Movement, at_ns: int) -> None:
            stands = bool(self._plant.switchgear.closed[row]) == close
            note = "" if movement.succeeds else "the switch did not move"
            self._end(station, order, "done" if stands else "failed", note, at_ns)

        movement = self._plant.move(row, now_ns, close=close, then=done)
        self._log.command(
            now_ns, order.key, target, str(kind), "accepted", moved=movement is not None
        )
        self._answer(station, order.key, "accepted", now_ns, "")
        if movement is None:
            self._end(station, order, "failed", "the switch is moving already", now_ns)

    def _end(
        self,
        station: _Station,
        order: Command,
        outcome: Literal["done", "failed"],
        note: str,
        now_ns: int,
    ) -> None:
        self._final[order.key] = outcome
        self._log.command(
            now_ns, order.key, order.action.target, str(order.action.kind), outcome, moved=False
        )
        self._answer(station, order.key, outcome, now_ns, note)

    def _answer(
        self,
        station: _Station,
        key: str,
        outcome: Literal[
            "accepted", "done", "failed", "duplicate", "expired", "forged", "stale", "unknown"
        ],
        now_ns: int,
        note: str,
    ) -> None:
        answer = Acknowledgement(key=key, outcome=outcome, at_ns=now_ns, note=note)
        gateway = station.gateway
        payload = msgspec.msgpack.encode(answer)
        self._outbox.post(subjects.ack(gateway.path), payload, gateway.name, gateway.link, now_ns)
