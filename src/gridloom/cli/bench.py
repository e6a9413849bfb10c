"""`gridloom bench`: run the benchmarks of a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gridloom.cli.options import Json
from gridloom.cli.output import emit
from gridloom.core.errors import BadInput, Unavailable


def bench(
    name: str = "",
    *,
    smoke: Annotated[bool, Parameter(negative="", help="The seconds-long form.")] = False,
    json: Json = False,
) -> int:
    """Run a benchmark: ours and a peer side by side, with the ratio.

    Parameters
    ----------
    name
        Name of the benchmark; without one, the names are listed.
    """
    folder = Path(__file__).resolve().parents[3] / "benchmarks"
    if not folder.is_dir():
        message = "benchmarks come with a checkout of the source, not with the installed package"
        raise Unavailable(message)
    known = sorted(
        path.stem
        for path in folder.glob("*.py")
        if not path.stem.startswith("_") and "def main" in path.read_text()
    )
    if not name:
        emit({"benchmarks": known}, as_json=json)
        return 0
    if name not in known:
        message = f"no benchmark {name!r}; there are {', '.join(known)}"
        raise BadInput(message)
    arguments = [sys.executable, str(folder / f"{name}.py")]
    arguments += ["--smoke"] if smoke else []
    arguments += ["--json"] if json else []
    return subprocess.run(arguments, check=False).returncode  # noqa: S603 - our own script
