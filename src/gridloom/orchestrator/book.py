"""The capacity book: one device, many services, no double promise.

Each device has a range of injection [low, high]. The promises that hold at one moment add up; neither their
positive nor their negative sum may leave the range, so that all of them can be kept at the same time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gridloom.core.errors import BadInput, Refused, UnknownId

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gridloom.core.plans import Promise

_TOLERANCE_MW = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """By how much a device would owe more than it has."""

    device: str
    promised_mw: float
    limit_mw: float
    at_ns: int
    """A moment at which it does not add up."""

    @property
    def excess_mw(self) -> float:
        """How much is missing [MW]."""
        return abs(self.promised_mw) - abs(self.limit_mw)


class CapacityBook:
    """What each device (class) has promised to whom and when."""

    def __init__(self) -> None:
        """Start empty."""
        self._range_mw: dict[str, tuple[float, float]] = {}
        self._promises: dict[str, list[Promise]] = {}

    def register(self, device: str, low_mw: float, high_mw: float) -> None:
        """Give a device its range of injection; a range that shrinks keeps the promises already made.

        Raises:
            BadInput: If the range is empty or not finite.
        """
        if not (math.isfinite(low_mw) and math.isfinite(high_mw) and low_mw <= high_mw):
            raise BadInput(f"device {device!r}: range {low_mw} to {high_mw} MW is not a range")
        self._range_mw[device] = (low_mw, high_mw)
        self._promises.setdefault(device, [])

    def shortfall(self, promises: Iterable[Promise]) -> Shortfall | None:
        """Return the worst double promise that accepting all of `promises` would make, if any.

        Raises:
            UnknownId: If a device is not registered.
            BadInput: If a promise has no duration or no finite power.
        """
        added: dict[str, list[Promise]] = {}
        for promise in promises:
            self._check(promise)
            added.setdefault(promise.device, []).append(promise)
        found = [
            short
            for device, new in added.items()
            if (short := self._worst(device, [*self._promises[device], *new], new)) is not None
        ]
        return max(found, key=lambda short: short.excess_mw, default=None)

    def add(self, promises: Sequence[Promise]) -> None:
        """Enter promises, all or none.

        Raises:
            Refused: If they would promise something twice; names device, power and limit.
        """
        short = self.shortfall(promises)
        if short is not None:
            raise Refused(
                f"device {short.device!r} would owe {short.promised_mw:g} MW, it has {short.limit_mw:g} MW"
            )
        for promise in promises:
            self._promises[promise.device].append(promise)

    def withdraw(self, plan_id: str) -> tuple[Promise, ...]:
        """Take back every promise of a plan and return them."""
        gone: list[Promise] = []
        for device, held in self._promises.items():
            gone.extend(promise for promise in held if promise.plan_id == plan_id)
            self._promises[device] = [promise for promise in held if promise.plan_id != plan_id]
        return tuple(gone)

    def forget_before(self, time_ns: int) -> None:
        """Drop promises that ended at or before `time_ns`."""
        for device, held in self._promises.items():
            self._promises[device] = [promise for promise in held if promise.end_ns > time_ns]

    def promised(self, device: str, at_ns: int) -> tuple[Promise, ...]:
        """Return what a device owes at one moment."""
        if device not in self._promises:
            raise UnknownId("device", device, self._promises)
        held = self._promises[device]
        return tuple(promise for promise in held if promise.start_ns <= at_ns < promise.end_ns)

    def _check(self, promise: Promise) -> None:
        if promise.device not in self._range_mw:
            raise UnknownId("device", promise.device, self._range_mw)
        if promise.end_ns <= promise.start_ns or not math.isfinite(promise.p_mw):
            raise BadInput(
                f"promise of {promise.device!r} to {promise.service!r}: {promise.p_mw} MW "
                f"from {promise.start_ns} to {promise.end_ns} ns is empty"
            )

    def _worst(self, device: str, held: list[Promise], new: list[Promise]) -> Shortfall | None:
        """Look at the starts of all promises: between them nothing is added."""
        low_mw, high_mw = self._range_mw[device]
        begin, end = min(p.start_ns for p in new), max(p.end_ns for p in new)
        worst: Shortfall | None = None
        for at_ns in {max(p.start_ns, begin) for p in held if p.start_ns < end}:
            due = [p.p_mw for p in held if p.start_ns <= at_ns < p.end_ns]
            sums = (
                (math.fsum(p for p in due if p > 0), high_mw),
                (math.fsum(p for p in due if p < 0), low_mw),
            )
            for promised_mw, limit_mw in sums:
                over = (
                    promised_mw - max(limit_mw, 0)
                    if promised_mw > 0
                    else min(limit_mw, 0) - promised_mw
                )
                if over > _TOLERANCE_MW and (worst is None or over > worst.excess_mw):
                    worst = Shortfall(
                        device=device, promised_mw=promised_mw, limit_mw=limit_mw, at_ns=at_ns
                    )
        return worst
