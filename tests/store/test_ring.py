"""The ring gives back whole records in order, and never writes over one that is not drained."""

import gc
import mmap
import random
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.core.errors import BadInput, Malformed
from gridloom.store import Draft, Journal, JournalReader, Ring, RingReader, drain_ring
from gridloom.store.errors import RingFull, RingMalformed, StoreFailed, StoreLocked
from gridloom.store.records import Alarm, record_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


def numbers(record: bytes) -> tuple[Draft, ...]:
    return (Draft("note", int.from_bytes(record, "little"), 0),)


def test_records_come_back_in_another_mapping(path: Path) -> None:
    with Ring(path, 8, 16) as ring, RingReader(path) as reader:
        assert [ring.append(b"a" * n) for n in (0, 1, 16)] == [1, 2, 3]
        assert [record.payload for record in reader.drain(0)] == [b"", b"a", b"a" * 16]
        assert [record.sequence for record in reader.drain(2)] == [3]


def test_full_ring_refuses_counts_and_goes_on_after_the_drain(path: Path) -> None:
    with Ring(path, 4, 8) as ring, RingReader(path) as reader:
        for number in range(4):
            ring.append(bytes([number]))
        for _ in range(3):
            with pytest.raises(RingFull, match="not drained"):
                ring.append(b"x")
        assert (ring.n_refused, ring.n_waiting) == (3, 4)
        assert [record.payload for record in reader.drain(0)] == [b"\0", b"\1", b"\2", b"\3"]
        reader.mark_drained(2)
        assert [ring.append(b"y"), ring.append(b"z")] == [5, 6]
        with pytest.raises(RingFull):
            ring.append(b"x")


def test_reopened_ring_goes_on_where_it_was(path: Path) -> None:
    with Ring(path, 4, 8) as ring:
        identity = ring.identity
        for _ in range(3):
            ring.append(b"old")
        ring.mark_drained(3)
        for _ in range(3):
            ring.append(b"new")
    with Ring(path, 4, 8) as ring:
        assert (ring.tail, ring.identity) == (6, identity)
        assert ring.append(b"newer") == 7


def test_wrong_shapes_and_files_are_refused(path: Path) -> None:
    with pytest.raises(StoreFailed):
        RingReader(path)
    with pytest.raises(BadInput):
        Ring(path, 0, 8)
    with Ring(path, 4, 8) as ring:
        with pytest.raises(BadInput, match="takes 8"):
            ring.append(b"123456789")
        with pytest.raises(StoreLocked):
            Ring(path, 4, 8)
    with pytest.raises(RingMalformed, match="drain and remove"):
        Ring(path, 5, 8)
    for junk in (b"", b"x" * 5000, path.read_bytes()[:-8]):
        path.write_bytes(junk)
        with pytest.raises(RingMalformed):
            RingReader(path)


