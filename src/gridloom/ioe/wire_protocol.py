"""The receiving half of the NATS protocol: bytes in, messages out, in one fixed buffer.

No socket here, so that hostile bytes can be tried on it directly. Whatever arrives, the outcome is a message, a
control line, `need more` or `ProtocolBroken`; never an endless loop and never a buffer that grows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gridloom.core.errors import BadInput, Malformed

MESSAGE_ID: Final = "Nats-Msg-Id"
type WireHandler = Callable[[str, memoryview], None]
"""Called with the subject and a view of the payload."""

LONGEST_LINE: Final = 64 * 1024
"""INFO lines of big clusters are long; all others stay below 4 KiB."""
_COMPACT_BELOW: Final = LONGEST_LINE
_WORDS: Final = {b"MSG": (3, 4), b"HMSG": (4, 5)}
_EMPTY: Final = memoryview(b"")


class ProtocolBroken(Malformed):
    """The server sent something that is not the protocol; the link cannot be used any more."""


@dataclass(slots=True)
class Item:
    """What `Reader.next` found; one object, filled again at every call."""

    verb: str = ""
    """`MSG` (with or without headers), `PING`, `PONG`, `INFO`, `-ERR` or `+OK`."""
    number: int = 0
    subject: str = ""
    payload: memoryview = _EMPTY
    text: str = ""


class Reader:
    """Cuts a stream of bytes into items; allocates its buffer once."""

    def __init__(self, buffer_bytes: int) -> None:
        """Make a reader with a buffer of `buffer_bytes`, at least two of the longest lines."""
        if buffer_bytes < 2 * LONGEST_LINE:
            raise BadInput(f"a buffer of {buffer_bytes} bytes; give at least {2 * LONGEST_LINE}")
        self._buffer = bytearray(buffer_bytes)
        self._view = memoryview(self._buffer)
        self._start = self._end = self._skip = 0
        # While a message is incomplete: where it starts after its line, and what the line said.
        self._item = Item()
        self._body = self._headers = -1
        self._searched = 0
        self.oversized = 0
        self.pongs = 0

    def reset(self) -> None:
        """Forget a half-read message: a new link starts."""
        self._start = self._end = self._skip = self._searched = self.pongs = 0
        self._body = -1

    def space(self) -> memoryview:
        """Return where the next bytes go; never empty."""
        if len(self._buffer) - self._end < _COMPACT_BELOW or self._start == self._end:
            kept = self._end - self._start
            self._view[:kept] = self._view[self._start : self._end]
            self._searched -= self._start
            self._start, self._end = 0, kept
            self._searched = max(self._searched, 0)
        return self._view[self._end :]

    def fill(self, count: int) -> None:
        """Say how many bytes came into `space`."""
        self._end += count

    def next(self) -> Item | None:
        """Return the next whole item, or None if more bytes are needed.

        Raises:
            ProtocolBroken: The bytes are not the protocol.
        """
        while True:
            if self._skip and not self._skipped():
                return None
            if self._body >= 0:
                return self._message()
            line = self._line()
            if line is None:
                return None
            item = self._control(line)
            if item is not None:
                return item

    def _skipped(self) -> bool:
        drop = min(self._skip, self._end - self._start)
        self._skip -= drop
        self._start += drop
        self._searched = self._start
        return not self._skip

    def _line(self) -> bytes | None:
        at = self._buffer.find(b"\r\n", max(self._start, self._searched - 1), self._end)
        if at < 0:
            self._searched = self._end
            if self._end - self._start > LONGEST_LINE:
                raise ProtocolBroken(f"a control line of more than {LONGEST_LINE} bytes")
            return None
        line = bytes(self._view[self._start : at])
        self._start = self._searched = at + 2
        return line

    def _control(self, line: bytes) -> Item | None:
        """Return the item of a line that stands alone; None after the line of a message."""
        word, _, rest = line.partition(b" ")
        verb = word.upper()
        if verb in _WORDS:
            self._expect_message(verb, rest.split())
            return None
        if verb == b"PONG":
            self.pongs += 1
        elif verb not in (b"PING", b"INFO", b"-ERR", b"+OK"):
            raise ProtocolBroken(f"no such line in the protocol: {line[:64]!r}")
        self._item.verb = verb.decode()
        self._item.text = rest.decode(errors="replace")
        return self._item

    def _expect_message(self, verb: bytes, words: list[bytes]) -> None:
        sizes = 1 if verb == b"MSG" else 2
        numbers = [words[1], *words[-sizes:]] if len(words) in _WORDS[verb] else [b""]
        if not all(number.isdigit() and len(number) < 10 for number in numbers):
            raise ProtocolBroken(f"a line {verb.decode()} with {b' '.join(words)[:64]!r}")
        total = int(numbers[-1])
        headers = int(numbers[1]) if sizes == 2 else 0
        if headers > total or not words[0].isascii():
            raise ProtocolBroken(f"headers of {headers} bytes in a message of {total}")
        if total + 2 + LONGEST_LINE > len(self._buffer):
            self.oversized += 1
            self._skip = total + 2
            return
        self._item.number = int(numbers[0])
        self._item.subject = words[0].decode("ascii")
        self._body, self._headers = total, headers

    def _message(self) -> Item | None:
        total, start = self._body, self._start
        if self._end - start < total + 2:
            return None
        if self._buffer[start + total : start + total + 2] != b"\r\n":
            raise ProtocolBroken("a message that does not end where its line said")
        self._item.verb = "MSG"
        self._item.payload = self._view[start + self._headers : start + total]
        self._start = self._searched = start + total + 2
        self._body = -1
        return self._item
