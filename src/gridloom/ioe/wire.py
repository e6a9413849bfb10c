"""A small synchronous NATS client for the event path: no event loop, no queue, no copy of what arrives.

Bytes go from the socket into one preallocated buffer; the handler gets a view into it, valid until it returns. What is
published is put together in a second buffer and handed to the kernel at once. Nothing here grows with a message.
When the link breaks, `poll` restores it and all subscriptions; `publish` raises, and the caller's retry takes over.

Protocol: docs.nats.io, "Client Protocol"; of it PUB, HPUB, SUB, UNSUB, MSG, HMSG, PING, PONG, INFO, -ERR, +OK.
"""

from __future__ import annotations

import contextlib
import json
import logging
import select
import socket
import time
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from gridloom.core.errors import BadInput, GridloomError, Refused, Unavailable
from gridloom.ioe.wire_protocol import MESSAGE_ID, ProtocolBroken, Reader, WireHandler

if TYPE_CHECKING:
    from types import TracebackType

    from gridloom.ioe.credentials import Credentials

log = logging.getLogger(__name__)

BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Room for the largest frame, twice; larger messages are counted and skipped."""
_SEND_TIMEOUT_S: Final = 2.0
_FIRST_WAIT_S: Final = 0.02
_MOST_WAIT_S: Final = 1.0
_PING_AFTER_S: Final = 5.0
_USUAL_PORT: Final = 4222
_CRLF: Final = b"\r\n"
_NO_SUBJECT: Final = frozenset(" \t\r\n")


class WireClient:
    """One connection to a NATS server, used from one thread."""

    def __init__(
        self, url: str, credentials: Credentials | None, *, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        """Prepare the buffers; `connect` does the rest.

        Args:
            url: `nats://host:port`.
            credentials: Who we are to the server.
            buffer_bytes: Size of each of the two buffers.
        """
        where = urlsplit(url)
        if where.scheme != "nats" or not where.hostname:
            raise BadInput(f"{url!r} is not nats://host:port")
        self._address = where.hostname, where.port or _USUAL_PORT
        self._credentials = credentials
        self._reader = Reader(buffer_bytes)
        self._out = bytearray(buffer_bytes)
        self._out_view = memoryview(self._out)
        self._socket: socket.socket | None = None
        self._poller = select.poll()
        self._handlers: dict[int, tuple[str, WireHandler]] = {}
        self._wait_s, self._retry_at_s = _FIRST_WAIT_S, 0.0
        self._heard_at_s = self._pinged_at_s = 0.0
        self._pings = 0
        self.reconnects = 0
        self.handler_errors = 0
        """Messages whose handler raised a `GridloomError`: hostile or damaged content."""
        self.last_error = ""

    @classmethod
    def connect(
        cls,
        url: str,
        credentials: Credentials | None = None,
        *,
        timeout_s: float = 10.0,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> Self:
        """Return a client that is connected.

        Raises:
            Unavailable: No NATS server answered within `timeout_s` seconds.
            Refused: The server does not know the credentials.
        """
        client = cls(url, credentials, buffer_bytes=buffer_bytes)
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                client._open()
            except Refused:  # is an OSError too
                raise
            except (OSError, ProtocolBroken) as error:
                client._close()
                if time.monotonic() > deadline_s:
                    raise Unavailable(f"no bus at {url} within {timeout_s} s: {error}") from None
                time.sleep(_FIRST_WAIT_S)
            else:
                return client

    @property
    def is_connected(self) -> bool:
        """Whether the link stands, as far as is known."""
        return self._socket is not None

    @property
    def oversized(self) -> int:
        """Messages skipped because they do not fit the buffer."""
        return self._reader.oversized

    def subscribe(self, pattern: str, handler: WireHandler) -> int:
        """Call `handler(subject, payload)` in `poll` for every message that `pattern` matches.

        The payload is a view into the receive buffer: copy what must outlive the call.
        """
        _check_subject(pattern)
        number = len(self._handlers) + 1
        self._handlers[number] = pattern, handler
        if self._socket is not None:
            self._send(f"SUB {pattern} {number}\r\n".encode())
        return number

    def publish(self, subject: str, data: bytes | memoryview, *, message_id: str = "") -> None:
        """Send at once; `message_id` lets the record keep a repeated message only once.

        Raises:
            Unavailable: The link is down; nothing or a part was sent, and the caller should try again.
            BadInput: The subject is not one, or the message does not fit the buffer.
        """
        _check_subject(subject)
        _check_subject(message_id or "-")
        if message_id:
            head = f"NATS/1.0\r\n{MESSAGE_ID}: {message_id}\r\n\r\n".encode()
            line = f"HPUB {subject} {len(head)} {len(head) + len(data)}\r\n".encode() + head
        else:
            line = f"PUB {subject} {len(data)}\r\n".encode()
        start, end = len(line), len(line) + len(data)
        if end + len(_CRLF) > len(self._out):
            raise BadInput(f"a message of {len(data)} bytes exceeds {len(self._out)} bytes")
        # Through the view: a slice of the bytearray itself would first make a copy of what it is given.
        self._out_view[:start] = line
        self._out_view[start:end] = data
        self._out_view[end : end + 2] = _CRLF
        self._send(self._out_view[: end + 2])

    def poll(self, timeout_s: float) -> int:
        """Wait for bytes, call handlers for all whole messages among them; return how many there were.

        Raises:
            Refused: The server no longer knows the credentials.
        """
        if self._socket is None and not self._reopen(timeout_s):
            return 0
        if not self._poller.poll(timeout_s * 1000):
            self._check_silence()
            return 0
        try:
            return self._receive()
        except Refused:
            raise
        except (OSError, ProtocolBroken) as error:
            self._broke(error)
            return 0

    def flush(self, timeout_s: float = 5.0) -> None:
        """Return once the server has taken all that was sent, handling what arrives meanwhile.

        Raises:
            Unavailable: It did not answer within `timeout_s` seconds.
        """
        link, deadline_s = self._socket, time.monotonic() + timeout_s
        self._ping()
        wanted = self._pings
        while self._reader.pongs < wanted:
            if time.monotonic() > deadline_s or self._socket is not link:
                raise Unavailable(f"the bus did not confirm within {timeout_s} s")
            self.poll(0.05)

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 while the link is down."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Disconnect for good."""
        self._close()
        self._handlers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self) -> int:
        assert self._socket is not None  # noqa: S101 - the caller looked
        count = self._socket.recv_into(self._reader.space())
        if not count:
            raise ProtocolBroken("the server closed the link")
        self._heard_at_s = time.monotonic()
        self._reader.fill(count)
        messages = 0
        while (item := self._reader.next()) is not None:
            if item.verb == "MSG":
                messages += 1
                self._deliver(item.number, item.subject, item.payload)
            elif item.verb == "PING":
                self._send(b"PONG\r\n")
            elif item.verb == "-ERR":
                self._told_off(item.text)
        return messages

    def _deliver(self, number: int, subject: str, payload: memoryview) -> None:
        known = self._handlers.get(number)
        if known is None:
            return
        try:
            known[1](subject, payload)
        except GridloomError as error:
            self.handler_errors += 1
            self.last_error = str(error)
            log.warning("message on %s refused: %s", subject, error)

    def _told_off(self, text: str) -> None:
        self.last_error = text
        if "imeout" in text:
            raise ProtocolBroken(text)
        if "uthorization" in text or "uthentication" in text:
            self._close()
            raise Refused(f"the bus refused us: {text}")
        log.warning("the bus says: %s", text)

    def _send(self, data: bytes | memoryview) -> None:
        if self._socket is None:
            raise Unavailable("the link to the bus is down")
        try:
            self._socket.sendall(data)
        except OSError as error:
            self._broke(error)
            raise Unavailable(f"the link to the bus broke: {error}") from None

    def _check_silence(self) -> None:
        """Ask a server that says nothing whether it is alive; twice silent is a broken link."""
        now_s = time.monotonic()
        if now_s - self._heard_at_s < _PING_AFTER_S or now_s - self._pinged_at_s < _PING_AFTER_S:
            return
        if self._pinged_at_s > self._heard_at_s:
            self._broke(ProtocolBroken("the server answers no ping"))
            return
        self._pinged_at_s = now_s
        with contextlib.suppress(Unavailable):
            self._ping()

    def _ping(self) -> None:
        self._send(b"PING\r\n")
        self._pings += 1

    def _broke(self, error: Exception) -> None:
        self.last_error = str(error)
        log.warning("link to the bus broke: %s", error)
        self._close()

    def _reopen(self, timeout_s: float) -> bool:
        now_s = time.monotonic()
        if now_s < self._retry_at_s:
            time.sleep(min(timeout_s, self._retry_at_s - now_s))
            return False
        try:
            self._open()
        except Refused:
            raise
        except (OSError, ProtocolBroken) as error:
            self.last_error = str(error)
            self._close()
            self._retry_at_s = time.monotonic() + self._wait_s
            self._wait_s = min(2 * self._wait_s, _MOST_WAIT_S)
            return False
        self.reconnects += 1
        return True

    def _open(self) -> None:
        """Shake hands and subscribe; returns when the server has confirmed it all."""
        self._reader.reset()
        link = self._socket = socket.create_connection(self._address, timeout=_SEND_TIMEOUT_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await("INFO", "greeting")
        options: dict[str, str | bool | int] = {
            "verbose": False,
            "pedantic": False,
            "lang": "gridloom",
            "version": "1",
            "protocol": 1,
            "headers": True,
            "name": "event-path",
        }
        if self._credentials is not None:
            options["user"] = self._credentials.user
            options["pass"] = self._credentials.password
        subscriptions = "".join(
            f"SUB {pattern} {number}\r\n" for number, (pattern, _) in self._handlers.items()
        )
        link.sendall(f"CONNECT {json.dumps(options)}\r\n{subscriptions}PING\r\n".encode())
        self._pings = 1
        self._await("PONG", "answer to our credentials")
        self._poller = select.poll()
        self._poller.register(link, select.POLLIN)
        self._wait_s, self._retry_at_s = _FIRST_WAIT_S, 0.0
        self._heard_at_s = time.monotonic()

    def _await(self, verb: str, what: str) -> None:
        """Read until `verb` comes, delivering messages that come before it."""
        assert self._socket is not None  # noqa: S101 - the caller made it
        while True:
            while (item := self._reader.next()) is not None:
                if item.verb == "-ERR":
                    self._told_off(item.text)
                elif item.verb == "MSG":
                    self._deliver(item.number, item.subject, item.payload)
                elif item.verb == verb:
                    return
            count = self._socket.recv_into(self._reader.space())
            if not count:
                raise ProtocolBroken(f"the server closed the link before its {what}")
            self._reader.fill(count)

    def _close(self) -> None:
        link, self._socket = self._socket, None
        if link is not None:
            link.close()
            self._poller = select.poll()


def _check_subject(subject: str) -> None:
    if not subject or not subject.isascii() or not _NO_SUBJECT.isdisjoint(subject):
        raise BadInput(f"{subject!r} cannot stand in a line of the protocol")
