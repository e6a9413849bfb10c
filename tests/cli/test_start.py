"""The command as a process: quick to ask for help, and silent on standard output but for its one object."""

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = ("numpy", "numba", "pandapower", "pandas", "pyarrow", "duckdb", "litestar", "nats", "scipy")
PROBE = """
import json, sys
from gridloom.cli.main import run_command
code = run_command({arguments})
sys.stderr.write(json.dumps([code, sorted(name for name in sys.modules if "." not in name)]))
"""


def process(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = ["-c", text] if text else ["-m", "gridloom", *arguments]
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"COLUMNS": "100"},
    )  # fmt: skip


def test_help_loads_no_heavy_room() -> None:
    done = process(text=PROBE.format(arguments=["--help"]))
    code, modules = json.loads(done.stderr)
    assert code == 0
    assert "powerflow" in done.stdout
    assert [name for name in HEAVY if name in modules] == []


def test_the_version_is_said() -> None:
    done = process("--version")
    assert done.returncode == 0
    assert done.stdout.strip() == "0.1.0"


def test_an_unknown_command_ends_with_two_and_without_a_traceback() -> None:
    done = process("fly")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "fly" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_process_prints_one_object_and_nothing_else(grid_file: Path) -> None:
    done = process("powerflow", str(grid_file), "--json")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["converged"] is True
    assert done.stderr == ""
