"""`gridloom estimate`: one state estimate from a file of readings."""

from __future__ import annotations


def estimate() -> int:
    """Estimate."""
    return 0
