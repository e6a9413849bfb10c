"""Run the examples that stand in docstrings and in the documentation.

Only files with examples are touched, so that nothing heavy is imported for none.
"""

import doctest
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROMPT = ">>> "


def run_page(page: Path) -> int:
    """Run one page's examples in order, in one namespace; return how many failed."""
    # A fence would be read as part of the output that an example expects.
    text = re.sub(r"^```.*$", "", page.read_text(), flags=re.MULTILINE)
    name = page.relative_to(ROOT).as_posix()
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    result = doctest.DocTestRunner().run(test)
    print(f"{name}: {result.attempted} examples, {result.failed} failed")
    return result.failed


def main() -> int:
    """Run the modules' examples through pytest, for its strict warnings, and the pages' here."""
    modules = [str(path) for path in (ROOT / "src").rglob("*.py") if PROMPT in path.read_text()]
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    failed = sum(run_page(page) for page in pages if PROMPT in page.read_text())
    if modules:
        command = [sys.executable, "-m", "pytest", "-q", "--doctest-modules", *modules]
        failed += subprocess.run(command, cwd=ROOT, check=False).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
