"""What the control room's tests share."""

import pytest
from tests.control_room.district import district
from tests.control_room.recorded import RecordedView

from gridloom.grid.model import Grid


@pytest.fixture(scope="session")
def grid() -> Grid:
    """A small district."""
    return district()


@pytest.fixture
def view(grid: Grid) -> RecordedView:
    """A platform that replays a recorded sequence."""
    return RecordedView(grid, pause_s=0.01)
