"""Fixtures of the grid's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of test data, or skip."""
    folder = os.environ.get("GRIDLOOM_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GRIDLOOM_DATA names no folder of test data")
    return Path(folder)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that serves as the cache of all tests of this room."""
    return tmp_path_factory.mktemp("cache")
