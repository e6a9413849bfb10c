"""What the world sends without being asked."""

import hashlib

import numpy as np
import pytest

from gridloom.core.errors import BadInput
from gridloom.field import ControlRequest, PlannedFault, TelemetrySettings, Tolerances
from gridloom.field.telemetry import HEAD_END
from gridloom.ioe.frames import FrameKind

from .conftest import START_NS, frames, run_for

FAULT = (PlannedFault(line="A3", at_s=3.3),)


def fingerprint(sent) -> str:
    sha = hashlib.sha256()
    for one in sorted(sent, key=lambda one: (one.due_ns, one.number)):
        sha.update(f"{one.due_ns} {one.subject} ".encode() + one.payload)
    return sha.hexdigest()


def test_the_same_seed_gives_the_same_bytes(build) -> None:
    prints = [fingerprint(run_for(build(seed=seed, faults=FAULT), 20)) for seed in (4, 4, 5)]
    assert prints[0] == prints[1] != prints[2]


def test_the_length_of_the_steps_changes_nothing(build) -> None:
    long = run_for(build(faults=FAULT), 20, step_s=20)
    short = run_for(build(faults=FAULT), 20, step_s=0.013)
    assert fingerprint(long) == fingerprint(short)


def test_every_meter_is_heard_once_a_minute_unless_it_drops_out(build) -> None:
    world = build(telemetry=TelemetrySettings(meter_dropout=0.0, meters_a_frame=1))
    sent = frames(run_for(world, 59.5), "telemetry")
    rows = np.concatenate([frame.index for frame in sent if frame.kind is FrameKind.METER])
    meters = np.flatnonzero(world.instruments.kind == "meter")
    lost = world.outbox.lost
    assert len(meters) - lost <= len(rows) <= len(meters)
    assert len(np.unique(rows)) == len(rows)


def test_readings_are_the_truth_within_the_class(build) -> None:
    still = Tolerances(demand_sigma=0.0)
    world = build(tolerances=still, telemetry=TelemetrySettings(meter_dropout=0.0))
    result_at = {}
    sent = []
    for second in range(70):
        sent += world.advance(START_NS + second * 10**9)
        result_at[world.now_ns] = world.plant.result
    seen = 0
    for frame in frames(sent, "telemetry"):
        if frame.kind is FrameKind.BUS:
            buses = world.instruments.element[frame.index]
            error = frame.values[0] / result_at[frame.time_ns].v_pu[buses] - 1.0
            assert (np.abs(error) < 0.005 * 5 / 3).all()
            seen += 1
    assert seen > 60


def test_a_consuming_house_has_a_negative_and_a_solar_roof_a_positive_injection(build) -> None:
    world = build(telemetry=TelemetrySettings(meter_dropout=0.0))
    power = {}
    for frame in frames(run_for(world, 80), "telemetry"):
        if frame.kind is FrameKind.METER:
            power.update(zip(frame.index.tolist(), frame.values[0].tolist(), strict=True))
    kinds = {row: world.instruments.element_kind[row] for row in power}
    assert all((power[row] < 0) == (kind == "load") for row, kind in kinds.items())
    assert set(kinds.values()) == {"load", "generator"}


def test_the_truth_balances_power(build) -> None:
    world = build()
    run_for(world, 3)
    result, probes = world.plant.result, world.plant._probes
    assert result is not None
    drawn_kw = -probes.true[FrameKind.METER][0].sum()
    from_source_kw = result.transformer_flow.p_from_mw[0] * 1000.0
    assert from_source_kw == pytest.approx(drawn_kw + result.loss_kw, abs=1e-5)


def test_dead_customers_show_no_power_and_no_voltage(build) -> None:
    world = build(faults=FAULT, telemetry=TelemetrySettings(meter_dropout=0.0))
    run_for(world, 10)
    last = {}
    for frame in frames(run_for(world, 80), "telemetry"):
        if frame.kind is FrameKind.METER:
            for at, row in enumerate(frame.index.tolist()):
                last[str(world.instruments.id[row])] = frame.values[:, at]
    dead = last["meter:load:load-a3"]
    assert dead[0] == 0.0
    assert np.isnan(dead[2])


def test_sequences_have_no_holes_but_the_lost_ones(build) -> None:
    world = build()
    sent = frames(run_for(world, 120), "telemetry")
    numbers: dict[str, list[int]] = {}
    for frame in sent:
        numbers.setdefault(frame.source, []).append(frame.sequence)
    missing = sum(max(all_) + 1 - len(all_) for all_ in numbers.values())
    assert missing <= world.outbox.lost
    assert all(all_ == sorted(all_) for all_ in numbers.values()), "a gateway overtook itself"


def test_positions_are_sent_again_every_ten_seconds(build) -> None:
    sent = frames(run_for(build(), 31), "telemetry")
    scans = [frame for frame in sent if frame.kind is FrameKind.SWITCH]
    assert {frame.is_complete for frame in scans} == {True}
    by_source = dict.fromkeys({frame.source for frame in scans}, 0)
    for frame in scans:
        by_source[frame.source] += 1
    assert all(count in (3, 4) for count in by_source.values())


def test_the_head_end_sends_at_the_rate_that_was_asked_for(build) -> None:
    settings = TelemetrySettings(readings_per_second=500.0, meter_dropout=0.0)
    sent = frames(run_for(build(telemetry=settings), 10), "telemetry")
    rows = sum(len(frame.index) for frame in sent if frame.source == HEAD_END)
    assert rows == pytest.approx(5000, rel=0.02)


def test_events_wait_out_a_cut_link_and_arrive_once_it_is_mended(build) -> None:
    world = build(faults=FAULT)
    name = next(g.name for g in world.telemetry.gateways if g.kind == "relay")
    world.control(ControlRequest(do="cut_link", target=name), START_NS)
    sent = frames(run_for(world, 20), "event")
    assert not [frame for frame in sent if frame.kind is FrameKind.RELAY]
    world.control(ControlRequest(do="mend_link", target=name), world.now_ns)
    sent = frames(run_for(world, 5), "event")
    relay = [frame for frame in sent if frame.kind is FrameKind.RELAY]
    assert sorted(float(frame.values[0, 0]) for frame in relay) == [1.0, 2.0, 3.0]


def test_an_event_is_repeated_until_its_receipt_comes(build) -> None:
    from gridloom.ioe.events import encode_receipt
    from gridloom.ioe.frames import decode

    world = build(faults=FAULT)
    sent = [one for one in run_for(world, 4) if one.subject.startswith("event.")]
    assert world.events.waiting == world.events.sent == 8
    for one in sent:
        key = decode(one.payload).key
        world.receive(one.subject.replace("event", "receipt"), encode_receipt(key), world.now_ns)
    run_for(world, 2)
    assert world.events.waiting == 0
    again = [one for one in run_for(world, 30) if one.subject.startswith("event.")]
    assert again == []
    world.receive("receipt.root", b"no receipt", world.now_ns)


def test_a_fast_clock_thins_readings_out_and_a_fault_brings_them_back(build) -> None:
    world = build()
    run_for(world, 10)
    world.set_pace(60.0)
    slow = len(run_for(world, 600, step_s=60))
    world.set_pace(1.0)
    fast = len(run_for(world, 600, step_s=60))
    assert fast > 10 * slow


@pytest.mark.parametrize(
    "wrong",
    [{"meter_period_s": 0.0}, {"meter_dropout": 1.0}, {"links": (("meter", "pigeon"),)}],
)
def test_senseless_settings_are_refused(wrong) -> None:
    with pytest.raises(BadInput):
        TelemetrySettings(**wrong)
