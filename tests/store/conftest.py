"""Children that are killed at a random moment."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def run_and_kill() -> Callable[..., list[str]]:
    """Run a child of this directory, kill it -9 some time after it is ready, return its whole lines."""

    def run(script: str, *arguments: str, after_s: float) -> list[str]:
        child = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(after_s)
        child.kill()
        text, _ = child.communicate()
        return text.decode().split("\n")[:-1]  # the last line may be torn

    return run
