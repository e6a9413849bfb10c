"""The table of prepared plans that the platform writes and the event path reads, in shared memory.

One file, mapped by both (in /dev/shm where there is one), so that it outlives a kill of either side. The writer
makes the generation odd, writes, and makes it even again; a reader whose generation changed reads anew. Each row
also carries a checksum, so that a torn row is never taken for a plan, whatever the machine's memory order.

What never changes (ids, subjects, what each instrument watches) stands behind the columns as one packed block.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from gridloom.core.errors import BadInput, Malformed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOST_OPERATIONS: Final = 16
_MAGIC: Final = int.from_bytes(b"GLPLANS1", "little")
_HEADER_WORDS: Final = 32
_AT_MAGIC, _AT_GENERATION, _AT_LINES, _AT_SWITCHES, _AT_INSTRUMENTS, _AT_STATIC = range(6)
_AT_EPOCH, _AT_WRITTEN_NS, _AT_SERIES, _AT_STATE_HASH = 6, 7, 8, 9
_AT_GRID_NS, _AT_WALL_NS, _AT_SPEED = 10, 11, 12
_SPEED_UNIT: Final = 1_000_000
_ROW: Final = struct.Struct("<qqiBBxx8s16i16B16B")
_CRC: Final = struct.Struct("<I")
ROW_BYTES: Final = -(-(_ROW.size + _CRC.size) // 8) * 8
_PATIENCE_NS: Final = 20_000_000
"""A change is one copy of a few kilobytes; longer than this means that its writer has died or is starved [ns]."""
_BREATH_S: Final = 50e-6

OBSERVE, ADVISE, ACT = 0, 1, 2
NOT_KNOWN: Final = 255


class Static(msgspec.Struct, frozen=True, kw_only=True):
    """What the table says of the grid and its instruments; it never changes while the file lives."""

    grid_hash: str
    line_ids: list[str]
    switch_ids: list[str]
    command_paths: list[str]
    """Cell path under which each switch takes commands; empty where it takes none."""
    instrument_kind: bytes
    """One `FrameKind` number an instrument, 0 for those that the event path does not read."""
    instrument_element: list[int]
    """Row of the line of an indicator, of the switch of a relay or a position."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One switch to move."""

    switch: int
    """Row in switches."""
    close: bool
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRow:
    """A verified plan in the form that the event path carries out."""

    number: int
    """Number of the plan; 0 for none."""
    expires_ns: int
    breaker: int
    """Row of the breaker that must have locked out."""
    autonomy: int
    state_hash: bytes
    """First 8 bytes of the hash of the state it was made on."""
    operations: tuple[Operation, ...]


