"""The examples run, and the README shows one of them with the output that it truly gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_the_readme_shows_what_it_prints(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if path.stem in readme:
        code = path.read_text(encoding="utf-8").split('"""\n', 1)[1].strip()
        assert code in readme
        assert done.stdout.strip() in readme
