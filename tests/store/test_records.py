"""Every body survives the journal, whatever is in it."""

import math

import pytest
from tests.store.examples import command, plan, verdict

from gridloom.core.errors import Malformed
from gridloom.core.hashing import canonical_bytes
from gridloom.core.plans import Acknowledgement
from gridloom.store.records import (
    KINDS,
    Acknowledged,
    Alarm,
    DecidedPlan,
    FaultSeen,
    OperatorAction,
    OperatorDeed,
    Outcome,
    PositionSeen,
    PreparedPlan,
    Record,
    Refusal,
    SentCommand,
    Started,
    Stopped,
    decode,
    kind_of,
)

EXAMPLES: list[Record] = [
    Started(
        version="0.1", mode="act", grid_hash="ff", clock="real", epoch=3, positions={"s": True}
    ),
    Stopped(reason="asked to"),
    PreparedPlan(plan=plan(), verdict=verdict(), generation=9),
    DecidedPlan(plan=plan(), verdict=verdict()),
    SentCommand(command=command(), ring_sequence=4),
    Acknowledged(acknowledgement=Acknowledgement(key="k", outcome="done", at_ns=6)),
    Outcome(plan_id="plan 1", epoch=1, succeeded=True, measured={"restored_mw": 1.4}),
    Refusal(what="command", reason="expired", source="gateway 7"),
    OperatorAction(operator="ann", deed=OperatorDeed.LOCK, target="switch 1"),
    Alarm(id="a", priority=1, text="über"),
    PositionSeen(switch="switch 1", closed=False),
    FaultSeen(fault="f", section="line 4", evidence=("indicator 3 passed",)),
]


def test_there_is_an_example_of_every_kind() -> None:
    assert {kind_of(record) for record in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize("record", EXAMPLES, ids=kind_of)
def test_every_kind_reads_back_as_written(record: Record) -> None:
    assert decode(kind_of(record), canonical_bytes(record)) == record


@pytest.mark.parametrize("worst", [math.nan, math.inf, -math.inf])
def test_number_without_a_sign_in_json_reads_back_as_nan(worst: float) -> None:
    body = canonical_bytes(DecidedPlan(plan=plan(), verdict=verdict(worst=worst)))
    record = decode("plan", body)
    assert isinstance(record, DecidedPlan)
    assert math.isnan(record.verdict.checks[0].worst)
    assert record.plan == plan()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("nonsense", b"{}"),
        ("alarm", b"{}"),
        ("alarm", b"not json"),
        ("alarm", b'{"id":null,"priority":1,"text":""}'),
        ("alarm", b'{"id":"\xff","priority":1,"text":""}'),
    ],
)
def test_what_does_not_fit_is_malformed(kind: str, body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(kind, body)