NO_PLAN: Final = PreparedRow(
    number=0, expires_ns=0, breaker=-1, autonomy=OBSERVE, state_hash=bytes(8), operations=()
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Zones:
    """Where indicators sit at the present switch positions; shapes (instrument,) and (switch,)."""

    parent: NDArray[np.int32]
    """Next indicator towards the source, -1 for none or for other instruments."""
    depth: NDArray[np.int32]
    line: NDArray[np.int32]
    """Line that is faulted if this indicator is the last that saw the fault; -1 where that is not one section."""
    breaker: NDArray[np.int32]
    """Switch row of the breaker above the indicator, -1 for none."""
    head_line: NDArray[np.int32]
    """Line that is faulted if a breaker trips and no indicator below it saw the fault, shape (switch,)."""


class PreparedTable:
    """Both sides of the table. One process writes, any number read."""

    def __init__(self, path: Path) -> None:
        """Map the table at `path`.

        Raises:
            Unavailable: If there is none.
            Malformed: If the file is not a table.
        """
        self.path = Path(path)
        self._writing = threading.Lock()
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"no table of prepared plans at {path}: {error.strerror}") from error
        try:
            self._map = mmap.mmap(handle, 0)
        except ValueError:
            raise Malformed(f"{path} is empty, not a table of prepared plans") from None
        finally:
            os.close(handle)
        words = np.frombuffer(
            self._map, dtype=np.int64, count=min(_HEADER_WORDS, len(self._map) // 8)
        )
        if len(words) < _HEADER_WORDS or words[_AT_MAGIC] != _MAGIC:
            raise Malformed(f"{path} is not a table of prepared plans")
        self._words = words
        self.n_lines, self.n_switches = int(words[_AT_LINES]), int(words[_AT_SWITCHES])
        self.n_instruments = int(words[_AT_INSTRUMENTS])
        places, size = _places(self.n_lines, self.n_switches, self.n_instruments)
        static_bytes = int(words[_AT_STATIC])
        if len(self._map) != size + static_bytes or static_bytes < 0:
            raise Malformed(
                f"{path} has {len(self._map)} bytes; its header says {size + static_bytes}"
            )
        self._rows_at = places["rows"][0]
        self.static = _read_static(bytes(self._map[size:]), path)
        columns = {name: self._column(*place) for name, place in places.items() if name != "rows"}
        self.positions = columns["positions"]
        """Positions that the plans were made on, 1 closed, shape (switch,)."""
        self.locked = columns["locked"]
        """1 where a person has locked a switch, shape (switch,)."""
        self.zones = Zones(
            parent=columns["parent"],
            depth=columns["depth"],
            line=columns["line"],
            breaker=columns["breaker"],
            head_line=columns["head_line"],
        )

    @classmethod
    def create(cls, path: Path, static: Static) -> Self:
        """Make an empty table, in place of any other of the same name.

        A process that has the old file mapped keeps it: start the event path after the table is made.
        """
        packed = msgspec.msgpack.encode(static)
        shape = len(static.line_ids), len(static.switch_ids), len(static.instrument_kind)
        if not len(static.instrument_kind) == len(static.instrument_element):
            raise BadInput("a table needs the kind and the element of every instrument")
        if len(static.command_paths) != len(static.switch_ids):
            raise BadInput("a table needs a command path, or an empty text, for every switch")
        _, size = _places(*shape)
        header = np.zeros(_HEADER_WORDS, dtype=np.int64)
        header[_AT_MAGIC] = _MAGIC
        header[_AT_LINES], header[_AT_SWITCHES], header[_AT_INSTRUMENTS] = shape
        header[_AT_STATIC] = len(packed)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            os.posix_fallocate(file.fileno(), 0, size + len(packed))
            file.write(header.tobytes())
            file.seek(size)
            file.write(packed)
        fresh.rename(path)
        table = cls(path)
        table.zones.parent[:] = table.zones.line[:] = table.zones.breaker[:] = -1
        table.zones.head_line[:] = -1
        return table

    @property
    def generation(self) -> int:
        """Counts changes; odd while one is being written."""
        return int(self._words[_AT_GENERATION])

    @property
    def epoch(self) -> int:
        """Counts the platform's starts; part of every command's key."""
        return int(self._words[_AT_EPOCH])

    @property
    def series(self) -> int:
        """Number of the newest preparation, so that a platform that restarts goes on counting."""
        return int(self._words[_AT_SERIES])

    @property
    def state_hash(self) -> bytes:
        """First 8 bytes of the hash of the state that is in force, as the platform last said."""
        return int(self._words[_AT_STATE_HASH]).to_bytes(8, "little", signed=True)

    @property
    def written_ns(self) -> int:
        """Grid time of the newest preparation [ns]."""
        return int(self._words[_AT_WRITTEN_NS])

    def write(
        self,
        rows: dict[int, PreparedRow],
        *,
        positions: NDArray[np.bool_],
        state_hash: str,
        zones: Zones,
        locked: Sequence[int],
        epoch: int,
        series: int,
        now_ns: int,
    ) -> None:
        """Replace everything.

        Args:
            rows: Plans by row of the faulted line; the other lines have none.
            positions: Switch positions that they were made on, shape (switch,).
            state_hash: Hash of model and positions, hexadecimal.
            zones: Indicators at these positions.
            locked: Rows of locked switches.
            epoch: Counts the platform's starts.
            series: Counts preparations.
            now_ns: Grid time.
        """
        packed = self._packed(rows)
        with self._change():
            self._map[self._rows_at : self._rows_at + len(packed)] = packed
            self._set_state(positions, state_hash)
            for name in ("parent", "depth", "line", "breaker", "head_line"):
                getattr(self.zones, name)[:] = getattr(zones, name)
            self._mark_locked(locked)
            self._words[_AT_EPOCH], self._words[_AT_SERIES] = epoch, series
            self._words[_AT_WRITTEN_NS] = now_ns

    def set_state(self, positions: NDArray[np.bool_], state_hash: str) -> None:
        """Say that switches stand elsewhere now: plans made on another state are void until the next `write`."""
        with self._change():
            self._set_state(positions, state_hash)

    def set_clock(self, grid_ns: int, wall_ns: int, speed: float) -> None:
        """Say what time it is: `grid_ns` at the monotonic machine time `wall_ns`, running `speed` times as fast."""
        with self._change():
            self._words[_AT_GRID_NS], self._words[_AT_WALL_NS] = grid_ns, wall_ns
            self._words[_AT_SPEED] = round(speed * _SPEED_UNIT)

    def now_ns(self, wall_ns: int) -> int:
        """Return the grid's time at the monotonic machine time `wall_ns`."""
        words = (_AT_GRID_NS, _AT_WALL_NS, _AT_SPEED)
        known = self.consistently(lambda: tuple(int(self._words[at]) for at in words))
        # With a writer that died half-way, a time that may be a step old is better than none.
        grid, wall, speed = known or tuple(int(self._words[at]) for at in words)
        return grid + (wall_ns - wall) * speed // _SPEED_UNIT

    @property
    def speed(self) -> float:
        """How fast the grid's time runs against the machine's."""
        return int(self._words[_AT_SPEED]) / _SPEED_UNIT

    def lock(self, switches: Sequence[int]) -> None:
        """Say which switches are locked, by row; everything else stays. Works at once, without a preparation."""
        with self._change():
            self._mark_locked(switches)

    def withdraw(self) -> None:
        """Take every plan away: the state is not known well enough."""
        packed = self._packed({})
        with self._change():
            self._map[self._rows_at : self._rows_at + len(packed)] = packed

    def read(self, line: int) -> PreparedRow | None:
        """Return the plan for a fault on the line in row `line`; None if there is none or it cannot be read."""
        return self.consistently(lambda: self.row(line))

    def row(self, line: int) -> PreparedRow | None:
        """Return the plan in one row as it stands; for use within `consistently`."""
        start = self._rows_at + line * ROW_BYTES
        return _unpack(self._map[start : start + ROW_BYTES])

    def consistently[T](self, read: Callable[[], T]) -> T | None:
        """Return what `read` returns while nobody writes; None if somebody writes for longer than anybody should.

        `read` may be called more than once and may look at anything in the table.
        """
        deadline_ns = 0
        while True:
            before = self.generation
            if before % 2 == 0:
                found = read()
                if self.generation == before:
                    return found
            now_ns = time.monotonic_ns()
            deadline_ns = deadline_ns or now_ns + _PATIENCE_NS
            if now_ns > deadline_ns:
                return None
            time.sleep(_BREATH_S)

    def close(self) -> None:
        """Let go of the mapping's arrays; the file stays."""
        # Arrays still point into the mapping: it is unmapped when the last of them is gone.
        del self.positions, self.locked, self.zones, self._words

    def remove(self) -> None:
        """Delete the file: for the one who made it, at the end."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Make the generation odd while something changes; one thread at a time."""
        with self._writing:
            # A writer that was killed half-way left it odd.
            self._words[_AT_GENERATION] |= 1
            try:
                yield
            finally:
                self._words[_AT_GENERATION] += 1

    def _packed(self, rows: dict[int, PreparedRow]) -> bytes:
        """Return all rows as one block, so that the change itself is one copy."""
        empty = _pack(NO_PLAN)
        return b"".join(
            _pack(rows[line]) if line in rows else empty for line in range(self.n_lines)
        )

    def _set_state(self, positions: NDArray[np.bool_], state_hash: str) -> None:
        self.positions[:] = positions
        self._words[_AT_STATE_HASH] = int.from_bytes(
            state_prefix(state_hash), "little", signed=True
        )

    def _mark_locked(self, switches: Sequence[int]) -> None:
        self.locked[:] = 0
        if len(switches):
            self.locked[list(switches)] = 1

    def _column(self, start: int, dtype: str, count: int) -> NDArray[np.int32]:
        return np.frombuffer(self._map, dtype=dtype, count=count, offset=start)


def state_prefix(state_hash: str) -> bytes:
    """Return the part of a state hash that the table carries: its first 8 bytes."""
    return bytes.fromhex(state_hash[:16])


def shared_path(name: str, fallback: Path) -> Path:
    """Return where a table of this name is kept: in memory if the system has a place for that."""
    memory = Path("/dev/shm")  # noqa: S108 - the system's own place for shared memory; the file is 0600
    return (memory if memory.is_dir() and os.access(memory, os.W_OK) else fallback) / name


def _places(
    n_lines: int, n_switches: int, n_instruments: int
) -> tuple[dict[str, tuple[int, str, int]], int]:
    """Return offset, type and count of each column, and the size of all."""
    wanted = (
        ("rows", "u1", n_lines * ROW_BYTES),
        ("positions", "u1", n_switches),
        ("locked", "u1", n_switches),
        ("head_line", "i4", n_switches),
        ("parent", "i4", n_instruments),
        ("depth", "i4", n_instruments),
        ("line", "i4", n_instruments),
        ("breaker", "i4", n_instruments),
    )
    places, at = {}, _HEADER_WORDS * 8
    for name, dtype, count in wanted:
        places[name] = (at, dtype, count)
        at += -(-np.dtype(dtype).itemsize * count // 64) * 64
    return places, at


def _pack(row: PreparedRow) -> bytes:
    operations = row.operations
    if len(operations) > MOST_OPERATIONS:
        raise BadInput(
            f"plan {row.number:x} has {len(operations)} operations; the table takes {MOST_OPERATIONS}"
        )
    room = MOST_OPERATIONS - len(operations)
    body = _ROW.pack(
        row.number,
        row.expires_ns,
        row.breaker,
        len(operations),
        row.autonomy,
        row.state_hash,
        *(operation.switch for operation in operations),
        *([0] * room),
        *(operation.close for operation in operations),
        *([0] * room),
        *(operation.step for operation in operations),
        *([0] * room),
    )
    return (body + _CRC.pack(zlib.crc32(body))).ljust(ROW_BYTES, b"\0")


def _unpack(raw: bytes) -> PreparedRow | None:
    (crc,) = _CRC.unpack_from(raw, _ROW.size)
    if crc != zlib.crc32(raw[: _ROW.size]):
        return None
    number, expires_ns, breaker, count, autonomy, state_hash, *rest = _ROW.unpack_from(raw)
    if number == 0 or count > MOST_OPERATIONS:
        return None
    most = MOST_OPERATIONS
    operations = tuple(
        Operation(rest[k], bool(rest[most + k]), rest[2 * most + k]) for k in range(count)
    )
    return PreparedRow(
        number=number,
        expires_ns=expires_ns,
        breaker=breaker,
        autonomy=autonomy,
        state_hash=state_hash,
        operations=operations,
    )


def _read_static(raw: bytes, path: Path) -> Static:
    try:
        return msgspec.msgpack.decode(raw, type=Static)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Malformed(f"{path}: the fixed part of the table is damaged: {error}") from None
