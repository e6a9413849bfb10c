"""What a running platform counts about itself."""

from __future__ import annotations

import resource
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

_WINDOW_S: Final = 10.0
_KEPT: Final = 100_000


@dataclass(slots=True)
class Percentiles:
    """The middle and the tail of many durations [ms]."""

    values_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def add(self, value_ms: float) -> None:
        """Take one duration."""
        self.values_ms.append(value_ms)

    def at(self, percent: float) -> float:
        """Return a percentile, NaN without any duration."""
        return (
            float(np.percentile(list(self.values_ms), percent)) if self.values_ms else float("nan")
        )


class Rate:
    """Events per wall second over the last ten seconds."""

    def __init__(self) -> None:
        """Start without events."""
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, total: int) -> float:
        """Take the running total and return the rate [1/s]."""
        now_s = time.monotonic()
        self._seen.append((now_s, total))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        first_s, first = self._seen[0]
        return (total - first) / (now_s - first_s) if now_s > first_s else 0.0


@dataclass(slots=True)
class RuntimeFigures:
    """Counts and rates of one platform process."""

    estimates: int = 0
    estimate_ms: Percentiles = field(default_factory=Percentiles)
    event_ms: Percentiles = field(default_factory=Percentiles)
    """From the event path taking the deciding frame off the wire to its record: the software's own share."""
    preparation_ms: Percentiles = field(default_factory=Percentiles)
    estimates_per_s: float = 0.0
    readings_per_s: float = 0.0
    last_frame_s: float = 0.0
    """Machine time of the last frame [s]."""
    event_restarts: int = 0

    @property
    def seconds_since_frame(self) -> float:
        """Wall time since the last frame [s]."""
        return time.monotonic() - self.last_frame_s


def peak_rss_mb() -> float:
    """Return the largest resident size of this process and of its largest child [MB]."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + children) / 1024
