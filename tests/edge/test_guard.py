"""The guard lets a genuine order through once, and nothing else."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.errors import BadInput, Malformed, Refused
from gridloom.core.units import NS_PER_S
from gridloom.edge import CommandGuard, GuardLimits

NOW = 1_000_000 * NS_PER_S


@dataclass(frozen=True)
class Act:
    target: str = "switch-1"


@dataclass(frozen=True)
class Order:
    plan_id: str = "plan-1"
    epoch: int = 1
    step: int = 0
    action: Act = Act()
    issued_ns: int = NOW
    expires_ns: int = NOW + 60 * NS_PER_S

    @property
    def key(self) -> str:
        return f"{self.plan_id}/{self.epoch}/{self.step}/{self.action.target}"


class Desk:
    """Stands for signing: an envelope is a number under which an order was left."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def sign(self, order: Order) -> bytes:
        self.orders.append(order)
        return str(len(self.orders) - 1).encode()

    def verify(self, envelope: bytes) -> Order:
        if not envelope.isdigit() or int(envelope) >= len(self.orders):
            raise Refused("signature does not hold")
        return self.orders[int(envelope)]


def guard_and_desk(**limits: int) -> tuple[CommandGuard[Order], Desk]:
    desk = Desk()
    return CommandGuard(desk.verify, {"switch-1", "switch-2"}, limits=GuardLimits(**limits)), desk


def outcome(order: Order, now_ns: int = NOW) -> str:
    guard, desk = guard_and_desk()
    return guard.check(desk.sign(order), now_ns).outcome


def test_a_genuine_order_is_accepted_once() -> None:
    guard, desk = guard_and_desk()
    envelope = desk.sign(Order())
    first = guard.check(envelope, NOW)
    assert (first.outcome, first.key, first.order) == ("accepted", Order().key, Order())
    assert guard.check(envelope, NOW + 1).outcome == "duplicate"


def test_a_forged_envelope_is_refused() -> None:
    guard, _ = guard_and_desk()
    decision = guard.check(b"rubbish", NOW)
    assert (decision.outcome, decision.order) == ("forged", None)


def test_an_expired_order_is_refused() -> None:
    assert outcome(Order(), Order().expires_ns) == "expired"


def test_an_order_for_somebody_else_is_refused() -> None:
    assert outcome(Order(action=Act("switch-9"))) == "unknown"


def test_an_order_from_the_future_is_stale() -> None:
    late = NOW + 3 * NS_PER_S
    assert outcome(Order(issued_ns=late, expires_ns=late + NS_PER_S)) == "stale"
    near = NOW + NS_PER_S
    assert outcome(Order(issued_ns=near, expires_ns=near + NS_PER_S)) == "accepted"


def test_an_order_that_lives_too_long_or_backwards_is_stale() -> None:
    assert outcome(Order(expires_ns=NOW + 100_000 * NS_PER_S)) == "stale"
    assert outcome(Order(issued_ns=NOW + NS_PER_S, expires_ns=NOW + 1)) == "stale"


def test_an_older_epoch_of_a_plan_is_stale() -> None:
    guard, desk = guard_and_desk()
    assert guard.check(desk.sign(Order(epoch=2)), NOW).is_accepted
    assert guard.check(desk.sign(Order(epoch=1)), NOW).outcome == "stale"
    assert guard.check(desk.sign(Order(epoch=3)), NOW).is_accepted


def test_a_clock_that_jumps_back_does_not_revive_an_expired_order() -> None:
    guard, desk = guard_and_desk()
    captured = desk.sign(Order(plan_id="captured", expires_ns=NOW + NS_PER_S))
    later = NOW + 600 * NS_PER_S
    fresh = Order(issued_ns=later, expires_ns=later + NS_PER_S)
    assert guard.check(desk.sign(fresh), later).is_accepted
    assert guard.check(captured, NOW).outcome == "expired"


