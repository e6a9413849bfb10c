"""One way in: `load` takes a URI or a path and returns a grid.

| URI | what |
|---|---|
| `simbench:1-MV-urban--0-sw` | a SimBench grid by its code, kept in a cache after the first time |
| `pandapower:NAME` or `pandapower:PATH.json` | a grid that pandapower ships, or a file that it wrote |
| `matpower:PATH.m` | a MATPOWER case |
| `case:PATH.json`, `case:PATH.json?limits=RULES.json` | a reconfiguration case, with line limits if given |
| `rts-gmlc:DIRECTORY` | the RTS-GMLC tables as Parquet |
| `PATH.gridloom` | Gridloom's own file |
| `PATH.json`, `PATH.m` | told apart by what is inside |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gridloom.core.errors import BadInput, Malformed, Unavailable
from gridloom.grid.model import Grid
from gridloom.grid.report import Imported

if TYPE_CHECKING:
    from collections.abc import Callable


def load(uri: str | Path) -> Grid:
    """Return the grid at `uri`, a URI as in this module's table or a path.

    Raises:
        BadInput: If the scheme is unknown or what it names cannot be read as a grid.
        Unavailable: If a file or a library is not there.
    """
    return load_with_report(uri).grid


def load_with_report(uri: str | Path) -> Imported:
    """Return the grid at `uri` and what could not be carried; raises like `load`."""
    text = str(uri)
    scheme, colon, rest = text.partition(":")
    if colon and scheme in _SCHEMES:
        if not rest:
            message = f"{text!r} names no grid; write {scheme}: and then a name or a path"
            raise BadInput(message)
        return _SCHEMES[scheme](rest)
    if colon and len(scheme) > 1 and not Path(text).exists():
        message = f"unknown scheme {scheme!r} in {text!r}; known: {', '.join(_SCHEMES)}, or a path"
        raise BadInput(message)
    return _load_path(Path(text))


def _load_path(path: Path) -> Imported:
    from gridloom.grid.archive import read_with_report

    if path.suffix == ".m":
        return _load_matpower(str(path))
    if path.suffix == ".json":
        content = read_text(path)
        is_pandapower = "pandapowerNet" in content[:4096]
        return _load_pandapower(str(path)) if is_pandapower else _load_case(str(path))
    if path.is_dir():
        return _load_rts_gmlc(str(path))
    return read_with_report(path)


def read_text(path: Path) -> str:
    """Return the text of the file at `path`.

    Raises:
        Unavailable: If it cannot be read.
        Malformed: If it is not UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise Unavailable(message) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not text: byte {error.start} is not UTF-8"
        raise Malformed(message) from error


def _load_simbench(code: str) -> Imported:
    from gridloom.grid.simbench_import import import_simbench

    return import_simbench(code)


def _load_pandapower(name: str) -> Imported:
    from gridloom.grid.pandapower_import import import_pandapower_named

    return import_pandapower_named(name)


def _load_matpower(path: str) -> Imported:
    from gridloom.grid.matpower_import import import_matpower

    return import_matpower(Path(path))


def _load_case(text: str) -> Imported:
    from gridloom.grid.case_import import import_case

    path, _, query = text.partition("?")
    key, _, limits = query.partition("=")
    if query and (key != "limits" or not limits):
        message = f"case:{text}: after ? only limits=PATH is known"
        raise BadInput(message)
    return import_case(Path(path), limits=Path(limits) if limits else None)


def _load_rts_gmlc(directory: str) -> Imported:
    from gridloom.grid.rts_import import import_rts_gmlc

    return import_rts_gmlc(Path(directory))


def _refuse_dss(name: str) -> Imported:
    message = f"dss:{name}: OpenDSS files are not read yet; convert the feeder to pandapower or MATPOWER first"
    raise BadInput(message)


_SCHEMES: dict[str, Callable[[str], Imported]] = {
    "simbench": _load_simbench,
    "pandapower": _load_pandapower,
    "matpower": _load_matpower,
    "case": _load_case,
    "rts-gmlc": _load_rts_gmlc,
    "dss": _refuse_dss,
}
