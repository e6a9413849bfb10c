"""Constants and conversions between the units at the rim and those inside.

Names carry their unit (`_mw`, `_kv`, `_s`); money is an integer of micro-euro, market energy an integer of Wh.
"""

from __future__ import annotations

from typing import Final

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
SECONDS_PER_HOUR: Final = 3600
KW_PER_MW: Final = 1000.0
BASE_MVA: Final = 1.0
"""Base power of every per-unit system inside Gridloom [MVA]."""
SQRT3: Final = 3.0**0.5
MICRO_EUR_PER_EUR: Final = 1_000_000


def ns_from_s(seconds: float) -> int:
    """Return whole nanoseconds for `seconds`."""
    return round(seconds * NS_PER_S)


def s_from_ns(nanoseconds: int) -> float:
    """Return seconds for whole `nanoseconds`."""
    return nanoseconds / NS_PER_S
