"""Bus, platform and event path are killed around faults: the run goes on, nothing is lost, doubled or done twice."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from tests.system.live import Live

from gridloom.core.errors import GridloomError
from gridloom.field import scoring
from gridloom.store import Entry, JournalReader

pytestmark = [pytest.mark.system, pytest.mark.slow]

FIRST, SECOND = "MV line 1.2", "MV line 3.3"
"""On two rings of their own."""


def kill(live: Live, part: str) -> list[Entry]:
    """Kill a part without a warning, wait for its next life, and return the journal as it stood before."""
    before = list(JournalReader(live.folder / "journal.sqlite").entries())
    old = live.until(lambda: live.pid_of(part))
    live.ready_path.unlink(missing_ok=True)
    os.kill(old, signal.SIGKILL)
    live.until(lambda: live.pid_of(part) not in {0, old})
    if part == "platform":
        live.until(live.ready_path.exists)
    live.watch_processes()
    return before


def break_line(live: Live, line: str) -> None:
    """Break a line, as soon as the world can be asked."""

    def is_broken() -> bool:
        try:
            live.field("inject", line)
        except (GridloomError, OSError, TimeoutError):
            return False
        return True

    live.until(is_broken)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", ["nats", "platform", "event path"])
def test_a_part_that_is_killed_around_faults_comes_back(
    grid_file: Path, tmp_path: Path, part: str
) -> None:
    moment_s = random.Random(part).uniform(0.0, 4.0)
    live = Live(tmp_path, "--grid", str(grid_file), headless=True)
    try:
        live.until_ready()
        break_line(live, FIRST)
        time.sleep(moment_s)
        journals = [kill(live, part)]
        live.until(lambda: live.restored() == 18)
        journals.append(kill(live, part))
        break_line(live, SECOND)
        live.until(lambda: live.restored() == 36)
        summary = live.finish()
        after = list(JournalReader(live.folder / "journal.sqlite").entries())
        for before in journals:
            assert after[: len(before)] == before
        assert [entry.sequence for entry in after] == list(range(1, len(after) + 1))
        assert summary["journal_ok"] is True
        assert summary["commands_executed_twice"] == 0
        assert scoring.executed_twice(live.folder / "field" / "truth") == ()
        assert summary["faults"] == 2
        assert summary["restored"] >= 2
        assert summary["customers_restored"] == summary["customers_interrupted"] == 36
        assert summary["lost_events"] == 0
        assert summary["estimates"] > 0
        assert summary["platform_starts"] == (3 if part == "platform" else 1)
        assert live.leftovers() == []
        assert live.shared_memory() == []
    finally:
        live.kill()
