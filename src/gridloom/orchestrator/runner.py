"""Carries out plans that are not in the event path: step by step, each order journaled before it leaves.

A step's orders go out together; the next step waits until every one of them is done. A failed, refused or
unanswered order ends the plan: what was done stands, and the journal says how far it came.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import structlog

from gridloom.core.errors import Unavailable
from gridloom.core.plans import Command
from gridloom.store.records import Acknowledged, Outcome, Refusal, SentCommand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gridloom.core.clock import Clock
    from gridloom.core.plans import Acknowledgement, Action, Plan, Verdict
    from gridloom.ioe.lanes import CommandSender
    from gridloom.store.records import Record

log = structlog.get_logger(__name__)

ISSUER: Final = "gridloom"


@dataclass(eq=False, kw_only=True)
class PlanRunner:
    """Runs accepted plans, one task each."""

    sender: CommandSender
    clock: Clock
    epoch: int
    cell_path_of: Mapping[str, str]
    """Id of each switch to the cell path that its orders go to."""
    record: Callable[[Record], None]
    """Journals a record."""
    sync: Callable[[], Awaitable[None]]
    """Returns when everything journaled so far is on the disk."""
    recheck: Callable[[Plan], Verdict]
    """Asks the gate once more before a step."""
    ended: Callable[[Plan], None]
    """Called when a plan has ended, however it ended."""

    async def run(self, plan: Plan) -> bool:
        """Carry out `plan` and return whether all of it was done."""
        try:
            note = await self._steps(plan)
        except Unavailable as error:
            note = str(error)
        outcome = Outcome(
            plan_id=plan.id,
            epoch=self.epoch,
            succeeded=not note,
            measured=dict(plan.expectation) if not note else {},
            note=note,
        )
        self.record(outcome)
        self.ended(plan)
        log.info("plan_ended", plan=plan.id, succeeded=not note, note=note)
        return not note

    async def _steps(self, plan: Plan) -> str:
        """Return why the plan stopped early; an empty text if it did not."""
        ordered = sorted(plan.actions, key=lambda action: action.step)
        for number, (_, actions) in enumerate(groupby(ordered, key=lambda action: action.step)):
            if number == 0:
                verdict = self.recheck(plan)
                if not verdict.accepted:
                    reason = ", ".join(check.name for check in verdict.refusals)
                    self.record(
                        Refusal(what="plan", reason=reason, plan_id=plan.id, source=plan.agent)
                    )
                    return f"refused before the first step: {reason}"
            answers = await self._step(plan, list(actions))
            bad = [answer for answer in answers if answer.outcome != "done"]
            if bad:
                return f"{bad[0].key} ended as {bad[0].outcome}: {bad[0].note}"
        return ""

    async def _step(self, plan: Plan, actions: list[Action]) -> list[Acknowledgement]:
        now_ns = self.clock.now_ns()
        commands = [
            Command(
                plan_id=plan.id,
                epoch=self.epoch,
                action=action,
                issued_ns=now_ns,
                expires_ns=plan.expires_ns,
                issuer=ISSUER,
            )
            for action in actions
        ]
        for command in commands:
            self.record(SentCommand(command=command))
        # Off the event path there is time to have the order on the disk before it is on the wire.
        await self.sync()
        futures = [
            await self.sender.post(self.cell_path_of[command.action.target], command)
            for command in commands
        ]
        answers = await asyncio.gather(*futures)
        for answer in answers:
            self.record(Acknowledged(acknowledgement=answer))
        return list(answers)
