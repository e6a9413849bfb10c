"""SimBench grids by their code, read once through SimBench's own loader and kept in a cache in Gridloom's format.

The loader takes seconds and its profiles would make the file hundreds of times larger, so the cache holds the grid
alone; `gridloom.grid.profiles` fetches the year of profiles when somebody asks for it.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gridloom.core.errors import Malformed, Unavailable, UnknownId
from gridloom.grid.archive import SCHEMA_VERSION, read_with_report, save
from gridloom.grid.report import Imported, Loss, LossReport

if TYPE_CHECKING:
    from gridloom.grid.model import Cells
    from gridloom.grid.tables import Rows

_LOG = logging.getLogger(__name__)
_LOW_KV, _LEAST_CREDIBLE_PU, _EN_50160_PU = 1.0, 1.02, 1.1
IMPORTER_VERSION = 4
"""Counts changes of what an import yields; old cache files are then left alone and not read."""


def import_simbench(code: str) -> Imported:
    """Return the SimBench grid with this code, e.g. `1-MVLV-urban-all-0-sw`.

    Raises:
        UnknownId: If SimBench has no such code; the message names near ones.
    """
    cached = cache_path(code)
    if cached is not None and cached.exists():
        try:
            return read_with_report(cached)
        except (Malformed, Unavailable) as error:
            _LOG.warning("cache_unreadable path=%s error=%s", cached, error)
    net = simbench_net(code)
    imported = _import(net, code)
    if cached is not None:
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            save(imported.grid, cached, report=imported.report)
        except (OSError, Unavailable) as error:
            _LOG.warning("cache_not_written path=%s error=%s", cached, error)
        _keep_profiles(net, code)
    return imported


def cache_directory() -> Path:
    """Return where imported grids are kept: `$XDG_CACHE_HOME/gridloom`, by default `~/.cache/gridloom`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "gridloom"


def cache_path(code: str, suffix: str = ".gridloom") -> Path | None:
    """Return the cache file for a SimBench code; none where the code cannot be a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", code):
        return None
    stamp = f"{version('simbench')}-{version('pandapower')}-{SCHEMA_VERSION}.{IMPORTER_VERSION}"
    return cache_directory() / f"simbench-{code}-{stamp}{suffix}"


def simbench_net(code: str) -> Any:  # noqa: ANN401 - pandapower nets carry no types
    """Return SimBench's pandapower net with this code, profiles included.

    Raises:
        UnknownId: If SimBench has no such code.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import simbench

        codes = simbench.collect_all_simbench_codes(mv_level="")
        codes += [c for c in simbench.collect_all_simbench_codes() if c not in codes]
        if code not in codes:
            raise UnknownId("SimBench grid", code, codes)
        return simbench.get_simbench_net(code)


def _keep_profiles(net: Any, code: str) -> None:  # noqa: ANN401 - pandapower nets carry no types
    """Keep the year of profiles too: the loader has just read it, and reading it again would take as long."""
    from gridloom.grid.profiles import table_of_net, write_table

    path = cache_path(code, ".profiles.parquet")
    if path is not None and not path.exists():
        write_table(table_of_net(net), path)


def _import(net: Any, code: str) -> Imported:  # noqa: ANN401 - as above
    from gridloom.grid.pandapower_import import import_net

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imported = import_net(
            net,
            name=code,
            source=f"simbench:{code}",
            cells=_cells(net),
            profiles=f"simbench:{code}",
        )
    return with_credible_limits(imported)


def with_credible_limits(imported: Imported) -> Imported:
    """Return the import with the low-voltage limits of EN 50160 (10 %) where the data have 1 %.

    A hundred low-voltage buses of SimBench's urban grids carry 1.01 pu as their upper limit and 0.9 pu as their lower
    one; all other buses have 1.1 and 0.9. With 1.01 they would stand in violation most of the year.
    """
    buses = imported.grid.buses
    odd = (buses.vn_kv <= _LOW_KV) & (buses.v_max_pu < _LEAST_CREDIBLE_PU)
    if not odd.any():
        return imported
    words = f"{int(odd.sum())} low-voltage buses have 1.01 pu in the data; taken as 1.1 pu (EN 50160), like all others"
    entry = Loss(kind="bus", id="*", what="max_vm_pu", words=words)
    grid = imported.grid.with_tables(
        buses=buses.with_columns(v_max_pu=np.where(odd, _EN_50160_PU, buses.v_max_pu))
    )
    report = LossReport(source=imported.report.source, entries=(*imported.report.entries, entry))
    return Imported(grid=grid, report=report)


def _cells(net: Any) -> tuple[Cells, Rows]:  # noqa: ANN401 - as above
    from gridloom.grid.cells import subnet_cells

    subnets = net.bus.subnet.fillna("grid").astype(str)
    hv = [net.trafo.hv_bus, *([net.trafo3w.hv_bus] * 2 if len(net.trafo3w) else [])]
    lv = [net.trafo.lv_bus, *([net.trafo3w.mv_bus, net.trafo3w.lv_bus] if len(net.trafo3w) else [])]
    high = np.concatenate([subnets.loc[buses].to_numpy(dtype=object) for buses in hv])
    low = np.concatenate([subnets.loc[buses].to_numpy(dtype=object) for buses in lv])
    return subnet_cells(subnets.to_numpy(dtype=object), high, low)
