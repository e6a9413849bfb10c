"""On the stepped clock the same seed gives the same bytes, and faults are healed as on any other."""

from pathlib import Path

import pytest

from gridloom.cli.settings import Settings
from gridloom.cli.stepped import run_stepped
from gridloom.cli.summary import RunSummary
from gridloom.store import JournalReader

pytestmark = pytest.mark.system


def run(
    grid: Path, folder: Path, *, seed: int, faults: int = 1, duration: float = 30
) -> RunSummary:
    folder.mkdir()
    settings = Settings(grid=str(grid), clock="stepped", duration=duration, seed=seed)
    return run_stepped(settings, [], random_faults=faults, folder=folder)


def test_the_same_seed_gives_the_same_bytes(grid_file: Path, tmp_path: Path) -> None:
    first, again, other = (
        run(grid_file, tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first.journal_hash == again.journal_hash
    assert first.journal_entries == again.journal_entries
    one, two = (JournalReader(tmp_path / name / "journal.sqlite").entries() for name in "ab")
    assert list(one) == list(two)
    assert other.journal_hash != first.journal_hash
    assert first.frames == again.frames
    assert first.readings == again.readings


def test_two_random_faults_are_healed(grid_file: Path, tmp_path: Path) -> None:
    summary = run(grid_file, tmp_path / "run", seed=2, faults=2, duration=60)
    assert summary.faults == 2
    assert summary.restored == 2
    assert summary.customers_interrupted > 0
    assert summary.customers_restored == summary.customers_interrupted
    assert summary.commands_executed_twice == 0
    assert summary.lost_events == 0
    assert summary.journal_ok
    assert summary.se_v_rmse_mv_pu < 0.005
