"""What time it is, as an argument: real, stepped or accelerated.

`now_ns` is the grid's time: UTC nanoseconds since 1970, the time that readings, plans and the journal carry.
`wall_ns` is this machine's monotonic clock, the only source of latency figures; a stepped clock has none.
"""

from __future__ import annotations

import time
from typing import Protocol

from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S


class Clock(Protocol):
    """A source of time."""

    @property
    def is_deterministic(self) -> bool:
        """Whether the same run gives the same times: then no wall time may be journaled."""
        ...

    @property
    def speed(self) -> float:
        """Grid seconds per wall second; 1 for a stepped clock, which has no wall time."""
        ...

    def now_ns(self) -> int:
        """Return the grid's time [ns since 1970 UTC]."""
        ...

    def wall_ns(self) -> int:
        """Return a monotonic machine time [ns]; always 0 on a stepped clock."""
        ...


class RealClock:
    """Grid time runs at wall speed, from now or from a given start."""

    is_deterministic = False
    speed = 1.0

    def __init__(self, start_ns: int | None = None) -> None:
        """Start at `start_ns` [ns since 1970 UTC], or at the machine's own time."""
        self._wall0_ns = time.monotonic_ns()
        self._start_ns = time.time_ns() if start_ns is None else start_ns

    def now_ns(self) -> int:
        """Return the grid's time [ns since 1970 UTC]."""
        return self._start_ns + time.monotonic_ns() - self._wall0_ns

    def wall_ns(self) -> int:
        """Return the machine's monotonic time [ns]."""
        return time.monotonic_ns()


class AcceleratedClock:
    """Grid time runs faster than wall time and can be slowed to 1x around an event.

    Changing the speed never makes time jump: the clock is re-anchored at the moment of the change.
    """

    is_deterministic = False

    def __init__(self, start_ns: int, speed: float) -> None:
        """Start at `start_ns` and run `speed` grid seconds a wall second (at least 1)."""
        self._wall0_ns, self._anchor_ns = time.monotonic_ns(), start_ns
        self._speed = self._fast = _checked_speed(speed)

    @property
    def speed(self) -> float:
        """Grid seconds per wall second at the moment."""
        return self._speed

    def now_ns(self) -> int:
        """Return the grid's time [ns since 1970 UTC]."""
        return self._anchor_ns + round((time.monotonic_ns() - self._wall0_ns) * self._speed)

    def wall_ns(self) -> int:
        """Return the machine's monotonic time [ns]."""
        return time.monotonic_ns()

    def slow_down(self) -> None:
        """Run at 1x, for as long as an event lasts."""
        self._set(1.0)

    def speed_up(self) -> None:
        """Return to the speed that was asked for at the start."""
        self._set(self._fast)

    def _set(self, speed: float) -> None:
        self._anchor_ns, self._wall0_ns = self.now_ns(), time.monotonic_ns()
        self._speed = speed


class FollowedClock:
    """Grid time as another process runs it: anchored to what that process said last.

    A platform follows the clock of its field, so that an accelerated field needs no second opinion.
    """

    is_deterministic = False

    def __init__(self, now_ns: int, speed: float = 1.0) -> None:
        """Start at `now_ns`, running `speed` grid seconds a wall second."""
        self._wall0_ns, self._anchor_ns, self._speed = (
            time.monotonic_ns(),
            now_ns,
            _checked_speed(speed),
        )

    @property
    def speed(self) -> float:
        """Grid seconds per wall second at the moment."""
        return self._speed

    def now_ns(self) -> int:
        """Return the grid's time [ns since 1970 UTC]."""
        return self._anchor_ns + round((time.monotonic_ns() - self._wall0_ns) * self._speed)

    def wall_ns(self) -> int:
        """Return the machine's monotonic time [ns]."""
        return time.monotonic_ns()

    def follow(self, now_ns: int, speed: float) -> None:
        """Take over the time and speed that the other process has just announced."""
        self._wall0_ns, self._anchor_ns, self._speed = (
            time.monotonic_ns(),
            now_ns,
            _checked_speed(speed),
        )


class SteppedClock:
    """Time that moves only when it is told to: the same run gives the same bytes."""

    is_deterministic = True
    speed = 1.0

    def __init__(self, start_ns: int) -> None:
        """Stand still at `start_ns` [ns since 1970 UTC]."""
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the grid's time [ns since 1970 UTC]."""
        return self._now_ns

    def wall_ns(self) -> int:
        """Return 0: a stepped run has no wall time."""
        return 0

    def advance_to(self, time_ns: int) -> None:
        """Move to `time_ns`, which may not lie in the past."""
        if time_ns < self._now_ns:
            late_s = (self._now_ns - time_ns) / NS_PER_S
            message = f"a stepped clock cannot go back by {late_s} s"
            raise BadInput(message)
        self._now_ns = time_ns


def _checked_speed(speed: float) -> float:
    if not 1.0 <= speed <= 1e6:
        message = f"speed is {speed}; give a factor from 1 to 1,000,000"
        raise BadInput(message)
    return speed
