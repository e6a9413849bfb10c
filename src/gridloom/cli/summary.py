"""What a run came to: the platform's own counts, and the field's truth, which is opened only after the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gridloom.core.units import NS_PER_S

if TYPE_CHECKING:
    from pathlib import Path

    from gridloom.field import World
    from gridloom.field.scoring import VoltageScore
    from gridloom.orchestrator.runtime import Runtime

_FILE = "platform-summary.json"


class TwoPercentiles(msgspec.Struct, frozen=True):
    """Middle and tail; none without any duration."""

    p50: float | None
    p99: float | None


class PlanFigures(msgspec.Struct, frozen=True):
    """What became of plans; prepared ones count."""

    proposed: int
    accepted: int
    refused: int


class PlatformSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridloom platform` prints at its end."""

    frames: int
    readings: int
    events: int
    malformed: int
    missing_frames: int
    """Telemetry frames that never came, by their sequence numbers."""
    estimates: int
    se_ms: TwoPercentiles
    software_ms: TwoPercentiles
    """Event path alone: deciding frame off the wire to record."""
    preparation_ms: TwoPercentiles
    plans: PlanFigures
    event_path_restarts: int
    rss_mb: float
    """Largest resident sizes of the platform and of its event path, added."""


class FieldSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridloom field` prints at its end."""

    faults: int
    readings: int
    messages_lost: int
    """Messages that the simulated links lost; lost events were sent again."""
    events_unanswered: int
    """Events without a receipt at the end, however often they were sent."""
    customers_interrupted: int
    customers_restored: int

    @classmethod
    def of(cls, world: World) -> FieldSummary:
        """Return the counts of a world at its end."""
        return cls(
            faults=world.faults,
            readings=world.telemetry.readings,
            messages_lost=world.outbox.lost,
            events_unanswered=world.events.waiting + world.events.dropped,
            customers_interrupted=world.plant.supply.interrupted,
            customers_restored=world.plant.supply.restored,
        )


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridloom run` prints; the names are a contract (docs/contracts.md)."""

    frames: int
    readings: int
    lost_events: int
    estimates: int
    se_v_rmse_pu: float
    se_v_rmse_mv_pu: float
    se_v_rmse_lv_pu: float
    se_ms: TwoPercentiles
    faults: int
    restored: int
    customers_interrupted: int
    customers_restored: int
    event_to_command_ms: TwoPercentiles
    software_ms: TwoPercentiles
    plans: PlanFigures
    platform_starts: int
    """Lives of the platform; after more than one, what it counts about itself (frames, readings, estimates, plans,
    times) is of the last life. Faults, customers and commands are the field's, over all of them."""
    commands_executed_twice: int
    journal_ok: bool
    journal_entries: int
    journal_hash: str
    rss_mb: float
    folder: str


def summary_of(runtime: Runtime) -> PlatformSummary:
    """Return the counts of a platform that is about to end."""
    from gridloom.orchestrator.figures import Percentiles, peak_rss_mb

    intake, figures, plans = runtime.platform.intake, runtime.figures, runtime.platform.plans

    def two(durations: Percentiles) -> TwoPercentiles:
        return TwoPercentiles(durations.at(50), durations.at(99))

    return PlatformSummary(
        frames=intake.counts.frames + intake.counts.events,
        readings=intake.counts.readings,
        events=intake.counts.events,
        malformed=intake.counts.malformed,
        missing_frames=intake.gaps.missing,
        estimates=figures.estimates,
        se_ms=two(figures.estimate_ms),
        software_ms=two(figures.event_ms),
        preparation_ms=two(figures.preparation_ms),
        plans=PlanFigures(plans.proposed, plans.accepted, plans.refused),
        event_path_restarts=figures.event_restarts,
        rss_mb=peak_rss_mb(),
    )


def write_platform_summary(folder: Path, summary: PlatformSummary) -> None:
    """Leave the counts where the launcher finds them."""
    (folder / _FILE).write_bytes(msgspec.json.encode(summary))


