"""Run every benchmark, one after another, and say which failed and how long each took.

Arguments are handed on: `--smoke` makes each benchmark prove that it runs, without claiming a
figure.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMOKE_LIMIT_S = 180


def main() -> int:
    """Run benchmarks/*.py, but not the shared parts whose names begin with an underscore."""
    arguments = sys.argv[1:]
    limit = SMOKE_LIMIT_S if "--smoke" in arguments else None
    failed = []
    for script in sorted((ROOT / "benchmarks").glob("[!_]*.py")):
        print(f"== {script.name} {' '.join(arguments)}", flush=True)
        start = time.monotonic()
        try:
            code = subprocess.run(
                [sys.executable, str(script), *arguments], cwd=ROOT, check=False, timeout=limit
            ).returncode
        except subprocess.TimeoutExpired:
            print(f"stopped after {limit} s")
            code = 124
        print(f"== {script.name}: exit {code} after {time.monotonic() - start:.1f} s", flush=True)
        if code:
            failed.append(script.name)
    print(f"benchmarks failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
