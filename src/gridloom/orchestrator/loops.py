"""A runtime on a running clock: one task a rhythm, heavy work in threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gridloom.orchestrator.runtime import Runtime

_DRAIN_EVERY_S: Final = 0.02
_LOOK_EVERY_S: Final = 0.05
_WATCH_EVERY_S: Final = 0.5
_MAINTAIN_EVERY_S: Final = 600.0


class Threads:
    """Heavy work of one kind runs in one thread, so that what is not re-entrant never meets itself."""

    def __init__(self) -> None:
        """Start without threads."""
        self._pools: dict[str, ThreadPoolExecutor] = {}

    async def __call__[**P, T](
        self, lane: str, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` in the thread of `lane` and return what it returns."""
        if lane not in self._pools:
            self._pools[lane] = ThreadPoolExecutor(1, lane)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pools[lane], partial(work, *args, **kwargs))

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        for pool in self._pools.values():
            pool.shutdown()


async def run(runtime: Runtime, stop: asyncio.Event, *, estimate_period_s: float = 1.0) -> None:
    """Run until `stop` is set, until the field has a new birth, or until a part fails for good.

    Args:
        runtime: The platform on its bus.
        stop: Ends the run.
        estimate_period_s: Wall time between two estimates [s]; whatever the clock's speed, so that an accelerated
            run makes at most one a wall second.
    """
    await runtime.start()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_estimate(runtime, estimate_period_s), name="estimate"),
            group.create_task(_prepare(runtime), name="prepare"),
            group.create_task(_drain(runtime), name="drain"),
            group.create_task(_look_after(runtime), name="look after"),
        ]
        while not stop.is_set() and not runtime.is_outdated:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _WATCH_EVERY_S)
        for task in tasks:
            task.cancel()
    await runtime.close()


async def _estimate(runtime: Runtime, period_s: float) -> None:
    next_s = time.monotonic()
    while True:
        await runtime.estimate()
        now_s = time.monotonic()
        # A late estimate shifts the next ones; it never makes them come in a burst.
        next_s = max(next_s + period_s, now_s)
        runtime.figures.estimates_per_s = 1.0 / max(
            period_s, runtime.figures.estimate_ms.at(50) / 1e3
        )
        await asyncio.sleep(next_s - now_s)


async def _prepare(runtime: Runtime) -> None:
    while True:
        await runtime.replan_if_due()
        await runtime.prepare_if_due()
        await asyncio.sleep(_LOOK_EVERY_S)


async def _drain(runtime: Runtime) -> None:
    while True:
        runtime.drain()
        await asyncio.sleep(_DRAIN_EVERY_S)


async def _look_after(runtime: Runtime) -> None:
    maintained_s, history = time.monotonic(), runtime.platform.history
    while True:
        await asyncio.sleep(_WATCH_EVERY_S)
        runtime.watch()
        if history is not None and time.monotonic() - maintained_s > _MAINTAIN_EVERY_S:
            maintained_s = time.monotonic()
            await runtime.heavy("history", history.maintain, runtime.platform.clock.now_ns())