def write_field_summary(folder: Path, summary: FieldSummary) -> None:
    """Leave the field's counts where the launcher finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_bytes(msgspec.json.encode(summary))


def field_summary(folder: Path) -> FieldSummary:
    """Return what the field left in its folder; zeros if it was killed before it could."""
    path = folder / "summary.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=FieldSummary)
    return FieldSummary(
        faults=0,
        readings=0,
        messages_lost=0,
        events_unanswered=0,
        customers_interrupted=0,
        customers_restored=0,
    )


def platform_summary(folder: Path) -> PlatformSummary:
    """Return what the platform left; zeros if it was killed before it could."""
    path = folder / _FILE
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=PlatformSummary)
    nothing = TwoPercentiles(float("nan"), float("nan"))
    return PlatformSummary(
        frames=0,
        readings=0,
        events=0,
        malformed=0,
        missing_frames=0,
        estimates=0,
        se_ms=nothing,
        software_ms=nothing,
        preparation_ms=nothing,
        plans=PlanFigures(0, 0, 0),
        event_path_restarts=0,
        rss_mb=0.0,
    )


def summarise(folder: Path, platform: PlatformSummary, *, is_wall_time: bool) -> RunSummary:
    """Join the platform's counts with the field's truth and the journal's proof.

    Args:
        folder: Of the run.
        platform: What the platform counted.
        is_wall_time: Whether the run was on the real clock: elsewhere latencies are modelled and no figure.
    """
    from gridloom.field import scoring
    from gridloom.store import JournalReader

    truth = folder / "field" / "truth"
    voltages = _score_voltages(folder, truth)
    supply = scoring.read_supply(truth)
    took_ms = _two(scoring.event_to_command_ms(truth) if is_wall_time else [])
    proof = JournalReader(folder / "journal.sqlite").verify()
    return RunSummary(
        frames=platform.frames,
        readings=platform.readings,
        lost_events=field_summary(folder / "field").events_unanswered,
        estimates=platform.estimates,
        se_v_rmse_pu=voltages.rmse_pu,
        se_v_rmse_mv_pu=voltages.mv_rmse_pu,
        se_v_rmse_lv_pu=voltages.lv_rmse_pu,
        se_ms=platform.se_ms,
        faults=supply.faults,
        restored=_restored(folder / "journal.sqlite"),
        customers_interrupted=supply.customers_interrupted,
        customers_restored=supply.customers_restored,
        event_to_command_ms=took_ms,
        software_ms=platform.software_ms,
        plans=platform.plans,
        platform_starts=_starts(folder / "journal.sqlite"),
        commands_executed_twice=len(scoring.executed_twice(truth)),
        journal_ok=proof.ok,
        journal_entries=proof.n,
        journal_hash=proof.head_hash,
        rss_mb=platform.rss_mb,
        folder=str(folder),
    )


def _two(durations_ms: list[float]) -> TwoPercentiles:
    import numpy as np

    if not durations_ms:
        return TwoPercentiles(float("nan"), float("nan"))
    return TwoPercentiles(*(float(value) for value in np.percentile(durations_ms, [50, 99])))


def _score_voltages(folder: Path, truth: Path) -> VoltageScore:
    """Compare every estimate in the history with the truth of its moment."""
    from gridloom.field import scoring
    from gridloom.store.history import HistoryReader

    true = scoring.read_truth(truth)
    if not len(true.time_ns):
        nothing = scoring.Estimates(time_ns=true.time_ns, bus=true.time_ns, v_pu=true.vn_kv[:0])
        return scoring.score_voltages(true, nothing)
    with HistoryReader(folder / "history") as history:
        rows = history.query("estimate", int(true.time_ns[0]), int(true.time_ns[-1]) + NS_PER_S)
    estimates = scoring.Estimates(
        time_ns=rows.time_ns,
        bus=rows.index.astype("int64"),
        v_pu=rows.columns["v_pu"].astype("float64") if len(rows) else true.vn_kv[:0],
    )
    return scoring.score_voltages(true, estimates)


def _starts(journal: Path) -> int:
    from gridloom.store import JournalReader

    return sum(1 for _ in JournalReader(journal).entries(kind="start"))


def _restored(journal: Path) -> int:
    """Return the faults that ended with a plan carried out to its end."""
    from gridloom.store import JournalReader
    from gridloom.store.records import Outcome, record_of

    records = (record_of(entry) for entry in JournalReader(journal).entries(kind="outcome"))
    return sum(isinstance(record, Outcome) and record.succeeded for record in records)
