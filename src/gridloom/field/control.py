"""Requests by which people and tests make things happen in the simulated world (`field.control`)."""

from __future__ import annotations

from typing import Literal

import msgspec

from gridloom.core.errors import Malformed

type Deed = Literal[
    "inject", "repair", "reset", "stick", "release", "cut_link", "mend_link", "operate", "status"
]


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One wish.

    `inject` and `repair` take a line, `stick`, `release` and `operate` (a hand on the drive) a switch, `cut_link` and
    `mend_link` a gateway; `status` takes nothing. `reset` repairs all lines and puts every switch back to its normal
    position at once: the next trial of a benchmark.
    """

    do: Deed
    target: str = ""
    fraction: float = 0.5
    """Place of the fault on the line."""
    resistance_ohm: float = 0.0
    """Of the fault."""
    repair_after_s: float = 0.0
    """Repair by itself after this long; 0 for never."""
    close: bool = False
    """For `operate`: which way."""


class ControlReply(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    ok: bool
    note: str = ""
    fault: str = ""
    """Id of the new fault."""
    at_ns: int = 0
    faults: int = 0
    """Faults since the start."""
    customers_interrupted: int = 0
    customers_restored: int = 0
    readings: int = 0
    """Rows of readings sent since the start."""
    messages_lost: int = 0
    """Messages that the links lost since the start."""


_DECODER = msgspec.json.Decoder(ControlRequest)
_ENCODER = msgspec.json.Encoder()


def decode_request(data: bytes) -> ControlRequest:
    """Return the request in JSON `data`, or raise `Malformed`."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Malformed(f"not a request to the field: {error}") from None


def encode_request(request: ControlRequest) -> bytes:
    """Return the JSON of a request."""
    return _ENCODER.encode(request)


def decode_reply(data: bytes) -> ControlReply:
    """Return the reply in JSON `data`, or raise `Malformed`."""
    try:
        return msgspec.json.decode(data, type=ControlReply)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Malformed(f"not a reply of the field: {error}") from None


def encode_reply(reply: ControlReply) -> bytes:
    """Return the JSON of a reply."""
    return _ENCODER.encode(reply)
