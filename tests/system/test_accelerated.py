"""On the accelerated clock the world runs fast, but never around a fault, and estimates keep to wall time."""

import re
import time
from pathlib import Path

import pytest
from tests.system.live import Live

from gridloom.field import scoring
from gridloom.store.records import Outcome

pytestmark = [pytest.mark.system, pytest.mark.slow]

SPEED = 60.0


@pytest.mark.timeout(240)
def test_a_fault_is_played_at_the_speed_of_the_clock_on_the_wall(
    grid_file: Path, tmp_path: Path
) -> None:
    clock = ("--clock", "accelerated", "--speed", f"{SPEED:g}")
    live = Live(tmp_path, "--grid", str(grid_file), *clock, headless=True)
    began_s = time.monotonic()
    try:
        live.until_ready()
        from_ns, from_s = live.field("status").at_ns, time.monotonic()
        live.until(lambda: live.field("status").at_ns > from_ns + 120 * 10**9)
        # Grid time has run ahead of wall time: two minutes need more than two wall seconds only at 1x.
        assert time.monotonic() - from_s < 60.0
        live.field("inject", "MV line 1.2")
        live.until(lambda: [one for one in live.records(Outcome) if one.succeeded])
        live.until(lambda: live.restored() == 18)
        summary = live.finish()
        lasted_s = time.monotonic() - began_s
        assert summary["restored"] == 1
        assert summary["estimates"] <= lasted_s + 1
        assert summary["event_to_command_ms"]["p50"] is None
        assert summary["journal_ok"] is True
        assert summary["lost_events"] == 0
    finally:
        live.kill()
    log = (live.folder / "field.log").read_text()
    assert re.search(r"field_speed +speed=1\.0", log)
    fault = next(e for e in scoring.read_events(tmp_path / "field" / "truth") if e.kind == "fault")
    assert fault.element == "MV line 1.2"
