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
    """Run one page's examples in order, in one namespace; return how many failed.

    They may use the grids of the tests, so the checkout itself is on the path.
    """
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    # A fence would be read as part of the output that an example expects.
    text = re.sub(r"^```.*$", "", page.read_text(), flags=re.MULTILINE)
    name = page.relative_to(ROOT).as_posix()
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    result = doctest.DocTestRunner().run(test)
    print(f"{name}: {result.attempted} examples, {result.failed} failed")
    return result.failed


def pages_with_examples() -> list[Path]:
    """Return the pages that have examples to run."""
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return [page for page in sorted(pages) if PROMPT in page.read_text()]


def main() -> int:
    """Run the modules' examples through pytest, for its strict warnings, and the pages' here."""
    modules = [str(path) for path in (ROOT / "src").rglob("*.py") if PROMPT in path.read_text()]
    failed = sum(run_page(page) for page in pages_with_examples())
    if modules:
        command = [sys.executable, "-m", "pytest", "-q", "--doctest-modules", *modules]
        failed += subprocess.run(command, cwd=ROOT, check=False).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
