"""When the shells of the lanes send again: a task on a running clock, a call per tick on a stepped one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog

from gridloom.core.errors import Unavailable
from gridloom.core.units import NS_PER_S

if TYPE_CHECKING:
    from gridloom.core.clock import Clock

log = structlog.get_logger(__name__)

_LONGEST_NAP_S: Final = 0.25


def pace_ns(clock: Clock) -> int:
    """Return the time that retries are paced by: wall time if there is one, else the grid's [ns]."""
    return clock.now_ns() if clock.is_deterministic else clock.wall_ns()


class Pacer:
    """Calls `tick` whenever something falls due; does nothing by itself on a stepped clock."""

    def __init__(
        self, clock: Clock, next_due_ns: Callable[[], int], tick: Callable[[], Awaitable[None]]
    ) -> None:
        """Make a pacer; `start` starts it."""
        self._clock, self._next_due_ns, self._tick = clock, next_due_ns, tick
        self._task: asyncio.Task[None] | None = None
        self._earlier = asyncio.Event()

    def start(self) -> None:
        """Start the task on a running clock."""
        if not self._clock.is_deterministic and self._task is None:
            self._task = asyncio.create_task(self._run())

    def nudge(self) -> None:
        """Say that something may now fall due earlier than before."""
        self._earlier.set()

    async def stop(self) -> None:
        """End the task."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            self._earlier.clear()
            nap_s = (self._next_due_ns() - pace_ns(self._clock)) / NS_PER_S
            if nap_s > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._earlier.wait(), min(nap_s, _LONGEST_NAP_S))
                continue
            try:
                await self._tick()
            except Unavailable as error:
                # What could not be sent stays in the queue and falls due again.
                log.warning("retry_not_sent", error=str(error))
