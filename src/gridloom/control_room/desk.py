"""The operator's desk: the journal's records folded into plan cards and fault stories.

What the page shows is the journal and nothing else: each card is a fold over records, so a page that is opened
after a restart shows the same as one that was open all along.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from gridloom.control_room.view import CommandTrace, FaultStory, Milestone, PlanCard, PlanState
from gridloom.control_room.words import quantity_words
from gridloom.core.errors import UnknownId
from gridloom.core.plans import Autonomy
from gridloom.store.records import (
    Acknowledged,
    DecidedPlan,
    FaultSeen,
    OperatorAction,
    OperatorDeed,
    Outcome,
    PreparedPlan,
    Record,
    Refusal,
    SentCommand,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gridloom.core.plans import Plan, Verdict

_KEEP: Final = 500
"""Cards and stories kept; older ones stay in the journal."""
_NS_PER_MS: Final = 1e6
_PREPARED_FOR: Final = "branch:"
"""How the trigger of a prepared plan begins; the line's id follows."""


class Desk:
    """Cards and stories of the latest plans and faults."""

    def __init__(self, *, has_wall_time: bool) -> None:
        """Start empty.

        Args:
            has_wall_time: Whether grid time runs at wall speed, so that differences are true latencies.
        """
        self._has_wall_time = has_wall_time
        self._cards: OrderedDict[str, PlanCard] = OrderedDict()
        self._prepared: dict[str, PlanCard] = {}
        self._stories: OrderedDict[str, FaultStory] = OrderedDict()
        self._steps: dict[type[Record], Callable[..., None]] = {
            PreparedPlan: self._prepare,
            DecidedPlan: self._decide,
            SentCommand: self._send,
            Acknowledged: self._acknowledge,
            Outcome: self._end,
            FaultSeen: self._see_fault,
            Refusal: self._refuse,
            OperatorAction: self._operate,
        }

    def take(self, record: Record, at_ns: int) -> bool:
        """Fold one record in and return whether anything on the desk changed."""
        step = self._steps.get(type(record))
        if step is None:
            return False
        step(record, at_ns)
        return True

    def plans(self, limit: int) -> tuple[PlanCard, ...]:
        """Return the latest triggered or decided plans, newest first."""
        return tuple(reversed(self._cards.values()))[:limit]

    def plan(self, plan_id: str) -> PlanCard:
        """Return one plan, prepared ones included."""
        found = self._cards.get(plan_id) or self._prepared.get(plan_id)
        if found is None:
            raise UnknownId("plan", plan_id, self._cards)
        return found

    def faults(self, limit: int) -> tuple[FaultStory, ...]:
        """Return the latest faults, newest first."""
        return tuple(reversed(self._stories.values()))[:limit]

    def repaired(self, line: str, at_ns: int) -> None:
        """Add to the newest story about `line` that the line was repaired."""
        for story in reversed(self._stories.values()):
            if story.line == line and all(step.name != "repaired" for step in story.milestones):
                self._extend(story, "repaired", f"{line} repaired", at_ns)
                return

    def _prepare(self, record: PreparedPlan, _: int) -> None:
        old = [key for key, card in self._prepared.items() if card.trigger == record.plan.trigger]
        for key in old:
            del self._prepared[key]
        self._prepared[record.plan.id] = _card(record.plan, record.verdict, PlanState.PREPARED)

    def _decide(self, record: DecidedPlan, at_ns: int) -> None:
        verdict = record.verdict
        state = PlanState.REFUSED
        if verdict.accepted:
            state = PlanState.ACTING if verdict.autonomy is Autonomy.ACT else PlanState.HELD
        card = _card(record.plan, verdict, state)
        self._keep_card(card)
        story = self._story_of(record.plan.trigger)
        if story is not None:
            story = msgspec.structs.replace(story, plan_id=card.id)
            text = f"plan {state}: {card.verdict}"
            self._extend(story, "planned", text, at_ns)

    def _send(self, record: SentCommand, at_ns: int) -> None:
        command = record.command
        card = self._cards.get(command.plan_id)
        if card is None:
            prepared = self._prepared.get(command.plan_id)
            if prepared is None:
                return
            card = msgspec.structs.replace(prepared, state=PlanState.ACTING)
        traces = [trace for trace in card.commands if trace.action != command.action]
        is_first = not card.commands
        traces.append(CommandTrace(action=command.action, sent_ns=command.issued_ns))
        self._keep_card(msgspec.structs.replace(card, commands=tuple(traces)))
        story = self._story_of_plan(command.plan_id) or self._story_on(card)
        if story is not None and is_first:
            if not story.plan_id:
                story = msgspec.structs.replace(story, plan_id=card.id)
                story = self._extend(story, "planned", f"plan was ready: {card.reason}", at_ns)
            self._extend(story, "commanded", f"first command: {_words(command.action)}", at_ns)

    def _acknowledge(self, record: Acknowledged, _: int) -> None:
        answer = record.acknowledgement
        card = self._cards.get(answer.key.partition("/")[0])
        if card is None:
            return
        # A key reads plan/epoch/step/target; the target is the user's own id and may hold anything.
        step_and_target = answer.key.split("/", 2)[-1]
        traces = tuple(
            msgspec.structs.replace(
                trace, outcome=answer.outcome, answered_ns=answer.at_ns, note=answer.note
            )
            if f"{trace.action.step}/{trace.action.target}" == step_and_target
            else trace
            for trace in card.commands
        )
        self._keep_card(msgspec.structs.replace(card, commands=traces))

    def _end(self, record: Outcome, at_ns: int) -> None:
        card = self._cards.get(record.plan_id)
        if card is not None:
            state = PlanState.DONE if record.succeeded else PlanState.FAILED
            outcome = _outcome_words(record, card)
            self._keep_card(msgspec.structs.replace(card, state=state, outcome=outcome))
        story = self._story_of_plan(record.plan_id)
        if story is None:
            return
        expected = card.expectation if card is not None else {}
        restored = int(expected.get("customers_restored", 0)) if record.succeeded else 0
        story = msgspec.structs.replace(
            story,
            is_over=True,
            customers_interrupted=int(expected.get("customers_out", story.customers_interrupted)),
            customers_restored=restored,
        )
        text = (
            f"{restored} customers restored" if record.succeeded else f"plan failed: {record.note}"
        )
        self._extend(story, "restored", text, at_ns)

    def _see_fault(self, record: FaultSeen, at_ns: int) -> None:
        story = self._stories.get(record.fault)
        if story is None:
            story = FaultStory(
                id=record.fault,
                line=record.section,
                is_over=False,
                customers_interrupted=0,
                customers_restored=0,
                milestones=(),
            )
            story = self._extend(
                story, "trip", "; ".join(record.evidence) or "protection has tripped", at_ns
            )
        if record.section:
            story = msgspec.structs.replace(story, line=record.section)
            self._extend(story, "located", f"faulted section: {record.section}", at_ns)

    def _refuse(self, record: Refusal, at_ns: int) -> None:
        for story in reversed(self._stories.values()):
            if story.id in record.what and not story.is_over:
                located = self._locate(story, record.plan_id, at_ns)
                self._extend(located, "planned", f"no action by itself: {record.reason}", at_ns)
                return

    def _locate(self, story: FaultStory, plan_id: str, at_ns: int) -> FaultStory:
        """Take the faulted line from the prepared plan that was looked up for it and not used."""
        prepared = self._prepared.get(plan_id)
        if story.line or prepared is None or not prepared.trigger.startswith(_PREPARED_FOR):
            return story
        line = prepared.trigger.removeprefix(_PREPARED_FOR)
        story = msgspec.structs.replace(story, line=line)
        return self._extend(story, "located", f"faulted section: {line}", at_ns)

    def _operate(self, record: OperatorAction, _: int) -> None:
        card = self._cards.get(record.target)
        if card is None:
            return
        if record.deed is OperatorDeed.APPROVE:
            self._keep_card(
                msgspec.structs.replace(
                    card, state=PlanState.ACTING, verdict=f"approved by {record.operator}"
                )
            )
        elif record.deed is OperatorDeed.REJECT:
            self._keep_card(
                msgspec.structs.replace(
                    card, state=PlanState.REFUSED, verdict=f"refused by {record.operator}"
                )
            )

    def _keep_card(self, card: PlanCard) -> None:
        self._cards[card.id] = card
        self._cards.move_to_end(card.id)
        while len(self._cards) > _KEEP:
            self._cards.popitem(last=False)

    def _extend(self, story: FaultStory, name: str, text: str, at_ns: int) -> FaultStory:
        took_ms = None
        if self._has_wall_time:
            first_ns = story.milestones[0].at_ns if story.milestones else at_ns
            took_ms = (at_ns - first_ns) / _NS_PER_MS
        milestone = msgspec.convert(
            {"name": name, "text": text, "at_ns": at_ns, "took_ms": took_ms}, Milestone
        )
        story = msgspec.structs.replace(story, milestones=(*story.milestones, milestone))
        self._stories[story.id] = story
        while len(self._stories) > _KEEP:
            self._stories.popitem(last=False)
        return story

    def _story_of(self, trigger: str) -> FaultStory | None:
        return self._stories.get(trigger)

    def _story_on(self, card: PlanCard) -> FaultStory | None:
        """Return the newest story about the line that a prepared plan is for."""
        for story in reversed(self._stories.values()):
            if story.line and card.trigger == f"{_PREPARED_FOR}{story.line}" and not story.plan_id:
                return story
        return None

    def _story_of_plan(self, plan_id: str) -> FaultStory | None:
        for story in reversed(self._stories.values()):
            if story.plan_id == plan_id:
                return story
        return None


