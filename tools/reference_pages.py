"""Write one reference page for each package of gridloom, for mkdocstrings to fill from docstrings.

The pages are written, not committed: the list of packages is then never out of date.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src/gridloom"
OUT = ROOT / "docs/reference"


def first_line(module: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(module.read_text())) or "").split("\n")[0]


def main() -> int:
    """Write an index and the pages, and remove pages of packages that are gone."""
    rooms = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.md"):
        old.unlink()
    index = ["# Reference", "", "Taken from the docstrings of each package.", ""]
    for room in rooms:
        name = f"gridloom.{room.name}"
        page = [f"# {name}", ""]
        modules = sorted(path for path in room.rglob("*.py") if not path.name.startswith("_"))
        page += [f"::: {name}", "    options:", "      members: false", ""]
        for module in modules:
            dotted = ".".join(module.relative_to(PACKAGE.parent).with_suffix("").parts)
            page += [f"::: {dotted}", ""]
        (OUT / f"{room.name}.md").write_text("\n".join(page))
        index.append(f"- [`{name}`]({room.name}.md): {first_line(room / '__init__.py')}")
    (OUT / "index.md").write_text("\n".join([*index, ""]))
    print(f"reference: {len(rooms)} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
