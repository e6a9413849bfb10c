"""The parser finds the same messages however the bytes are cut, and survives every other byte."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.core.errors import BadInput
from gridloom.ioe.wire_protocol import LONGEST_LINE, ProtocolBroken, Reader

SIZE = 2 * LONGEST_LINE + 1000
type Seen = list[tuple[str, int, str, bytes, str]]


def feed(reader: Reader, data: bytes) -> Seen:
    """Give `data` to the reader and return what it finds."""
    seen: Seen = []
    while data:
        room = reader.space()
        assert len(room) > 0
        count = min(len(room), len(data))
        room[:count] = data[:count]
        reader.fill(count)
        data = data[count:]
        while (item := reader.next()) is not None:
            if item.verb == "MSG":
                seen.append(("MSG", item.number, item.subject, bytes(item.payload), ""))
            else:
                seen.append((item.verb, 0, "", b"", item.text))
    return seen


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, Seen]:
    raw, seen = b"", []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(
            st.sampled_from(["MSG", "REPLY", "HMSG", "PING", "PONG", "+OK", "-ERR", "INFO"])
        )
        body = draw(st.binary(max_size=300))
        number = draw(st.integers(0, 99))
        if kind == "MSG":
            raw += b"MSG a.b %d %d\r\n%b\r\n" % (number, len(body), body)
        elif kind == "REPLY":
            raw += b"MSG a.b %d _INBOX.1 %d\r\n%b\r\n" % (number, len(body), body)
        elif kind == "HMSG":
            head = b"NATS/1.0\r\nX: y\r\n\r\n"
            total = len(head) + len(body)
            raw += b"HMSG a.b %d %d %d\r\n%b%b\r\n" % (number, len(head), total, head, body)
        else:
            raw += kind.encode() + b" {}\r\n"
            seen.append((kind, 0, "", b"", "{}"))
            continue
        seen.append(("MSG", number, "a.b", body, ""))
    return raw, seen


@given(conversations(), st.lists(st.integers(1, 40), min_size=1, max_size=50))
@settings(deadline=None)
def test_messages_do_not_depend_on_how_the_stream_is_cut(
    conversation: tuple[bytes, Seen], cuts: list[int]
) -> None:
    raw, expected = conversation
    reader, seen, at, turn = Reader(SIZE), [], 0, 0
    while at < len(raw):
        step = cuts[turn % len(cuts)]
        seen += feed(reader, raw[at : at + step])
        at, turn = at + step, turn + 1
    assert seen == expected


@given(
    st.lists(
        st.binary(max_size=30)
        | st.sampled_from(
            [b"\r\n", b"MSG ", b"MSG a 1 5\r\n", b"HMSG a 1 9 5\r\n", b"MSG a 1 -1\r\n"]
        ),
        max_size=30,
    )
)
@settings(deadline=None)
def test_hostile_bytes_end_in_a_message_or_a_clear_error(parts: list[bytes]) -> None:
    with contextlib.suppress(ProtocolBroken):
        feed(Reader(SIZE), b"".join(parts))


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a 1 x\r\n",
        b"MSG a 1\r\n",
        b"MSG a 1 b c 5\r\n",
        b"MSG a 1 99999999999\r\n",
        b"HMSG a 1 7 5\r\n",
        b"MSG \xff 1 5\r\n",
        b"HELLO\r\n",
        b"MSG a 1 2\r\nabcd",
        b"\r\n",
    ],
)
def test_lines_outside_the_protocol_break_the_link(line: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        feed(Reader(SIZE), line)


def test_an_endless_line_is_refused_in_bounded_memory() -> None:
    with pytest.raises(ProtocolBroken, match="more than"):
        feed(Reader(SIZE), b"A" * (LONGEST_LINE + 2))


def test_a_message_that_does_not_fit_is_skipped_and_counted() -> None:
    reader = Reader(SIZE)
    big = b"MSG big 1 %d\r\n%b\r\n" % (SIZE, b"x" * SIZE)
    seen = feed(reader, big + b"MSG a 2 2\r\nhi\r\n")
    assert seen == [("MSG", 2, "a", b"hi", "")]
    assert reader.oversized == 1


def test_the_buffer_never_moves() -> None:
    reader = Reader(SIZE)
    before = memoryview(reader._buffer).nbytes
    for _ in range(200):
        feed(reader, b"MSG a 1 5000\r\n" + b"y" * 5000 + b"\r\n")
    assert memoryview(reader._buffer).nbytes == before


def test_a_buffer_that_is_too_small_is_refused() -> None:
    with pytest.raises(BadInput):
        Reader(1000)
