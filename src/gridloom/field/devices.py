"""Remote-controlled switches as devices: they check an order, answer it, carry it out, and answer again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from gridloom.ioe.commands import CommandDesk, encode_ack

type Verify = Callable[[bytes], Command]
type Keep = Callable[[bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Station:
    """All remote switches of one cell: one desk, one address."""

    gateway: Gateway
    desk: CommandDesk


class Devices:
    """The receiving end of commands."""

    def __init__(
        self,
        switches: Switches,
        instruments: Instruments,
        gateways: list[Gateway],
        *,
        plant: Plant,
        outbox: Outbox,
        log: TruthLog,
        verify: Verify,
        keep: Keep | None = None,
    ) -> None:
        """Make one desk per cell.

        Args:
            switches: The grid's switches.
            instruments: Those of kind `switch` say which switches can be reached.
            gateways: Gateways of that kind.
            plant: Moves the switches.
            outbox: Takes the answers.
            log: Keeps what was received and done.
            verify: Opens an envelope, or raises if it is not genuine.
            keep: Stores the devices' memory before an order is carried out; a restart gives it to `restore`.
        """
        self._switches, self._plant, self._outbox, self._log = switches, plant, outbox, log
        self._keep = keep
        self._stations: dict[str, _Station] = {}
        targets: dict[str, set[str]] = {}
        for gateway in gateways:
            watched = instruments.element[gateway.rows]
            ids = {str(switches.id[row]) for row in watched[switches.is_remote[watched]]}
            targets.setdefault(gateway.path, set()).update(ids)
            desk = CommandDesk(CommandGuard(verify, targets[gateway.path]))
            self._stations.setdefault(gateway.path, _Station(gateway=gateway, desk=desk))

    def paths(self) -> tuple[str, ...]:
        """Return the cells in which something can be operated."""
        return tuple(self._stations)

    def gateway(self, path: str) -> Gateway | None:
        """Return the gateway that takes commands of a cell, None where nothing can be operated."""
        station = self._stations.get(path)
        return station.gateway if station is not None else None

    def take(self, path: str, envelope: bytes, now_ns: int) -> None:
        """Check one envelope at the device, answer it, and begin what it orders."""
        station = self._stations[path]
        answer, order = station.desk.take(envelope, now_ns)
        if order is None:
            self._log.command(now_ns, answer.key, path, "", answer.outcome, moved=False)
            self._answer(station, answer)
            return
        self._save()
        self._answer(station, answer)
        self._begin(station, order, now_ns)

    def save(self) -> bytes:
        """Return what all desks must remember."""
        return msgspec.json.encode({path: one.desk.save() for path, one in self._stations.items()})

    def restore(self, state: bytes) -> None:
        """Take over what `save` returned before a restart.

        Raises:
            Malformed: The bytes are damaged; call `forget_before` then.
        """
        try:
            desks = msgspec.json.decode(state, type=dict[str, bytes])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise Malformed(f"memory of the devices is damaged: {error}") from None
        for path, station in self._stations.items():
            if path in desks:
                station.desk.restore(desks[path])

    def forget_before(self, time_ns: int) -> None:
        """Refuse every order issued up to `time_ns`: what was carried out is not known."""
        for station in self._stations.values():
            station.desk.guard.forget_before(time_ns)

    def _save(self) -> None:
        if self._keep is not None:
            self._keep(self.save())

    def _begin(self, station: _Station, order: Command, now_ns: int) -> None:
        kind, target = order.action.kind, order.action.target
        row, close = self._switches.row(target), kind is ActionKind.CLOSE

        def done(movement: Movement, at_ns: int) -> None:
            stands = bool(self._plant.switchgear.closed[row]) == close
            note = "" if movement.succeeds else "the switch did not move"
            self._end(station, order, at_ns, note, succeeded=stands)

        movement = None
        if kind in {ActionKind.OPEN, ActionKind.CLOSE}:
            movement = self._plant.move(row, now_ns, close=close, then=done)
            note = "the switch is moving already"
        else:
            note = f"a switch cannot {kind}"
        moved = movement is not None
        self._log.command(now_ns, order.key, target, str(kind), "accepted", moved=moved)
        if not moved:
            self._end(station, order, now_ns, note, succeeded=False)

    def _end(
        self, station: _Station, order: Command, now_ns: int, note: str, *, succeeded: bool
    ) -> None:
        answer = station.desk.end(order.key, succeeded=succeeded, now_ns=now_ns, note=note)
        target, kind = order.action.target, str(order.action.kind)
        self._log.command(now_ns, order.key, target, kind, answer.outcome, moved=False)
        self._save()
        self._answer(station, answer)

    def _answer(self, station: _Station, answer: Acknowledgement) -> None:
        gateway = station.gateway
        subject, payload = subjects.ack(gateway.path), encode_ack(answer)
        self._outbox.post(subject, payload, gateway.name, gateway.link, answer.at_ns)
