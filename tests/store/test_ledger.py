"""The ledger makes and loses nothing, posts once, and lets nobody spend what is not there."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.core.errors import BadInput, UnknownId
from gridloom.store.errors import KeyReused, Overdrawn, StoreFailed
from gridloom.store.ledger import LARGEST, Ledger, Posting, Transaction, Unit

HERE = Path(__file__).parent
OUTSIDE, NAMES = "outside", ("a", "b", "c")


def transfer(key: str, giver: str, taker: str, amount: int) -> Transaction:
    return Transaction(
        key=key, at_ns=1, postings=(Posting(giver, -amount), Posting(taker, amount)), text="t"
    )


def opened(path: Path) -> Ledger:
    ledger = Ledger(path)
    ledger.open_account(OUTSIDE, Unit.MICRO_EUR, may_go_negative=True)
    for name in NAMES:
        ledger.open_account(name, Unit.MICRO_EUR)
    return ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path / "ledger.db") as ledger:
        ledger.post(transfer("fund", OUTSIDE, "a", 100))
        yield ledger


def test_transfer_moves_money_and_shows_on_both_statements(ledger: Ledger) -> None:
    assert ledger.post(transfer("k", "a", "b", 30))
    assert (ledger.balance("a"), ledger.balance("b"), ledger.balance(OUTSIDE)) == (70, 30, -100)
    assert [(line.amount, line.balance) for line in ledger.statement("a")] == [
        (100, 100),
        (-30, 70),
    ]
    assert ledger.statement("b", after=2) == ()
    assert ledger.audit() == ()


def test_same_transaction_posts_once_and_another_under_its_key_is_refused(ledger: Ledger) -> None:
    assert ledger.post(transfer("k", "a", "b", 30))
    assert not ledger.post(transfer("k", "a", "b", 30))
    with pytest.raises(KeyReused):
        ledger.post(transfer("k", "a", "b", 31))
    assert ledger.balance("b") == 30


def test_account_does_not_go_below_zero_unless_it_may(ledger: Ledger) -> None:
    with pytest.raises(Overdrawn, match="holds 100; -101"):
        ledger.post(transfer("k", "a", "b", 101))
    assert ledger.balance("a") == 100
    assert ledger.post(transfer("k", OUTSIDE, "b", 10**9))


@pytest.mark.parametrize(
    "postings",
    [
        (),
        (Posting("a", -1),),
        (Posting("a", -1), Posting("b", 2)),
        (Posting("a", -1), Posting("house", 1)),
        (Posting(OUTSIDE, -LARGEST), Posting("b", LARGEST)),
    ],
)
def test_transaction_that_is_not_even_in_each_unit_is_refused(
    ledger: Ledger, postings: tuple[Posting, ...]
) -> None:
    ledger.open_account("house", Unit.WH)
    with pytest.raises(BadInput):
        ledger.post(Transaction(key="k", at_ns=1, postings=postings))
    assert ledger.audit() == ()
    assert ledger.balance("a") == 100


def test_balance_stays_within_its_range(ledger: Ledger) -> None:
    ledger.post(transfer("1", OUTSIDE, "a", LARGEST - 200))
    with pytest.raises(BadInput, match="range"):
        ledger.post(transfer("2", OUTSIDE, "a", 200))


def test_energy_and_money_move_in_one_transaction(ledger: Ledger) -> None:
    ledger.open_account("grid wh", Unit.WH, may_go_negative=True)
    ledger.open_account("b wh", Unit.WH)
    postings = (
        *(Posting("a", -5), Posting("b", 5)),
        *(Posting("grid wh", -900), Posting("b wh", 900)),
    )
    ledger.post(Transaction(key="k", at_ns=1, postings=postings))
    assert (ledger.balance("b"), ledger.balance("b wh")) == (5, 900)


def test_unknown_account_and_other_terms_are_named(ledger: Ledger) -> None:
    with pytest.raises(UnknownId, match="nearest: outside"):
        ledger.balance("outsid")
    with pytest.raises(UnknownId):
        ledger.post(transfer("k", "a", "nobody", 1))
    with pytest.raises(BadInput, match="other terms"):
        ledger.open_account("a", Unit.WH)


def test_group_is_posted_whole_or_not_at_all(ledger: Ledger) -> None:
    group = [transfer("1", "a", "b", 60), transfer("2", "a", "c", 60)]
    with pytest.raises(Overdrawn):
        ledger.post_all(group)
    assert (ledger.balance("a"), ledger.balance("b")) == (100, 0)
    assert ledger.post_all(group[:1]) == 1
    assert ledger.post_all([group[0], transfer("3", "b", "c", 60)]) == 1


def test_audit_finds_what_was_touched(ledger: Ledger) -> None:
    ledger.post(transfer("k", "a", "b", 30))
    other = sqlite3.connect(ledger.path)
    with other:
        other.execute("UPDATE posting SET amount = 31 WHERE account = 'b'")
    other.close()
    assert any("transaction 2" in finding for finding in ledger.audit())
    assert any("account b" in finding for finding in ledger.audit())


def test_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.db").write_bytes(b"certainly not a database, and long enough" * 50)
    with pytest.raises(StoreFailed):
        Ledger(tmp_path / "l.db")


MOVES = st.lists(
    st.tuples(
        st.integers(0, 8),
        st.sampled_from((OUTSIDE, *NAMES)),
        st.sampled_from((OUTSIDE, *NAMES)),
        st.integers(-50, 50),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(moves=MOVES)
def test_any_moves_conserve_money_and_keep_balances(
    moves: list[tuple[int, str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = dict.fromkeys((OUTSIDE, *NAMES), 0)
    done: dict[str, Transaction] = {}
    with opened(tmp_path_factory.mktemp("l") / "l.db") as ledger:
        for key, giver, taker, amount in moves:
            transaction = transfer(str(key), giver, taker, amount)
            try:
                posted = ledger.post(transaction)
            except (Overdrawn, KeyReused):
                continue
            if posted:
                assert transaction.key not in done
                done[transaction.key] = transaction
                expected[giver] -= amount
                expected[taker] += amount
            assert done[transaction.key] == transaction
        balances = {account.id: account.balance for account in ledger.accounts()}
        assert balances == expected
        assert sum(balances.values()) == 0
        assert all(balance >= 0 for id_, balance in balances.items() if id_ != OUTSIDE)
        assert ledger.audit() == ()


def test_two_processes_post_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with opened(path) as ledger:
        for name in NAMES:
            ledger.post(transfer(name, OUTSIDE, name, 20))
        command = [sys.executable, str(HERE / "ledger_crash_child.py"), str(path)]
        children = [
            subprocess.Popen([*command, seed, "60"], stdout=subprocess.PIPE) for seed in ("1", "2")
        ]
        keys = [line for child in children for line in child.communicate()[0].split()[1:]]
        assert [child.returncode for child in children] == [0, 0]
        assert sum(ledger.balance(name) for name in NAMES) == 60
        assert ledger.audit() == ()
        posted = {line.key for name in NAMES for line in ledger.statement(name)}
        assert {key.decode() for key in keys} <= posted


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_loses_no_posted_transaction(
    seed: int, tmp_path: Path, run_and_kill: Callable[..., list[str]]
) -> None:
    path = tmp_path / "ledger.db"
    with opened(path) as ledger:
        for name in NAMES:
            ledger.post(transfer(name, OUTSIDE, name, 20))
    wait_s = random.Random(seed).uniform(0.0, 0.2)
    keys = run_and_kill("ledger_crash_child.py", str(path), str(seed), "1000000", after_s=wait_s)
    with Ledger(path) as ledger:
        posted = {line.key for name in NAMES for line in ledger.statement(name)}
        assert set(keys) <= posted
        assert len(posted) <= len(keys) + len(NAMES) + 1
        assert sum(ledger.balance(name) for name in NAMES) == 60
        assert ledger.audit() == ()
