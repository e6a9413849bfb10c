"""The search for the best way back: every candidate is solved with AC power flow before it is compared.

First each dead part gets the best single tie that carries all of it. A part that no tie can carry as a whole is cut
in two at one of its switches, so that a tie serves as much of it as the limits allow; the rest may find a tie of its
own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from gridloom.orchestrator.candidates import Candidate, Cut, Outage, Part, candidates, cuts_of

if TYPE_CHECKING:
    from gridloom.orchestrator.flow_check import Findings
    from gridloom.orchestrator.planning import Basis

MOST_CUTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """One part that gets supply again, and how."""

    part: Part
    by: Candidate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """What the search decided for one outage."""

    outage: Outage
    restored: tuple[Restored, ...]
    cuts: tuple[int, ...]
    """Rows of switches to open inside dead parts, so that a tie can carry what is left of them."""
    left_dead: tuple[Part, ...]
    findings: Findings | None
    """What is worst in the touched feeders in the final state; None where nothing is closed."""
    alternatives: tuple[str, ...]
    ac_checks: int


class Trial(NamedTuple):
    """A candidate and what AC power flow says of it."""

    candidate: Candidate
    all: Findings
    near: Findings
    cut: Cut | None = None


class Search:
    """The search for one outage."""

    def __init__(self, basis: Basis, outage: Outage) -> None:
        """Begin with the fault isolated and nothing restored."""
        self._basis, self._outage = basis, outage
        self._closed = outage.isolated.copy()
        self._alive = set(outage.alive)
        self._restored: list[Restored] = []
        self._cuts: list[int] = []
        self._notes: list[str] = []
        self._findings: Findings | None = None
        self._checks = 0

    def run(self) -> Decision:
        """Return what can be served, the parts that the feeder breaker feeds first, then by demand."""
        waiting = sorted(self._outage.parts, key=lambda part: (not part.has_head, -part.demand_mw))
        while self._serve_whole(waiting) or self._serve_piece(waiting):
            pass
        return Decision(
            outage=self._outage,
            restored=tuple(self._restored),
            cuts=tuple(self._cuts),
            left_dead=tuple(waiting),
            findings=self._findings,
            alternatives=tuple(dict.fromkeys(self._notes)),
            ac_checks=self._checks,
        )

    def _serve_whole(self, waiting: list[Part]) -> bool:
        """Give each waiting part its best tie; return whether any was served."""
        before = len(waiting)
        for part in tuple(waiting):
            tried: list[Trial] = []
            for candidate in candidates(self._basis, self._outage, part, self._alive):
                tried.append(self._try(candidate, part))
                if candidate.is_head and tried[-1].all.passed:
                    # The way it was fed before: nothing else can load the grid less.
                    break
            best = min((t for t in tried if t.all.passed), key=_badness, default=None)
            self._notes.extend(_why_lost(self._basis, tried, best))
            if best is not None:
                self._accept(best, part)
                waiting.remove(part)
        return len(waiting) < before

    def _serve_piece(self, waiting: list[Part]) -> bool:
        """Cut one waiting part where that serves most; return whether a cut was found."""
        if len(self._cuts) == MOST_CUTS:
            return False
        for part in tuple(waiting):
            found = [
                trial
                for candidate in candidates(self._basis, self._outage, part, self._alive)
                if (trial := self._best_cut(candidate, part)) is not None
            ]
            best = max(
                found,
                key=lambda trial: trial.cut.kept.demand_mw if trial.cut else 0.0,
                default=None,
            )
            if best is None or best.cut is None:
                continue
            self._cuts.append(best.cut.switch)
            self._closed[best.cut.switch] = False
            self._accept(best, best.cut.kept)
            waiting.remove(part)
            if best.cut.rest is not None:
                waiting.append(best.cut.rest)
            return True
        return False

    def _best_cut(self, candidate: Candidate, part: Part) -> Trial | None:
        """Return the cut that leaves most on the tie: by halving, since less demand breaks fewer limits."""
        cuts = cuts_of(self._basis, self._outage, part, candidate)
        low, high, best = 0, len(cuts), None
        while low < high:
            middle = (low + high) // 2
            trial = self._try(candidate, cuts[middle].kept, cuts[middle])
            if trial.all.passed:
                best, high = trial, middle
            else:
                low = middle + 1
        return best

    def _try(self, candidate: Candidate, part: Part, cut: Cut | None = None) -> Trial:
        after = self._closed.copy()
        after[list(candidate.switches)] = True
        if cut is not None:
            after[cut.switch] = False
        touched = self._basis.feeders_of(candidate.lands_on)
        for done in self._restored:
            touched |= self._basis.feeders_of(done.by.lands_on)
        sections = part.sections.union(*(done.part.sections for done in self._restored))
        self._checks += 1
        return Trial(candidate, *self._basis.check(after, touched, sections), cut)

    def _accept(self, trial: Trial, part: Part) -> None:
        self._closed[list(trial.candidate.switches)] = True
        self._alive |= part.sections | trial.candidate.through
        self._restored.append(Restored(part=part, by=trial.candidate))
        self._findings = trial.near


def _badness(trial: Trial) -> tuple[bool, int, float]:
    # Equal service everywhere: fewest operations, then the most room on the most loaded element.
    return (
        not trial.candidate.is_head,
        len(trial.candidate.switches),
        -trial.near.loading.margin,
    )


def _why_lost(basis: Basis, tried: list[Trial], best: Trial | None) -> list[str]:
    words = []
    for trial in tried:
        if trial is best:
            continue
        name = " and ".join(str(basis.grid.switches.id[row]) for row in trial.candidate.switches)
        loading = trial.near.loading
        room = f"leaves less room: {loading.value:.0f} % on {loading.where}"
        words.append(f"close {name}: {trial.all.why_not() or room}")
    return words
