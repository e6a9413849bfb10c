"""Where messages go: the lane first, then the cell's path, because wildcards match tails.

    telemetry.<cell path>   frames; the last value wins, a lost one is replaced by the next
    event.<cell path>       frames of faults, trips and positions; at least once, acknowledged end to end
    receipt.<cell path>     the receiver's acknowledgement of one event
    command.<cell path>     signed orders to devices
    ack.<cell path>         what devices answered
    ledger.<cell path>      money and energy; exactly-once effect
    devices.<cell path>.<id>  what MQTT devices publish under devices/<cell>/<id>
    field.birth, field.control, platform.<...>   requests

A token is made of letters, digits, `_` and `-`; any other text travels percent-encoded.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote

from gridloom.core.errors import BadInput

FIELD_BIRTH: Final = "field.birth"
FIELD_CONTROL: Final = "field.control"
PLATFORM: Final = "platform"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+")
_PATH: Final = re.compile(r"[A-Za-z0-9_%-]+(\.[A-Za-z0-9_%-]+)*")


class Lane(StrEnum):
    """The kinds of traffic; each has its own promise."""

    TELEMETRY = "telemetry"
    EVENT = "event"
    RECEIPT = "receipt"
    COMMAND = "command"
    ACK = "ack"
    LEDGER = "ledger"
    DEVICES = "devices"


RECORDED: Final = (Lane.EVENT, Lane.COMMAND, Lane.ACK)
"""Lanes that JetStream keeps a record of."""


def subject(lane: Lane, cell_path: str) -> str:
    """Return the subject of `lane` in the cell at `cell_path` (`area.substation.feeder`).

    Raises:
        BadInput: The path has an empty token, a wildcard or a character that a subject cannot carry.
    """
    if not _PATH.fullmatch(cell_path):
        raise BadInput(f"cell path {cell_path!r} is not dot-separated tokens of A-Z a-z 0-9 _ -")
    return f"{lane}.{cell_path}"


def telemetry(cell_path: str) -> str:
    """Return the subject for readings of a cell."""
    return subject(Lane.TELEMETRY, cell_path)


def event(cell_path: str) -> str:
    """Return the subject for events of a cell."""
    return subject(Lane.EVENT, cell_path)


def receipt(cell_path: str) -> str:
    """Return the subject for receipts of events of a cell."""
    return subject(Lane.RECEIPT, cell_path)


def command(cell_path: str) -> str:
    """Return the subject for orders to devices of a cell."""
    return subject(Lane.COMMAND, cell_path)


def ack(cell_path: str) -> str:
    """Return the subject for the answers of devices of a cell."""
    return subject(Lane.ACK, cell_path)


def ledger(cell_path: str) -> str:
    """Return the subject for bookings of a cell."""
    return subject(Lane.LEDGER, cell_path)


def everything(lane: Lane) -> str:
    """Return the pattern that matches all cells of a lane."""
    return f"{lane}.>"


def split(text: str) -> tuple[str, str]:
    """Return the lane and the cell path of a subject."""
    lane, _, path = text.partition(".")
    return lane, path


def token(text: str) -> str:
    """Return `text` as one token, percent-encoding what a token cannot carry."""
    if _TOKEN.fullmatch(text):
        return text
    if not text:
        raise BadInput("an empty text cannot be a token of a subject")
    return quote(text, safe="").replace(".", "%2E").replace("~", "%7E")


def from_token(text: str) -> str:
    """Return the text that `token` made a token of."""
    return unquote(text)


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` (`*` is one token, `>` is one or more at the end) covers the subject."""
    wanted, given = pattern.split("."), text.split(".")
    for position, want in enumerate(wanted):
        if want == ">" and position == len(wanted) - 1:
            return len(given) > position
        if position >= len(given) or want not in ("*", given[position]):
            return False
    return len(wanted) == len(given)
