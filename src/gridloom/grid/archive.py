"""Gridloom's own file: one zip of Parquet tables and a manifest; and single tables as Arrow bytes for the wire.

A file that is cut short, foreign, newer or altered is refused with a sentence that says which.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from gridloom.core.errors import BadInput, Malformed, Unavailable
from gridloom.grid.identity import state_hash
from gridloom.grid.model import TABLES, Grid
from gridloom.grid.report import Imported, LossReport

if TYPE_CHECKING:
    import pyarrow as pa

    from gridloom.grid.tables import Table

SCHEMA_VERSION = 1
FORMAT = "gridloom-grid"
MAX_BYTES = 2**32
"""Largest unpacked file that is read [bytes]; a guard against archives made to exhaust memory."""
MAX_ROWS = 50_000_000
"""Longest table that is read; packed columns can name far more rows than bytes."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a file beside its tables."""

    format: str
    schema_version: int
    name: str
    frequency_hz: float
    profiles: str
    hash: str
    """`state_hash` of the grid: model and switch positions."""
    report: LossReport | None = None
    """What its import lost, kept with the grid."""


def save(grid: Grid, path: str | Path, *, report: LossReport | None = None) -> Path:
    """Write `grid` to `path` so that `read` gives back the same grid, bit for bit.

    The file is written beside its place and moved there, so a reader never meets half a file.

    Raises:
        BadInput: If a text is not valid Unicode.
        Unavailable: If the file cannot be written.
    """
    path = Path(path)
    manifest = Manifest(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        name=grid.name,
        frequency_hz=grid.frequency_hz,
        profiles=grid.profiles,
        hash=state_hash(grid),
        report=report,
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        _put(archive, "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))
        for name in TABLES:
            _put(archive, f"{name}.parquet", _parquet_bytes(getattr(grid, name)))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content.getvalue())
        partial.replace(path)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise Unavailable(message) from error
    return path


def read(path: str | Path) -> Grid:
    """Return the grid in the Gridloom file at `path`.

    Raises:
        Unavailable: If there is no such file.
        Malformed: If it is foreign, cut short, altered or newer than this Gridloom.
    """
    return read_with_report(path).grid


def read_with_report(path: str | Path) -> Imported:
    """Return the grid at `path` with the loss report that was saved with it; raises like `read`."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise Unavailable(message) from error
    return _from_bytes(content, str(path))


def table_to_bytes(table: Table) -> bytes:
    """Return `table` as an Arrow IPC stream, for the wire."""
    import pyarrow as pa

    arrow = _to_arrow(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, arrow.schema) as stream:
        stream.write_table(arrow)
    return bytes(sink.getvalue().to_pybytes())


def table_from_bytes[T: Table](cls: type[T], content: bytes) -> T:
    """Return the table of type `cls` in an Arrow IPC stream.

    Raises:
        Malformed: If the bytes are not such a table.
    """
    import pyarrow as pa

    try:
        arrow = pa.ipc.open_stream(content).read_all()
        arrow.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        message = f"{cls.title()}: not an Arrow table: {error}"
        raise Malformed(message) from error
    return _from_arrow(cls, arrow)


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # A fixed date: equal grids give equal files.
    archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


def _from_bytes(content: bytes, source: str) -> Imported:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: info.file_size for info in archive.infolist()}
            manifest = _manifest(archive, members, source)
            tables = {name: _table(archive, name, cls) for name, cls in TABLES.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        message = f"{source} is not a Gridloom file or is cut short: {error}"
        raise Malformed(message) from error
    except Malformed as error:
        message = f"{source}: {error}"
        raise Malformed(message) from error
    grid = Grid(
        name=manifest.name,
        frequency_hz=manifest.frequency_hz,
        profiles=manifest.profiles,
        **tables,  # type: ignore[arg-type]  # the classes come from TABLES, name by name
    )
    if state_hash(grid) != manifest.hash:
        message = (
            f"{source}: its tables do not match the hash in its manifest; it was altered or damaged"
        )
        raise Malformed(message)
    return Imported(grid=grid, report=manifest.report or LossReport(source=source))


def _manifest(archive: zipfile.ZipFile, members: dict[str, int], source: str) -> Manifest:
    missing = [
        name for name in ("manifest.json", *(f"{t}.parquet" for t in TABLES)) if name not in members
    ]
    if missing:
        message = f"not a Gridloom file: {missing[0]} is not in it"
        raise Malformed(message)
    if sum(members.values()) > MAX_BYTES:
        message = f"unpacks to {sum(members.values())} bytes; the limit is {MAX_BYTES}"
        raise Malformed(message)
    try:
        manifest = msgspec.json.decode(archive.read("manifest.json"), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"its manifest cannot be read: {error}"
        raise Malformed(message) from error
    if manifest.format != FORMAT:
        message = f"its manifest names the format {manifest.format!r}, not {FORMAT!r}"
        raise Malformed(message)
    if manifest.schema_version > SCHEMA_VERSION:
        message = (
            f"written by a newer Gridloom (schema {manifest.schema_version}, "
            f"this one reads up to {SCHEMA_VERSION}); update Gridloom or import {source} again"
        )
        raise Malformed(message)
    return manifest


def _table(archive: zipfile.ZipFile, name: str, cls: type[Table]) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(pa.BufferReader(archive.read(f"{name}.parquet")))
        if parquet.metadata.num_rows > MAX_ROWS:
            message = f"table {name} has {parquet.metadata.num_rows} rows; the limit is {MAX_ROWS}"
            raise Malformed(message)
        arrow = parquet.read()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        message = f"table {name} cannot be read: {error}"
        raise Malformed(message) from error
    return _from_arrow(cls, arrow)


def _parquet_bytes(table: Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(_to_arrow(table), sink, compression="zstd", write_statistics=False)
    return bytes(sink.getvalue().to_pybytes())


def _to_arrow(table: Table) -> pa.Table:
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "float": pa.float64(),
        "row": pa.int64(),
        "int": pa.int64(),
        "flag": pa.bool_(),
    }
    columns = {}
    for spec in fields(table):
        values = getattr(table, spec.name)
        try:
            # from_pandas=False keeps a NaN a NaN: it must not come back as "no value".
            columns[spec.name] = pa.array(
                values, type=types[spec.metadata["kind"]], from_pandas=False
            )
        except (pa.ArrowException, UnicodeEncodeError, TypeError) as error:
            message = f"{table.title()}: column {spec.name} cannot be stored: {error}"
            raise BadInput(message) from error
    return pa.table(columns)


def _from_arrow[T: Table](cls: type[T], arrow: pa.Table) -> T:
    specs = {spec.name: spec for spec in fields(cls)}
    unknown = sorted(set(arrow.column_names) - specs.keys())
    if unknown:
        message = f"{cls.title()}: there is no column {unknown[0]!r}"
        raise Malformed(message)
    columns: dict[str, Any] = {}
    for name, spec in specs.items():
        if name in arrow.column_names:
            columns[name] = _column(cls, name, spec.metadata["kind"], arrow.column(name))
        elif spec.default is MISSING:
            message = f"{cls.title()}: column {name!r} is missing"
            raise Malformed(message)
    try:
        return cls(**columns)
    except Malformed:
        raise
    except BadInput as error:
        raise Malformed(str(error)) from error


def _column(cls: type[Table], name: str, kind: str, values: pa.ChunkedArray) -> Any:  # noqa: ANN401 - any column type
    from pyarrow import types

    fits = {
        "text": types.is_string,
        "float": types.is_float64,
        "row": types.is_int64,
        "int": types.is_int64,
        "flag": types.is_boolean,
    }[kind]
    if not fits(values.type) or values.null_count:
        message = f"{cls.title()}: column {name} holds {values.type} with {values.null_count} blanks, not {kind}"
        raise Malformed(message)
    if kind == "text":
        return np.array(values.to_pylist(), dtype=object)
    return values.to_numpy()