@settings(max_examples=30, deadline=None)
@given(at=st.integers(0, 23), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_slot_loses_that_record_and_no_other(
    at: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("ring") / "ring"
    with Ring(path, 4, 8) as ring:
        for number in range(3):
            ring.append(struct.pack("<Q", number))
    raw = bytearray(path.read_bytes())
    raw[4096 + 24 + at] ^= 1 << bit
    path.write_bytes(bytes(raw))
    with RingReader(path) as reader:
        assert [record.sequence for record in reader.drain(0)] == [1, 3]


def test_record_published_but_not_counted_is_found_and_half_written_one_is_not(path: Path) -> None:
    with Ring(path, 4, 8) as ring:
        ring.append(b"one")
        ring.append(b"two")
        # What a writer leaves that is killed just before its last store, and one killed within the payload.
        ring._words[8] = 1
        ring._bytes[4096 + 2 * 24 + 16 : 4096 + 2 * 24 + 20] = b"torn"
    with Ring(path, 4, 8) as ring:
        assert ring.tail == 2
        assert [record.payload for record in ring.drain(0)] == [b"one", b"two"]


def test_append_leaves_nothing_on_the_heap(path: Path) -> None:
    record = b"r" * 64
    with Ring(path, 5000, 64) as ring:
        for _ in range(100):
            ring.append(record)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2000):
            ring.append(record)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert grown < 1000


def test_drain_takes_each_record_once(path: Path) -> None:
    with (
        Ring(path, 8, 8) as ring,
        RingReader(path) as reader,
        Journal(path.with_name("j.db"), commit_every_s=None) as journal,
    ):
        for number in range(30):
            ring.append(number.to_bytes(2, "little"))
            if number % 4 == 0:
                drain_ring(reader, journal, numbers)
        assert drain_ring(reader, journal, numbers).records > 0
        assert drain_ring(reader, journal, numbers).records == 0
        assert [int(entry.body) for entry in journal.entries()] == list(range(30))


def test_drain_after_a_restart_goes_by_the_journal_and_not_by_the_ring(path: Path) -> None:
    with Ring(path, 8, 8) as ring, Journal(path.with_name("j.db")) as journal:
        for number in range(5):
            ring.append(bytes([number]))
        drain_ring(ring, journal, numbers)
        ring._words[16] = 2  # the mark was lost: the journal was faster
        assert drain_ring(ring, journal, numbers).records == 0
        assert ring.drained == 5


def test_ring_set_back_by_a_power_cut_gives_out_no_number_again(path: Path) -> None:
    with Ring(path, 8, 8) as ring, Journal(path.with_name("j.db")) as journal:
        ring.append(b"a")
        kept = path.read_bytes()
        ring.append(b"b")
        drain_ring(ring, journal, numbers)
    path.write_bytes(kept)
    with Ring(path, 8, 8) as ring, Journal(path.with_name("j.db")) as journal:
        drain_ring(ring, journal, numbers)
        assert ring.append(b"c") == 3
        assert drain_ring(ring, journal, numbers).records == 1


def test_missing_and_unreadable_records_are_counted_and_kept(path: Path) -> None:
    def decode(record: bytes) -> tuple[Draft, ...]:
        if record == b"bad":
            message = "no such layout"
            raise Malformed(message)
        return (Draft("note", record.decode(), 7),)

    with Ring(path, 8, 8) as ring, Journal(path.with_name("j.db")) as journal:
        for record in (b"one", b"lost", b"bad", b"two"):
            ring.append(record)
        ring._words[(4096 + 24) // 8] = 0
        drained = drain_ring(ring, journal, decode)
        assert (drained.records, drained.missing, drained.unreadable) == (3, 1, 1)
        lost, bad = map(record_of, journal.entries(kind="alarm"))
        assert isinstance(lost, Alarm)
        assert isinstance(bad, Alarm)
        assert "2 to 2 are lost" in lost.text
        assert b"bad".hex() in bad.text


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_of_writer_and_drain_loses_and_doubles_nothing(
    seed: int, path: Path, run_and_kill: Callable[..., list[str]]
) -> None:
    rng = random.Random(seed)
    journal_path = path.with_name("journal.db")
    script, directory = "ring_crash_child.py", str(path.parent)
    written = 0
    for _ in range(2):
        lines = run_and_kill(script, "write", directory, after_s=rng.uniform(0, 0.05))
        written = max(written, *(int(line) for line in lines), 0) if lines else written
        run_and_kill(script, "drain", directory, after_s=rng.uniform(0, 0.02))
    with Ring(path, 512, 64) as ring, Journal(journal_path) as journal:
        drain_ring(ring, journal, _twice)
        total = ring.tail
    assert total >= written
    reader = JournalReader(journal_path)
    assert reader.verify().ok
    bodies = [entry.body for entry in reader.entries()]
    expected = [(b'{"number":%d}' % n, b'{"again":%d}' % n) for n in range(1, total + 1)]
    assert bodies == [body for pair in expected for body in pair]


def test_drain_beside_a_live_writer_takes_everything_once(path: Path) -> None:
    script = Path(__file__).with_name("ring_crash_child.py")
    command = [sys.executable, str(script), "write", str(path.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        with RingReader(path) as reader, Journal(path.with_name("j.db")) as journal:
            records = 0
            while records < 1500:  # three times round
                drained = drain_ring(reader, journal, _twice)
                assert (drained.missing, drained.unreadable) == (0, 0)
                records += drained.records
                for _ in range(drained.records):
                    child.stdout.readline()
            child.kill()
            journal.commit()
            bodies = [entry.body for entry in journal.entries()]
    expected = [(b'{"number":%d}' % n, b'{"again":%d}' % n) for n in range(1, records + 1)]
    assert bodies == [body for pair in expected for body in pair]


def _twice(record: bytes) -> tuple[Draft, ...]:
    (number,) = struct.unpack_from("<Q", record)
    return (Draft("note", {"number": number}, 1), Draft("note", {"again": number}, 1))


FULL_DISK = """
import resource, sys
from gridloom.store import Draft, Journal, Ring, drain_ring
from gridloom.store.errors import StoreFailed
decode = lambda record: (Draft("note", record.decode() * 5000, 1),)
ring, journal = Ring(sys.argv[1], 64, 8), Journal(sys.argv[1] + ".db", commit_every_s=None)
for _ in range(60):
    ring.append(b"x" * 8)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        drain_ring(ring, journal, decode)
    except StoreFailed:
        assert ring.drained == 0
    else:
        raise SystemExit("the disk was not full")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
drain_ring(ring, journal, decode)
assert ring.drained == 60 and journal.verify().n == 60
"""


def test_slots_stay_taken_until_the_journal_is_on_the_disk(path: Path) -> None:
    subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], check=True, timeout=60)


NO_ROOM = """
import resource, sys
from gridloom.store import Ring
from gridloom.store.errors import StoreFailed
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    Ring(sys.argv[1], 10_000, 64)
except StoreFailed:
    sys.exit(0)
sys.exit(1)
"""


def test_missing_room_is_found_at_the_start(path: Path) -> None:
    subprocess.run([sys.executable, "-c", NO_ROOM, str(path)], check=True, timeout=60)
    assert not path.exists()
    assert mmap.PAGESIZE <= 65536
