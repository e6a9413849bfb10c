"""Run the examples that stand in docstrings and in docs/, in the modules that have any."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Hand pytest only files with examples, so that nothing heavy is imported for none."""
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    with_examples = [str(path) for path in sources if ">>> " in path.read_text()]
    if not with_examples:
        print("no examples in docstrings or docs")
        return 0
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--doctest-modules",
        "--doctest-glob=*.md",
        *with_examples,
    ]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
