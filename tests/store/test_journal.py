"""The journal keeps what was committed, in order, once, and shows when it was touched."""

import random
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.core.errors import BadInput
from gridloom.store import Draft, Head, Journal, JournalReader
from gridloom.store.errors import JournalDamaged, StoreFailed, StoreLocked

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def check_seal(data: bytes, seal: bytes) -> bool:
    try:
        KEY.public_key().verify(seal, data)
    except InvalidSignature:
        return False
    return True


def filled(path: Path, n: int = 20, **options: object) -> Path:
    with Journal(path, commit_every_s=None, **options) as journal:
        for number in range(n):
            journal.append("note", {"number": number}, 1000 + number)
    return path


def change(path: Path, sql: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(sql)
    database.close()


@pytest.fixture
def journal_path(tmp_path: Path) -> Path:
    return filled(tmp_path / "journal.db")


def test_entries_come_back_in_order_with_their_bodies(journal_path: Path) -> None:
    entries = list(JournalReader(journal_path).entries())
    assert [entry.sequence for entry in entries] == list(range(1, 21))
    assert msgspec.json.decode(entries[7].body) == {"number": 7}
    assert entries[7].at_ns == 1007
    assert [entry.sequence for entry in JournalReader(journal_path).last(3)] == [18, 19, 20]
    assert not list(JournalReader(journal_path).entries(kind="plan"))


def test_untouched_journal_verifies(journal_path: Path) -> None:
    result = JournalReader(journal_path).verify()
    assert (result.ok, result.n, result.first_bad, result.witnessed) == (True, 20, None, True)
    assert result.head_hash == JournalReader(journal_path).head.hash


def test_same_entries_give_same_hashes_in_another_place_and_grouping(tmp_path: Path) -> None:
    first = filled(tmp_path / "a.db")
    with Journal(tmp_path / "b.db") as journal:
        for number in range(20):
            journal.append("note", {"number": number}, 1000 + number)
            journal.commit()
        assert journal.head == JournalReader(first).head


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entry SET body = CAST('{\"number\":8}' AS BLOB) WHERE sequence = 8",
        "UPDATE entry SET at_ns = at_ns + 1 WHERE sequence = 8",
        "UPDATE entry SET kind = 'nota' WHERE sequence = 8",
        "UPDATE entry SET hash = '00' || substr(hash, 3) WHERE sequence = 8",
        "DELETE FROM entry WHERE sequence = 8",
    ],
)
def test_a_touched_entry_is_named(journal_path: Path, sql: str) -> None:
    change(journal_path, sql)
    result = JournalReader(journal_path).verify()
    assert (result.ok, result.n, result.first_bad) == (False, 7, 8)
    assert result.why


def test_one_changed_byte_of_a_body_in_the_file_is_found(journal_path: Path) -> None:
    raw = bytearray(journal_path.read_bytes())
    at = raw.index(b'{"number":13}') + len(b'{"number":1')
    raw[at] ^= 1
    journal_path.write_bytes(bytes(raw))
    result = JournalReader(journal_path).verify()
    assert (result.ok, result.first_bad) == (False, 14)


def test_cut_off_end_is_shown_by_the_head_and_not_by_the_chain(journal_path: Path) -> None:
    change(journal_path, "DELETE FROM entry WHERE sequence > 15")
    result = JournalReader(journal_path).verify()
    assert (result.ok, result.first_bad) == (False, 16)
    with pytest.raises(JournalDamaged, match="end is missing"):
        Journal(journal_path)
    journal_path.with_name("journal.db.head").unlink()
    alone = JournalReader(journal_path).verify()
    assert (alone.ok, alone.witnessed) == (True, False)


def test_cut_off_end_with_a_forged_head_is_shown_by_the_seal(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal.db", seal=KEY.sign)
    assert JournalReader(path).verify(check_seal=check_seal).ok
    change(path, "DELETE FROM entry WHERE sequence > 15")
    path.with_name("journal.db.head").unlink()
    filled(path, 0)  # writes a head of its own, without the key
    assert JournalReader(path).verify().ok
    result = JournalReader(path).verify(check_seal=check_seal)
    assert not result.ok
    assert "seal" in result.why


def test_rewritten_journal_is_shown_by_a_witness_elsewhere(tmp_path: Path) -> None:
    genuine = JournalReader(filled(tmp_path / "a.db")).head
    with Journal(tmp_path / "b.db") as journal:
        for number in range(25):
            journal.append("note", {"number": number + 1}, 1000 + number)
    rewritten = JournalReader(tmp_path / "b.db")
    assert rewritten.verify().ok
    result = rewritten.verify(witness=genuine)
    assert (result.ok, result.first_bad) == (False, 20)
    assert not rewritten.verify(witness=Head(26, "0" * 64)).ok


def test_torn_head_slot_leaves_the_older_head(journal_path: Path) -> None:
    filled(journal_path, 5)
    head = journal_path.with_name("journal.db.head")
    raw = bytearray(head.read_bytes())
    raw[512 + 20] ^= 255
    head.write_bytes(bytes(raw))
    assert JournalReader(journal_path).verify().ok
    filled(journal_path, 5)
    assert JournalReader(journal_path).verify().n == 30


def test_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"certainly not a database, and long enough to tell" * 50)
    with pytest.raises(JournalDamaged):
        Journal(path)
    assert not JournalReader(path).verify().ok
    with pytest.raises(StoreFailed, match="no such journal"):
        JournalReader(tmp_path / "none.db")


