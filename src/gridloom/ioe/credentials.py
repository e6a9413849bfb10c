"""Who a client is to the bus."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user of the bus."""

    user: str
    password: str = field(repr=False)
