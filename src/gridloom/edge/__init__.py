"""What runs inside a device: the guard over its commands, and later its sentinel and local control laws.

Imports `core`, numpy and numba alone; keys and cryptography come in as arguments, so that a meter's firmware
can bring its own.
"""

from gridloom.edge.guard import CommandGuard, Decision, GuardLimits

__all__ = ["CommandGuard", "Decision", "GuardLimits"]
