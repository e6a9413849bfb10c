"""What is there: buses, lines, transformers, switches, customers, cells; how it comes in and goes out. No time.

`load` reads a grid from a URI or a path; `topology.topology` says what is connected; `save` and `read` keep a grid
in Gridloom's own file. Heavy libraries are imported where a format needs them, never by importing this package.
"""

from __future__ import annotations

from gridloom.grid.archive import (
    read,
    read_with_report,
    save,
    table_from_bytes,
    table_to_bytes,
)
from gridloom.grid.identity import model_hash, state_hash
from gridloom.grid.instruments import Instruments, place_instruments
from gridloom.grid.loading import load, load_with_report
from gridloom.grid.model import (
    TABLES,
    Branches,
    Buses,
    Cells,
    Generators,
    Grid,
    Lines,
    Loads,
    Shunts,
    Sources,
    Storages,
    Switches,
    Transformers,
    Transformers3w,
)
from gridloom.grid.pandapower_export import to_pandapower
from gridloom.grid.profiles import Profiles, load_profiles
from gridloom.grid.report import Imported, Loss, LossReport
from gridloom.grid.tables import Flags, Floats, Rows, Table, Texts, column, texts

__all__ = [
    "TABLES",
    "Branches",
    "Buses",
    "Cells",
    "Flags",
    "Floats",
    "Generators",
    "Grid",
    "Imported",
    "Instruments",
    "Lines",
    "Loads",
    "Loss",
    "LossReport",
    "Profiles",
    "Rows",
    "Shunts",
    "Sources",
    "Storages",
    "Switches",
    "Table",
    "Texts",
    "Transformers",
    "Transformers3w",
    "column",
    "load",
    "load_profiles",
    "load_with_report",
    "model_hash",
    "place_instruments",
    "read",
    "read_with_report",
    "save",
    "state_hash",
    "table_from_bytes",
    "table_to_bytes",
    "texts",
    "to_pandapower",
]
