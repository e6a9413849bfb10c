"""Run every benchmark, one after another, and say which failed and how long each took.

Arguments are handed on: `--smoke` makes each benchmark prove that it runs, without claiming a
figure.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMOKE_LIMIT_S = 180
GRACE_S = 10


def run(command: list[str], limit_s: float | None) -> int:
    """Run one benchmark and return its exit code; past its limit it is ended with all its processes."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        print(f"stopped after {limit_s} s")
        end(process)
        return 124
    except BaseException:
        end(process)
        raise


def end(process: subprocess.Popen[bytes]) -> None:
    """End a benchmark and what it started: first with a word, then without."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)


def main() -> int:
    """Run benchmarks/*.py, but not the shared parts whose names begin with an underscore."""
    arguments = sys.argv[1:]
    limit = SMOKE_LIMIT_S if "--smoke" in arguments else None
    failed = []
    for script in sorted((ROOT / "benchmarks").glob("[!_]*.py")):
        print(f"== {script.name} {' '.join(arguments)}", flush=True)
        start = time.monotonic()
        code = run([sys.executable, str(script), *arguments], limit)
        print(f"== {script.name}: exit {code} after {time.monotonic() - start:.1f} s", flush=True)
        if code:
            failed.append(script.name)
    print(f"benchmarks failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
