"""The simulated real world, in its own process, speaking only over the bus.

A truth grid that differs from its documents, a year of profiles, meters and remote units with errors, protection,
switches that take their time, faults, links that delay and lose. `World` is the whole of it without input or output;
`Shell` joins a world to a bus; `serve` runs both against a clock. The platform never imports this package.
"""

from gridloom.field.control import (
    ControlReply,
    ControlRequest,
    decode_reply,
    encode_request,
)
from gridloom.field.fault_currents import FaultPlace
from gridloom.field.links import LINKS, LinkProfile
from gridloom.field.options import FieldOptions, PlannedFault
from gridloom.field.outbox import Emission
from gridloom.field.protection import RelaySettings, RelayState
from gridloom.field.service import ServeOptions, serve
from gridloom.field.shell import FIELD_SPEED, Shell, SpeedChange
from gridloom.field.telemetry import TelemetrySettings
from gridloom.field.truth import Tolerances, true_grid
from gridloom.field.world import World

__all__ = [
    "FIELD_SPEED",
    "LINKS",
    "ControlReply",
    "ControlRequest",
    "Emission",
    "FaultPlace",
    "FieldOptions",
    "LinkProfile",
    "PlannedFault",
    "RelaySettings",
    "RelayState",
    "ServeOptions",
    "Shell",
    "SpeedChange",
    "TelemetrySettings",
    "Tolerances",
    "World",
    "decode_reply",
    "encode_request",
    "serve",
    "true_grid",
]