def test_a_clock_that_jumps_ahead_and_returns_does_not_lock_the_device() -> None:
    guard, desk = guard_and_desk()
    assert guard.check(desk.sign(Order()), NOW + 10**9 * NS_PER_S).outcome == "expired"
    assert guard.check(desk.sign(Order(plan_id="next")), NOW).is_accepted


def test_a_target_takes_a_burst_and_then_one_order_per_refill() -> None:
    guard, desk = guard_and_desk(burst=3, refill_ns=NS_PER_S)
    outcomes = [guard.check(desk.sign(Order(step=n)), NOW).outcome for n in range(4)]
    assert outcomes == ["accepted"] * 3 + ["failed"]
    assert guard.check(desk.sign(Order(action=Act("switch-2"))), NOW).is_accepted
    assert guard.check(desk.sign(Order(step=9)), NOW + NS_PER_S).is_accepted
    assert guard.check(desk.sign(Order(step=10)), NOW + NS_PER_S).outcome == "failed"


def test_an_order_that_was_refused_for_now_is_not_carried_out_later() -> None:
    guard, desk = guard_and_desk(burst=1)
    guard.check(desk.sign(Order(step=0)), NOW)
    crowded = desk.sign(Order(step=1))
    early_ns = NOW + 30 * NS_PER_S
    early = desk.sign(Order(step=2, issued_ns=early_ns, expires_ns=early_ns + 60 * NS_PER_S))
    assert [guard.check(one, NOW).outcome for one in (crowded, early)] == ["failed", "stale"]
    after = CommandGuard(desk.verify, {"switch-1"})
    after.restore(guard.save())
    assert [after.check(one, early_ns).outcome for one in (crowded, early)] == ["failed", "stale"]


def test_a_forgotten_order_is_stale_and_never_carried_out_again() -> None:
    guard, desk = guard_and_desk(memory=2, burst=100)
    envelopes = [desk.sign(Order(plan_id=f"p{n}", issued_ns=NOW + n)) for n in range(5)]
    assert all(guard.check(one, NOW + 9).is_accepted for one in envelopes)
    again = [guard.check(one, NOW + 9).outcome for one in envelopes]
    assert again == ["stale"] * 3 + ["duplicate"] * 2


def test_a_restart_does_not_carry_out_twice() -> None:
    guard, desk = guard_and_desk()
    envelope = desk.sign(Order(epoch=2))
    assert guard.check(envelope, NOW).is_accepted
    after = CommandGuard(desk.verify, {"switch-1"})
    after.restore(guard.save())
    assert after.save() == guard.save()
    assert after.check(envelope, NOW).outcome == "duplicate"
    assert after.check(desk.sign(Order(epoch=1)), NOW).outcome == "stale"


@given(st.binary(max_size=60) | st.sampled_from([b'{"version":1}', b"[]", b'{"version":2}', b"1"]))
def test_a_damaged_state_is_refused_and_a_guard_without_memory_stays_safe(state: bytes) -> None:
    guard, desk = guard_and_desk()
    with pytest.raises(Malformed):
        guard.restore(state)
    guard.forget_before(NOW)
    assert guard.check(desk.sign(Order()), NOW).outcome == "stale"
    assert guard.check(desk.sign(Order(plan_id="new", issued_ns=NOW + 1)), NOW).is_accepted


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(-20, 100)), max_size=60), st.integers(1, 4)
)
def test_no_order_is_ever_carried_out_twice_whatever_the_clock_does(
    calls: list[tuple[int, int]], memory: int
) -> None:
    guard, desk = guard_and_desk(memory=memory)
    envelopes = [
        desk.sign(Order(plan_id=f"p{n % 3}", step=n, epoch=n // 2, issued_ns=NOW + n * NS_PER_S))
        for n in range(7)
    ]
    done: list[str] = []
    for number, offset_s in calls:
        decision = guard.check(envelopes[number], NOW + offset_s * NS_PER_S)
        if decision.is_accepted:
            done.append(decision.key)
        again = CommandGuard(desk.verify, {"switch-1"}, limits=guard.limits)
        again.restore(guard.save())
        guard = again
    assert len(done) == len(set(done))


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadInput):
        guard_and_desk(memory=0)
