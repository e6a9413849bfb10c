"""Refuse a lock file that names a package whose licence the product may not carry.

Of a Python lock it reads the names, and then the installed metadata of each package; an npm lock
carries the licences itself. An expression passes if one side of every OR, and both sides of every
AND, is allowed. What the metadata leave open is decided in DECIDED, by hand.
"""

import json
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "Unlicense",
    "Zlib",
}

# Older metadata name a family by a trove classifier instead of an SPDX expression.
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}

# Words of the free-form field that mean one licence and nothing else.
PLAIN = {
    "Apache 2.0": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "MIT License": "MIT",
}

# Decided by reading the licence file of the package; one line of reason each.
DECIDED = {
    # Artistic or GPL, at the user's choice: we choose Artistic. Tests only (pytest-playwright).
    "text-unidecode": "Artistic-1.0-Perl",
}
CHOSEN = {"Artistic-1.0-Perl"}


def locked_names(lock: Path) -> list[str]:
    """Return the names that a lock file pins."""
    return re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(), flags=re.MULTILINE)


def applies_here(lock: Path, name: str) -> bool:
    """Say whether a lock entry's marker holds on this machine."""
    from packaging.markers import Marker

    marker = re.search(
        rf"^{re.escape(name)}==\S+ ; (.+?) \\$", lock.read_text(), flags=re.MULTILINE
    )
    return marker is None or Marker(marker[1]).evaluate()


def licence_of(name: str) -> str:
    """Return what a package's metadata say, as an expression where they allow it."""
    if name in DECIDED:
        return DECIDED[name]
    fields = metadata.metadata(name)
    if expression := fields.get("License-Expression"):
        return str(expression)
    kinds = [
        text.split(" :: ")[-1]
        for text in fields.get_all("Classifier", [])
        if text.startswith("License")
    ]
    kinds = [kind for kind in kinds if kind not in {"OSI Approved", "DFSG approved"}]
    first_line = (fields.get("License") or "").strip().split("\n")[0].strip()
    if kinds:
        # Several classifiers may mean a choice or a sum; the stricter reading is safe.
        return " AND ".join(CLASSIFIERS.get(kind, kind) for kind in kinds)
    return PLAIN.get(first_line, first_line or "unknown")


def is_allowed(expression: str) -> bool:
    """Judge an expression; one with brackets is refused, since none of our packages has any."""
    return any(
        all(term.strip() in ALLOWED | CHOSEN for term in side.split(" AND "))
        for side in expression.split(" OR ")
    )


def licences_of(lock: Path) -> Iterator[tuple[str, str]]:
    """Yield each package of a lock with its licence."""
    if lock.suffix == ".json":
        for path, entry in json.loads(lock.read_text())["packages"].items():
            if path:
                licence = str(entry.get("license", "unknown")).removeprefix("(").removesuffix(")")
                yield path.rpartition("node_modules/")[2], licence
        return
    for name in locked_names(lock):
        try:
            yield name, licence_of(name)
        except metadata.PackageNotFoundError:
            # A package for another system is never installed here, so its metadata are not either.
            if applies_here(lock, name):
                yield name, "unknown: it is not installed; run `make dev`"


def main() -> int:
    """Check each lock file named on the command line."""
    seen = {pair for name in sys.argv[1:] for pair in licences_of(Path(name))}
    refused = sorted((name, licence) for name, licence in seen if not is_allowed(licence))
    for name, licence in refused:
        print(f"{name}: {licence}")
    print(f"licences: {len(seen)} packages, {len(refused)} refused")
    return 1 if refused or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
