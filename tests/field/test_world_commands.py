"""Orders to switches: obeyed once, refused when they are not genuine, timely and new."""

import pytest

from gridloom.core.plans import Acknowledgement, Action, ActionKind, Command
from gridloom.field import ControlRequest
from gridloom.ioe.commands import decode_ack
from gridloom.ioe.signing import Signer, Verifier

from .conftest import START_NS, run_for

SECOND = 10**9


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.generate()


@pytest.fixture
def world(build, signer):
    return build(verify=Verifier.of([signer.public_key]).verify)


def order(target: str, *, kind=ActionKind.OPEN, plan="plan-1", epoch=1, issued=0, life=30, step=0):
    issued_ns = START_NS + issued * SECOND
    return Command(
        plan_id=plan,
        epoch=epoch,
        action=Action(kind=kind, target=target, step=step),
        issued_ns=issued_ns,
        expires_ns=issued_ns + life * SECOND,
        issuer="test",
    )


def send(world, envelope: bytes, path: str = "root.feeder-A", wait_s=10) -> list[Acknowledgement]:
    sent = world.receive(f"command.{path}", envelope, world.now_ns)
    sent += run_for(world, wait_s)
    return [decode_ack(one.payload) for one in sent if one.subject.startswith("ack.")]


def is_closed(world, switch: str) -> bool:
    return bool(world.plant.switchgear.closed[world.grid.switches.row(switch)])


def outcomes(answers: list[Acknowledgement]) -> list[str]:
    return [answer.outcome for answer in answers]


def test_a_genuine_order_is_accepted_and_done_after_the_travel(world, signer) -> None:
    answers = send(world, signer.sign(order("A2@a2")))
    assert outcomes(answers) == ["accepted", "done"]
    took_s = (answers[1].at_ns - answers[0].at_ns) / SECOND
    assert 0.5 <= took_s <= 7.0
    assert not is_closed(world, "A2@a2")


def test_the_switch_reports_its_new_position_as_an_event(world, signer) -> None:
    sent = world.receive("command.root.feeder-A", signer.sign(order("A2@a2")), START_NS)
    sent += run_for(world, 10)
    assert [one for one in sent if one.subject == "event.root.feeder-A"]


def test_an_order_that_comes_twice_is_carried_out_once(world, signer) -> None:
    envelope = signer.sign(order("A2@a2"))
    send(world, envelope)
    world.control(ControlRequest(do="operate", target="A2@a2", close=True), world.now_ns)
    run_for(world, 8)
    answers = send(world, envelope)
    assert outcomes(answers) == ["duplicate"]
    assert answers[0].note == "done"
    assert is_closed(world, "A2@a2")
    moved = [row for row in world.log.commands if row.moved]
    assert len(moved) == 1


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        (order("A2@a2", issued=-60), "expired"),
        (order("A2@a2", issued=60), "stale"),
        (order("B1@b1"), "unknown"),
        (order("A2@a2", kind=ActionKind.SET_POINT), "failed"),
    ],
)
def test_orders_that_may_not_be_carried_out_are_answered(world, signer, command, outcome) -> None:
    answers = send(world, signer.sign(command))
    assert outcomes(answers)[-1] == outcome
    assert is_closed(world, "A2@a2")


def test_forged_and_hostile_envelopes_move_nothing(world, signer) -> None:
    stranger = Signer.generate().sign(order("A2@a2"))
    damaged = bytearray(signer.sign(order("A2@a2")))
    damaged[-1] ^= 1
    for envelope in (stranger, bytes(damaged), b"", b"\x00" * 100):
        assert outcomes(send(world, envelope, wait_s=2)) == ["forged"]
    assert is_closed(world, "A2@a2")


def test_an_older_issue_of_a_plan_is_stale(world, signer) -> None:
    send(world, signer.sign(order("A2@a2", epoch=2)))
    answers = send(world, signer.sign(order("A3@a2", epoch=1)))
    assert outcomes(answers) == ["stale"]


def test_a_stuck_switch_answers_that_it_failed(world, signer) -> None:
    world.control(ControlRequest(do="stick", target="A2@a2"), START_NS)
    answers = send(world, signer.sign(order("A2@a2")))
    assert outcomes(answers) == ["accepted", "failed"]
    assert is_closed(world, "A2@a2")


def test_a_moving_switch_refuses_a_second_order(world, signer) -> None:
    world.control(ControlRequest(do="operate", target="A2@a2", close=False), START_NS)
    answers = send(world, signer.sign(order("A2@a2", kind=ActionKind.CLOSE)), wait_s=0.4)
    assert outcomes(answers) == ["accepted", "failed"]
    assert answers[1].note == "the switch is moving already"


def test_a_command_to_nowhere_is_logged_and_unanswered(world, signer) -> None:
    assert send(world, signer.sign(order("A2@a2")), path="no.such.cell") == []
    assert world.log.commands[-1].outcome == "no_such_cell"


def test_without_a_key_every_command_is_forged(build, signer) -> None:
    assert outcomes(send(build(), signer.sign(order("A2@a2")))) == ["forged"]


def test_after_a_restart_an_order_is_not_carried_out_again(build, signer) -> None:
    kept: list[bytes] = []
    verify = Verifier.of([signer.public_key]).verify
    world = build(verify=verify, keep=kept.append)
    envelope = signer.sign(order("A2@a2"))
    send(world, envelope, wait_s=1)
    assert kept
    reborn = build(verify=verify, epoch=2)
    reborn.devices.restore(kept[0])
    assert outcomes(send(reborn, envelope)) == ["duplicate"]
    assert is_closed(reborn, "A2@a2")


def test_a_damaged_memory_refuses_what_was_issued_before(build, signer) -> None:
    from gridloom.core.errors import Malformed

    world = build(verify=Verifier.of([signer.public_key]).verify)
    with pytest.raises(Malformed):
        world.devices.restore(b"{broken")
    world.devices.forget_before(START_NS)
    assert outcomes(send(world, signer.sign(order("A2@a2")))) == ["stale"]
