"""A frame: up to 65,535 readings of one kind from one source, as columns in one block of bytes.

A message per reading would cost a hundred times more than the reading. Layout, all little-endian:

    offset  type  meaning
    0       2s    magic, `GF`
    2       u8    version, 1
    3       u8    kind
    4       u16   flags
    6       u16   rows n
    8       u32   CRC-32 of everything but this field
    12      u32   epoch of the source (it counts its restarts)
    16      u64   sequence within the epoch and the lane
    24      i64   time [ns since 1970 UTC]
    32      u8    length s of the source's name
    33      u8    columns k
    34      6x    zero
    40      s     name of the source in ASCII, zero-padded to a multiple of 4
    ..      u32   index[n]: rows in the table of instruments that the birth carried
    ..      f32   values[k][n]

`decode` believes nothing: every length is checked before it is used. NaN is a legal value (`not known`).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from gridloom.core.errors import BadInput, Malformed

if TYPE_CHECKING:
    from collections.abc import Buffer, Mapping

VERSION: Final = 1
MAX_ROWS: Final = 65_535
MAX_SOURCE_BYTES: Final = 255
HEADER: Final = struct.Struct("<2sBBHHIIQqBB6x")
_MAGIC: Final = b"GF"
_CRC: Final = struct.Struct("<I")
_CRC_AT: Final = 8
_CRC_FROM: Final = 12
_U32: Final = np.dtype("<u4")
_F32: Final = np.dtype("<f4")


class FrameKind(IntEnum):
    """What the rows of a frame are readings of."""

    METER = 1
    """Connection points; injections into the grid, so a consuming house has a negative power."""
    BRANCH = 2
    """One side of a line, transformer or feeder head; positive into the branch."""
    BUS = 3
    SWITCH = 4
    """Position: 1 closed, 0 open, NaN not known."""
    INDICATOR = 5
    """Fault passage indicator: 1 fault current has passed, 0 not."""
    RELAY = 6
    """Protection: 0 reset, 1 picked up, 2 tripped, 3 locked out."""


class FrameFlag(IntFlag):
    """Bits of `Frame.flags`."""

    COMPLETE = 1
    """Every instrument of this source is in the frame: nothing more will come for this moment."""
    REPLAYED = 2
    """Sent from a store after a link was cut."""


COLUMNS: Final[Mapping[FrameKind, tuple[str, ...]]] = {
    FrameKind.METER: ("p_kw", "q_kvar", "v_pu"),
    FrameKind.BRANCH: ("p_kw", "q_kvar", "v_pu", "i_a"),
    FrameKind.BUS: ("v_pu",),
    FrameKind.SWITCH: ("position",),
    FrameKind.INDICATOR: ("flag",),
    FrameKind.RELAY: ("state",),
}
MAX_COLUMNS: Final = max(len(names) for names in COLUMNS.values())
_COLUMN_COUNT: Final = {int(kind): len(names) for kind, names in COLUMNS.items()}
_KINDS: Final = {int(kind): kind for kind in FrameKind}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Readings of one kind from one source at one moment."""

    kind: FrameKind
    source: str
    """Name of the gateway or unit that sends it."""
    epoch: int
    """Counts the restarts of the source."""
    sequence: int
    """Counts the frames of the source in this epoch and lane, from 0."""
    time_ns: int
    """When the readings were taken [ns since 1970 UTC]."""
    flags: int = 0
    index: NDArray[np.uint32]
    """Rows in the table of instruments, shape (n,)."""
    values: NDArray[np.float32]
    """Readings, shape (column, n), columns as in `COLUMNS`."""

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells this frame from every other of its lane."""
        return self.source, self.epoch, self.sequence

    @property
    def is_complete(self) -> bool:
        """Whether every instrument of the source is in the frame."""
        return bool(self.flags & FrameFlag.COMPLETE)


def encode(frame: Frame) -> bytes:
    """Return the bytes of `frame`.

    Raises:
        BadInput: A shape, name or number that the format cannot carry.
    """
    index = np.ascontiguousarray(frame.index, dtype=_U32)
    values = np.ascontiguousarray(frame.values, dtype=_F32)
    source = _checked_source(frame.source)
    columns = _COLUMN_COUNT[int(frame.kind)]
    rows = index.shape[0] if index.ndim == 1 else -1
    if not 0 <= rows <= MAX_ROWS or values.shape != (columns, rows):
        raise BadInput(
            f"a {frame.kind.name} frame has {columns} columns of at most {MAX_ROWS} rows; "
            f"got index {index.shape} and values {values.shape}"
        )
    try:
        header = HEADER.pack(
            _MAGIC,
            VERSION,
            frame.kind,
            frame.flags,
            rows,
            0,
            frame.epoch,
            frame.sequence,
            frame.time_ns,
            len(frame.source),
            columns,
        )
    except struct.error as error:
        raise BadInput(f"a number of frame {frame.key} does not fit: {error}") from None
    body = b"".join((header[_CRC_FROM:], source, index, values))
    crc = zlib.crc32(body, zlib.crc32(header[:_CRC_AT]))
    return b"".join((header[:_CRC_AT], _CRC.pack(crc), body))


def decode(data: Buffer) -> Frame:
    """Return the frame in `data`; its arrays are views, so `data` must outlive them.

    Raises:
        Malformed: The bytes are not one whole frame of this version.
    """
    view = memoryview(data)
    if view.nbytes < HEADER.size:
        raise Malformed(f"a frame has at least {HEADER.size} bytes, this one {view.nbytes}")
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    header = HEADER.unpack_from(view)
    magic, version, number, flags, rows, crc, epoch, sequence, time_ns, named, columns = header
    if magic != _MAGIC or version != VERSION:
        raise Malformed(f"not a frame of version {VERSION}: magic {magic!r}, version {version}")
    kind = _KINDS.get(number)
    if kind is None or columns != _COLUMN_COUNT[number]:
        raise Malformed(f"no frame has kind {number} with {columns} columns")
    start = HEADER.size + -(-named // 4) * 4
    expected = start + 4 * rows * (1 + columns)
    if view.nbytes != expected:
        raise Malformed(f"frame of {view.nbytes} bytes says that it has {expected}")
    if zlib.crc32(view[_CRC_FROM:], zlib.crc32(view[:_CRC_AT])) != crc:
        raise Malformed(f"checksum of a {kind.name} frame does not hold")
    if time_ns < 0:
        raise Malformed(f"time of a {kind.name} frame lies before 1970: {time_ns} ns")
    index = np.frombuffer(view, dtype=_U32, count=rows, offset=start)
    values = np.frombuffer(view, dtype=_F32, count=rows * columns, offset=start + 4 * rows)
    return Frame(
        kind=kind,
        source=_read_source(view[HEADER.size : HEADER.size + named]),
        epoch=epoch,
        sequence=sequence,
        time_ns=time_ns,
        flags=flags,
        index=index,
        values=values.reshape(columns, rows),
    )


def _checked_source(source: str) -> bytes:
    raw = source.encode("ascii", errors="replace")
    if not source.isprintable() or not source.isascii() or not 0 < len(raw) <= MAX_SOURCE_BYTES:
        raise BadInput(
            f"a source is 1 to {MAX_SOURCE_BYTES} printable ASCII characters: {source!r}"
        )
    return raw + b"\0" * (-len(raw) % 4)


def _read_source(raw: memoryview) -> str:
    try:
        source = str(raw, "ascii")
    except UnicodeDecodeError:
        source = ""
    if not source or not source.isprintable():
        raise Malformed(f"name of the source is not printable ASCII: {bytes(raw)!r}")
    return source
