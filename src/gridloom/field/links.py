"""How long a message takes from a device to the bus, and how often it never arrives, per technology.

The figures are assumptions of the size found in the field, not guarantees of any standard; `source` says where
the size comes from. A different network is a different `LinkProfile`, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import numpy as np

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProfile:
    """One technology: a fixed delay, a log-normal part on top, and independent losses."""

    name: str
    floor_ms: float
    """No message is faster [ms]."""
    median_ms: float
    """Half of the messages are faster [ms]."""
    p99_ms: float
    """99 % of the messages that arrive are faster [ms]."""
    loss: float
    """Share of messages that never arrive."""
    source: str

    def __post_init__(self) -> None:
        """Check that the delays rise and that the loss is a share."""
        if not 0.0 <= self.floor_ms < self.median_ms < self.p99_ms:
            message = (
                f"link {self.name}: delays must rise, got floor {self.floor_ms}, "
                f"median {self.median_ms}, p99 {self.p99_ms} ms"
            )
            raise BadInput(message)
        if not 0.0 <= self.loss < 1.0:
            message = f"link {self.name}: loss is {self.loss}; give a share from 0 to below 1"
            raise BadInput(message)

    def delay_ns(self, rng: np.random.Generator) -> int:
        """Return one delay [ns] of a message that arrives."""
        scale_ms = self.median_ms - self.floor_ms
        sigma = log((self.p99_ms - self.floor_ms) / scale_ms) / _Z99
        delay_ms = self.floor_ms + scale_ms * exp(sigma * rng.standard_normal())
        return round(delay_ms * NS_PER_MS)

    def carry_ns(self, rng: np.random.Generator) -> int | None:
        """Return the delay of one message [ns], or None where it is lost.

        Draws the same number of random values in both cases, so one loss does not reorder the rest of a run.
        """
        lost = rng.random() < self.loss
        delay_ns = self.delay_ns(rng)
        return None if lost else delay_ns


_Z99 = 2.3263478740408408
"""Standard normal quantile of 0.99."""

FIBRE = LinkProfile(
    name="fibre",
    floor_ms=3.0,
    median_ms=4.0,
    p99_ms=6.0,
    loss=1e-6,
    source="IEC 61850-5 transfer-time class P1 asks 3 ms; one gateway hop added (assumption)",
)
RTU = LinkProfile(
    name="rtu",
    floor_ms=50.0,
    median_ms=100.0,
    p99_ms=200.0,
    loss=1e-4,
    source="telecontrol over IEC 60870-5-104 or DNP3, 50-200 ms commonly stated (assumption)",
)
LTE_M = LinkProfile(
    name="lte_m",
    floor_ms=50.0,
    median_ms=120.0,
    p99_ms=600.0,
    loss=5e-3,
    source="cellular IoT in connected mode, around 100 ms commonly stated (assumption)",
)
PLC = LinkProfile(
    name="plc",
    floor_ms=500.0,
    median_ms=2000.0,
    p99_ms=12000.0,
    loss=2e-2,
    source="meters over narrow-band power line carrier: seconds, percents lost (assumption)",
)
LINKS: dict[str, LinkProfile] = {link.name: link for link in (FIBRE, RTU, LTE_M, PLC)}
"""Every technology by name."""

LINK_OF_KIND: dict[str, str] = {
    "meter": "plc",
    "branch": "rtu",
    "bus": "rtu",
    "switch": "rtu",
    "indicator": "rtu",
    "relay": "fibre",
    "pmu": "fibre",
}
"""Technology behind each kind of instrument, unless the options say otherwise.

Indicators are wired to the remote unit of their substation; set `lte_m` for battery-powered ones on a pole.
"""