def _card(plan: Plan, verdict: Verdict, state: PlanState) -> PlanCard:
    refused = verdict.refusals
    said = verdict.note or (
        "accepted: all checks hold"
        if verdict.accepted
        else "refused: "
        + ", ".join(
            f"{check.name} {check.worst:g} against {check.limit:g} {check.unit}"
            for check in refused
        )
    )
    return PlanCard(
        id=plan.id,
        agent=plan.agent,
        rank=plan.rank.name.lower(),
        cell=plan.cell,
        state=state,
        reason=plan.reason,
        trigger=plan.trigger,
        made_ns=plan.made_ns,
        expires_ns=plan.expires_ns,
        actions=plan.actions,
        undo=plan.undo,
        expectation=plan.expectation,
        alternatives=plan.alternatives,
        checks=verdict.checks,
        verdict=said,
        autonomy=verdict.autonomy,
    )


def _outcome_words(record: Outcome, card: PlanCard) -> str:
    """Say what came of a plan: the platform's own note, customers, and what was measured."""
    parts = [record.note] if record.note else []
    restored = card.expectation.get("customers_restored")
    if record.succeeded and restored is not None:
        out = card.expectation.get("customers_out", restored)
        parts.append(f"{restored:.0f} of {out:.0f} customers have supply again")
    parts += [
        quantity_words(name, value)
        for name, value in record.measured.items()
        if card.expectation.get(name) != value  # what was expected stands on the card already
    ]
    return "; ".join(parts)


def _words(action: object) -> str:
    kind, target = getattr(action, "kind", ""), getattr(action, "target", "")
    return f"{kind} {target}"
