"""The ring: fixed records in a preallocated memory-mapped file, for a writer that may not wait.

One writer appends in microseconds, without a system call; another process drains (`RingReader`). A killed
process loses nothing, since the pages belong to the kernel; a power cut may lose what was not drained yet.
A record that is not drained is never overwritten: a full ring refuses and counts.

Layout, in native 8-byte words: a header page, then slots. Header: magic, version, capacity, record bytes,
identity, tail (last published), drained, refused. Slot: sequence, crc and length, payload. The writer stores
payload, crc, sequence and tail in this order, so that a reader never takes a half-written record for a whole one.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from zlib import crc32

from gridloom.core.errors import BadInput
from gridloom.store.errors import RingFull, RingMalformed, StoreFailed
from gridloom.store.locks import WriterLock, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC: Final = int.from_bytes(b"GLRING\r\n", "little")
_VERSION: Final = 1
_HEADER_BYTES: Final = 4096
_SLOT_HEADER_BYTES: Final = 16
_WORD: Final = 8
# Header words. Tail and drained belong to different processes, so they sit on different cache lines.
_AT_MAGIC, _AT_VERSION, _AT_CAPACITY, _AT_RECORD, _AT_IDENTITY = range(5)
_AT_TAIL, _AT_REFUSED, _AT_DRAINED = 8, 9, 16
_LOW: Final = 0xFFFF_FFFF
MOST_RECORD_BYTES: Final = 1 << 20


class RingRecord(NamedTuple):
    """One record read back."""

    sequence: int
    payload: bytes


class _Mapped:
    """The mapped file, for both sides."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StoreFailed(path, str(error)) from error
        try:
            size = os.fstat(handle).st_size
            if size < _HEADER_BYTES:
                raise RingMalformed(path, f"{size} bytes are too few for a ring")
            flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
            self._map = mmap.mmap(handle, size, flags=flags)
        finally:
            os.close(handle)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        try:
            self._check(size)
        except BaseException:
            self.close()
            raise

    def _check(self, size: int) -> None:
        words = self._words
        if words[_AT_MAGIC] != _MAGIC:
            raise RingMalformed(
                self.path, "not a ring, or written by a machine of another byte order"
            )
        if words[_AT_VERSION] != _VERSION:
            raise RingMalformed(self.path, f"version {words[_AT_VERSION]}; this is {_VERSION}")
        self.capacity, self.record_bytes = words[_AT_CAPACITY], words[_AT_RECORD]
        self._stride = _stride(self.record_bytes)
        if not self.capacity or size != _HEADER_BYTES + self.capacity * self._stride:
            raise RingMalformed(self.path, f"{size} bytes do not fit {self.capacity} records")

    @property
    def identity(self) -> str:
        """A random name given at creation, so that a new file is never taken for an old one."""
        return f"ring-{self._words[_AT_IDENTITY]:016x}"

    @property
    def tail(self) -> int:
        """Sequence of the last published record; 0 for none."""
        return self._words[_AT_TAIL]

    @property
    def drained(self) -> int:
        """Sequence up to which slots may be written over."""
        return self._words[_AT_DRAINED]

    @property
    def n_waiting(self) -> int:
        """Records that are not drained yet."""
        return self.tail - self.drained

    @property
    def n_refused(self) -> int:
        """Records refused because the ring was full, since its creation: anything but 0 is an alarm."""
        return self._words[_AT_REFUSED]

    def drain(self, after: int) -> Iterator[RingRecord]:
        """Yield the records above sequence `after` that are published by now, in order.

        A record that does not match its checksum (after a power cut) is left out: its sequence is missing.
        """
        for sequence in range(max(after, self.tail - self.capacity) + 1, self.tail + 1):
            record = self._read(sequence)
            if record is not None:
                yield record

    def mark_drained(self, sequence: int) -> None:
        """Let the writer reuse the slots up to `sequence`; call it when the journal is on the disk."""
        self._words[_AT_DRAINED] = max(self._words[_AT_DRAINED], sequence)

    def sync(self) -> None:
        """Put the pages on the disk, for a stop in good order; never called on the event path."""
        self._map.flush()

    def close(self) -> None:
        """Unmap; a second call does nothing."""
        self._words.release()
        self._bytes.release()
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, sequence: int) -> int:
        return _HEADER_BYTES + (sequence - 1) % self.capacity * self._stride

    def _read(self, sequence: int) -> RingRecord | None:
        start = self._start(sequence)
        if self._words[start // _WORD] != sequence:
            return None
        checked = self._words[start // _WORD + 1]
        length = checked & _LOW
        if length > self.record_bytes:
            return None
        first = start + _SLOT_HEADER_BYTES
        payload = bytes(self._bytes[first : first + length])
        return RingRecord(sequence, payload) if _checked(sequence, payload) == checked else None


class RingReader(_Mapped):
    """The draining side; the one that moves the mark is the one with the journal's lock."""

    def __init__(self, path: Path | str) -> None:
        """Map the ring at `path`.

        Raises:
            StoreFailed: If it is not there.
            RingMalformed: If it is not a ring.
        """
        super().__init__(Path(path))


class Ring(_Mapped):
    """The one writer of a ring."""

    def __init__(self, path: Path | str, capacity: int, record_bytes: int) -> None:
        """Create the ring at `path`, or go on with the one that is there.

        Args:
            path: The file; `<path>.lock` stands beside it.
            capacity: Records it holds before the first must have been drained.
            record_bytes: Largest record [bytes].

        Raises:
            StoreLocked: If another writer has it.
            RingMalformed: If the file is not a ring of this shape.
            StoreFailed: If there is no room on the disk: found here, never while appending.
        """
        path = Path(path)
        if capacity < 1 or not 1 <= record_bytes <= MOST_RECORD_BYTES:
            message = f"a ring of {capacity} records of {record_bytes} bytes; give 1 or more, up to 1 MiB each"
            raise BadInput(message)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = WriterLock(path.with_name(path.name + ".lock"))
        try:
            if not path.exists():
                _create(path, capacity, record_bytes)
            super().__init__(path)
            self._check_shape(capacity, record_bytes)
        except BaseException:
            self._lock.release()
            raise
        self._words[_AT_TAIL] = self._find_tail()
        self._next = self._words[_AT_TAIL] + 1

    def append(self, record: bytes | bytearray | memoryview) -> int:
        """Write one record and return its sequence.

        Raises:
            RingFull: If the oldest record is not drained; nothing is written, `n_refused` counts it.
            BadInput: If the record is too long.
        """
        sequence, words = self._next, self._words
        waiting = sequence - words[_AT_DRAINED]
        if waiting > self.capacity:
            words[_AT_REFUSED] += 1
            raise RingFull(self.path, self.capacity)
        if waiting < 1:
            # A power cut set this file back behind the journal, whose numbers must not be given out again.
            sequence = words[_AT_DRAINED] + 1
        length = len(record)
        if length > self.record_bytes:
            message = f"a record of {length} bytes; this ring takes {self.record_bytes}"
            raise BadInput(message)
        start = _HEADER_BYTES + (sequence - 1) % self.capacity * self._stride
        self._bytes[start + 16 : start + 16 + length] = record
        words[(start >> 3) + 1] = crc32(record, sequence & _LOW) << 32 | length
        words[start >> 3] = sequence
        words[_AT_TAIL] = sequence
        self._next = sequence + 1
        return sequence

    def close(self) -> None:
        """Unmap and let the lock go; a second call does nothing."""
        super().close()
        self._lock.release()

    def _check_shape(self, capacity: int, record_bytes: int) -> None:
        if (self.capacity, self.record_bytes) != (capacity, record_bytes):
            found = f"{self.capacity} records of {self.record_bytes} bytes"
            self.close()
            raise RingMalformed(
                self.path,
                f"holds {found}, asked for are {capacity} of {record_bytes}; drain and remove it first",
            )

    def _find_tail(self) -> int:
        # A writer killed between a slot and the tail left a whole record above the tail; after a power cut the
        # tail may be the older of the two. Nothing above a mark of the drain can be given out again.
        floor = max(self.tail, self.drained)
        step = self._stride // _WORD
        first = _HEADER_BYTES // _WORD
        above = sorted((s for s in self._words[first:].tolist()[::step] if s > floor), reverse=True)
        return next((s for s in above if self._is_in_place(s)), floor)

    def _is_in_place(self, sequence: int) -> bool:
        return self._read(sequence) is not None


def _stride(record_bytes: int) -> int:
    return _SLOT_HEADER_BYTES + -(-record_bytes // _WORD) * _WORD


def _checked(sequence: int, payload: bytes) -> int:
    return crc32(payload, sequence & _LOW) << 32 | len(payload)


def _create(path: Path, capacity: int, record_bytes: int) -> None:
    size = _HEADER_BYTES + capacity * _stride(record_bytes)
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
            header = bytearray(_HEADER_BYTES)
            identity = int.from_bytes(os.urandom(8), "little")
            words = memoryview(header).cast("Q")
            for at, value in enumerate((_MAGIC, _VERSION, capacity, record_bytes, identity)):
                words[at] = value
            file.write(header)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreFailed(path, str(error)) from error
