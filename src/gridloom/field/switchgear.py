"""Switches and breakers: where they stand, how long they move, and that some do not move at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gridloom.core.units import NS_PER_MS
from gridloom.grid.model import Switches
from gridloom.grid.tables import Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingTimes:
    """Range of times from order to end of travel [ms], uniform in between.

    Sizes are those of makers' data sheets: a spring-charged breaker opens in 40-80 ms and closes in 60-100 ms, a
    motor drive on a load-break switch takes 0.5-7 s (assumptions).
    """

    open_ms: tuple[float, float]
    close_ms: tuple[float, float]


BREAKER_TIMES = OperatingTimes(open_ms=(40.0, 80.0), close_ms=(60.0, 100.0))
MOTOR_TIMES = OperatingTimes(open_ms=(500.0, 7000.0), close_ms=(500.0, 7000.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One travel of one switch, decided when it begins."""

    switch: int
    """Row in the grid's switches."""
    close: bool
    begin_ns: int
    end_ns: int
    succeeds: bool


class Switchgear:
    """The positions of all switches and the travels under way."""

    def __init__(
        self, switches: Switches, rng: np.random.Generator, *, failure_probability: float = 0.0
    ) -> None:
        """Start in the grid's normal positions.

        Args:
            switches: The grid's switches.
            rng: Draws travel times and failures.
            failure_probability: Chance that an order leads to no movement, per order.
        """
        self._switches, self._rng = switches, rng
        self._failure_probability = failure_probability
        self.closed: Flags = np.array(switches.closed & switches.in_service)
        self._stuck: set[int] = set()
        self._moving: dict[int, Movement] = {}

    def is_breaker(self, switch: int) -> bool:
        """Return whether the switch in row `switch` can break fault current."""
        return bool(self._switches.kind[switch] == "breaker")

    def is_moving(self, switch: int) -> bool:
        """Return whether a travel is under way."""
        return switch in self._moving

    @property
    def is_any_moving(self) -> bool:
        """Whether any travel is under way."""
        return bool(self._moving)

    def make_stick(self, switch: int) -> None:
        """From now on no order moves this switch (a planted failure)."""
        self._stuck.add(switch)

    def release(self, switch: int) -> None:
        """Take a planted failure away."""
        self._stuck.discard(switch)

    def begin(self, switch: int, now_ns: int, *, close: bool) -> Movement | None:
        """Start a travel; None where the switch already travels."""
        if switch in self._moving:
            return None
        times = BREAKER_TIMES if self.is_breaker(switch) else MOTOR_TIMES
        low, high = times.close_ms if close else times.open_ms
        took_ms = self._rng.uniform(low, high)
        fails = bool(self._rng.random() < self._failure_probability) or switch in self._stuck
        movement = Movement(
            switch=switch,
            close=close,
            begin_ns=now_ns,
            end_ns=now_ns + round(took_ms * NS_PER_MS),
            succeeds=not fails,
        )
        self._moving[switch] = movement
        return movement

    def is_under_way(self, movement: Movement) -> bool:
        """Return whether a travel has neither ended nor been called off."""
        return self._moving.get(movement.switch) is movement

    def call_off(self) -> tuple[Movement, ...]:
        """Forget all travels and planted failures; return the travels."""
        movements = tuple(self._moving.values())
        self._moving.clear()
        self._stuck.clear()
        return movements

    def finish(self, movement: Movement) -> bool:
        """End a travel; return whether the position is another one than before."""
        self._moving.pop(movement.switch, None)
        before = bool(self.closed[movement.switch])
        if movement.succeeds:
            self.closed[movement.switch] = movement.close
        return bool(self.closed[movement.switch]) != before