def test_second_writer_is_refused_and_named(journal_path: Path) -> None:
    with Journal(journal_path), pytest.raises(StoreLocked, match=r"written by process \d+"):
        Journal(journal_path)
    Journal(journal_path).close()


def test_reader_sees_what_is_committed_on_a_live_file(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db", commit_every_s=None) as journal:
        reader = journal.reader()
        journal.append("note", 1, 0)
        assert not list(reader.entries())
        journal.commit()
        assert len(list(reader.entries())) == 1
        assert reader.verify().ok


def test_committer_writes_without_being_asked(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db", commit_every_s=0.01) as journal:
        journal.append("note", 1, 0)
        done = threading.Event()
        for _ in range(1000):
            if journal.head.sequence == 1:
                break
            done.wait(0.01)
        assert journal.n_pending == 0
        assert len(list(journal.entries())) == 1


def test_broken_seal_is_named_and_keeps_the_committer_alive(tmp_path: Path) -> None:
    broken = threading.Event()

    def seal(data: bytes) -> bytes:
        if broken.is_set():
            message = "the key is gone"
            raise KeyError(message)
        return KEY.sign(data)

    with Journal(tmp_path / "journal.db", commit_every_s=0.001, seal=seal) as journal:
        broken.set()
        journal.append("note", 1, 0)
        pause = threading.Event()
        for _ in range(1000):
            if journal.failure:
                break
            pause.wait(0.01)
        assert "the key is gone" in journal.failure
        broken.clear()
        journal.append("note", 2, 0)
        journal.commit()
        assert not journal.failure
        assert journal.reader().verify(check_seal=check_seal).n == 2


def test_threads_share_one_chain(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db", commit_every_s=0.001) as journal:

        def work() -> None:
            for number in range(200):
                journal.append("note", number, 0)
                if number % 20 == 0:
                    journal.commit()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        journal.commit()
        assert (journal.verify().ok, journal.verify().n) == (True, 800)


def test_body_without_canonical_form_is_refused_and_leaves_no_gap(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db", commit_every_s=None) as journal:
        with pytest.raises(BadInput, match="canonical"):
            journal.append("note", object(), 0)
        assert journal.append("note", 1, 0) == 1


def test_position_of_a_source_moves_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(path, commit_every_s=None) as journal:
        drafts = (Draft("note", 1, 0), Draft("note", 2, 0))
        assert journal.append_drained("ring-a", 1, drafts) == (1, 2)
        assert journal.append_drained("ring-a", 1, drafts) == ()
        assert journal.append_drained("ring-b", 1, ()) == ()
    with Journal(path, commit_every_s=None) as journal:
        assert (journal.drained("ring-a"), journal.drained("ring-b")) == (1, 1)
        assert journal.append_drained("ring-a", 1, drafts) == ()


@settings(max_examples=15, deadline=None)
@given(groups=st.lists(st.lists(st.integers(), max_size=5), max_size=6))
def test_any_grouping_reads_back_what_was_appended(
    groups: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Journal(tmp_path_factory.mktemp("j") / "j.db", commit_every_s=None) as journal:
        for group in groups:
            for value in group:
                journal.append("note", value if abs(value) < 2**63 else str(value), 0)
            journal.commit()
        assert len(list(journal.entries())) == sum(map(len, groups))
        assert journal.verify().ok


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_loses_and_doubles_no_committed_entry(
    seed: int, tmp_path: Path, run_and_kill: Callable[..., list[str]]
) -> None:
    path = tmp_path / "journal.db"
    wait_s = random.Random(seed).uniform(0.0, 0.25)
    for _ in range(2):
        lines = run_and_kill("journal_crash_child.py", str(path), "0.002", after_s=wait_s)
        committed = int(lines[-1]) if lines else 0
        with Journal(path, commit_every_s=None) as journal:
            result = journal.verify()
            assert result.ok
            assert result.n >= committed
            assert [entry.sequence for entry in journal.entries()] == list(range(1, result.n + 1))


FULL_DISK = """
import resource, sys
from gridloom.core.errors import Unavailable
from gridloom.store import Journal
journal = Journal(sys.argv[1], commit_every_s=None)
for _ in range(50):
    journal.append("note", "x" * 100, 0)
journal.commit()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for _ in range(5000):
    journal.append("note", "y" * 200, 0)
try:
    journal.commit()
except Unavailable as error:
    assert "free some space" in str(error), error
else:
    raise SystemExit("the disk was not full")
assert journal.failure and journal.n_pending == 5000
journal.append("note", "the loop goes on", 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.commit()
assert not journal.failure and journal.verify().n == 5051 and journal.verify().ok
journal.close()
"""


def test_full_disk_is_a_clear_error_and_loses_nothing_once_there_is_room(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "journal.db"), "300000"]
    subprocess.run(command, check=True, timeout=60)
