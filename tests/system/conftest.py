"""Whole runs, started once for the tests that share them, and looked through for what they left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.control_room.district import district
from tests.system.live import Live

from gridloom.grid import save


@pytest.fixture(scope="session")
def grid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rings of six stations with three houses each: what breaks is found and healed within seconds."""
    path = tmp_path_factory.mktemp("grid") / "district.gridloom"
    save(district(), path)
    return path


@pytest.fixture(scope="module")
def live(grid_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A run in which agents may act, with a page; at its end nothing may be lost, doubled or left."""
    run = Live(tmp_path_factory.mktemp("live"), "--grid", str(grid_file))
    try:
        yield run.until_ready()
        summary = run.finish()
        assert summary["journal_ok"] is True
        assert summary["lost_events"] == 0
        assert summary["commands_executed_twice"] == 0
        assert run.leftovers() == []
        assert run.shared_memory() == []
    finally:
        run.kill()
