"""What kinds of evidence there are.

Real telemetry, late meters, habits and nodes without injection are all rows of one set; they differ in variance and
origin.
"""

from __future__ import annotations

from enum import IntEnum


class Quantity(IntEnum):
    """What a row measures."""

    VOLTAGE = 0
    """Magnitude at a node."""
    P_INJECTION = 1
    Q_INJECTION = 2
    P_FROM = 3
    """Flow into a branch at its from side."""
    Q_FROM = 4
    P_TO = 5
    Q_TO = 6
    I_FROM = 7
    """Magnitude of the current into a branch at its from side."""
    I_TO = 8


NAMES: dict[Quantity, str] = {
    Quantity.VOLTAGE: "v_pu",
    Quantity.P_INJECTION: "p_mw",
    Quantity.Q_INJECTION: "q_mvar",
    Quantity.P_FROM: "p_mw",
    Quantity.Q_FROM: "q_mvar",
    Quantity.P_TO: "p_mw",
    Quantity.Q_TO: "q_mvar",
    Quantity.I_FROM: "i_pu",
    Quantity.I_TO: "i_pu",
}
"""What people call each."""


class Origin(IntEnum):
    """Where a row comes from."""

    NONE = 0
    """It says nothing in this cycle."""
    TELEMETRY = 1
    METER = 2
    """Meters' own readings, late or not; every element behind the row has one."""
    PSEUDO = 3
    """At least one element behind the row is taken at its habit."""
    ZERO = 4
    """A node where nothing is connected."""
