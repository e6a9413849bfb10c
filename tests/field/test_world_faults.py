"""What a fault sets in motion, and when."""

import numpy as np
import pytest

from gridloom.core.errors import BadInput
from gridloom.field import ControlRequest, PlannedFault, RelaySettings
from gridloom.ioe.frames import FrameKind

from .conftest import START_NS, frames, history, run_for


def planned(line: str, at_s: float = 5.2) -> tuple[PlannedFault, ...]:
    return (PlannedFault(line=line, at_s=at_s),)


def positions(world) -> dict[str, bool]:
    ids = world.grid.switches.id.tolist()
    return dict(zip(ids, world.plant.switchgear.closed.tolist(), strict=True))


def control(world, do: str, target: str = "", **more):
    reply, sent = world.control(ControlRequest(do=do, target=target, **more), world.now_ns)
    assert reply.ok, reply.note
    return sent


def test_relay_breaker_and_lock_out_follow_each_other_within_real_operating_times(build) -> None:
    world = build(faults=planned("A3"))
    run_for(world, 7)
    told = history(world, "fault", "relay", "opening", "open")
    assert [(kind, what) for _, kind, what in told] == [
        ("fault", "A3"),
        ("relay", "picked_up"),
        ("opening", "A1@bb"),
        ("open", "A1@bb"),
        ("relay", "tripped"),
        ("relay", "locked_out"),
    ]
    times = [at for at, _, _ in told]
    assert times[0] == pytest.approx(5200.0)
    assert 10.0 <= times[1] - times[0] <= 30.0
    assert 40.0 <= times[3] - times[2] <= 80.0


def test_the_same_sequence_goes_over_the_wire_in_order(build) -> None:
    world = build(faults=planned("A3"))
    sent = frames(run_for(world, 7), "event")
    relay = [frame for frame in sent if frame.kind is FrameKind.RELAY]
    assert [float(frame.values[0, 0]) for frame in relay] == [1.0, 2.0, 3.0]
    breaker = [frame for frame in sent if frame.kind is FrameKind.SWITCH]
    ids = [world.instruments.element[frame.index[0]] for frame in breaker]
    assert [world.grid.switches.id[row] for row in ids] == ["A1@bb"]
    assert float(breaker[0].values[0, 0]) == 0.0


def test_indicators_on_the_way_to_the_fault_are_flagged_and_no_others(build) -> None:
    world = build(faults=planned("A2"))
    sent = [f for f in frames(run_for(world, 7), "event") if f.kind is FrameKind.INDICATOR]
    flags = {
        str(world.grid.lines.id[world.instruments.element[row]]): float(flag)
        for frame in sent
        for row, flag in zip(frame.index.tolist(), frame.values[0].tolist(), strict=True)
    }
    assert all(frame.is_complete for frame in sent)
    assert flags == {"A1": 1.0, "A2": 1.0, "A3": 0.0, "T": 0.0, "B1": 0.0}


def test_customers_behind_the_breaker_are_counted_and_come_back_with_repair(build) -> None:
    world = build(faults=planned("A3"))
    run_for(world, 7)
    assert world.plant.supply.interrupted == 33  # a1, a3 and the street
    control(world, "repair", "A3")
    control(world, "operate", "A1@bb", close=True)
    run_for(world, 2)
    assert world.plant.supply.restored == 33
    assert world.plant.scheme.active == {}


def test_isolating_the_section_and_closing_the_tie_heals_the_rest(build) -> None:
    world = build(faults=planned("A2"))
    run_for(world, 7)
    for switch in ("A2@a1", "A2@a2"):
        control(world, "operate", switch, close=False)
    run_for(world, 8)
    for switch in ("A1@bb", "T@a3"):
        control(world, "operate", switch, close=True)
    run_for(world, 8)
    assert world.plant.supply.restored == 33
    topology = world.plant.electrics.topology
    assert topology.is_energised.all()
    assert not topology.line_closed[world.grid.lines.row("A2")].any()
    assert world.plant.result is not None
    assert np.isfinite(world.plant.result.v_pu).all()


def test_closing_onto_the_fault_trips_again(build) -> None:
    world = build(faults=planned("A2"))
    run_for(world, 7)
    control(world, "operate", "A1@bb", close=True)
    run_for(world, 2)
    assert not positions(world)["A1@bb"]
    assert [what for _, _, what in history(world, "relay")] == [
        "picked_up",
        "tripped",
        "locked_out",
        "reset",
        "picked_up",
        "tripped",
        "locked_out",
    ]


def test_closing_the_tie_onto_the_fault_trips_the_neighbour(build) -> None:
    world = build(faults=planned("A3"))
    run_for(world, 7)
    control(world, "operate", "T@a3", close=True)
    run_for(world, 9)
    assert not positions(world)["B1@bb"]
    assert world.plant.supply.interrupted == 33 + 120
    assert (
        world.plant.supply.restored == 0
    )  # a blink of voltage on the way to the trip is no supply


def test_reclosing_tries_the_stated_number_of_times_before_lock_out(build) -> None:
    world = build(faults=planned("A2"), relays=RelaySettings(reclose_after_s=(0.3, 2.0)))
    run_for(world, 12)
    relay = [what for _, _, what in history(world, "relay")]
    assert relay == ["picked_up", "tripped"] * 3 + ["locked_out"]
    opened = [at for at, _, what in history(world, "open") if what == "A1@bb"]
    closing = [at for at, _, what in history(world, "closing") if what == "A1@bb"]
    assert closing[0] - opened[0] == pytest.approx(300.0, abs=1.0)
    assert closing[1] - opened[1] == pytest.approx(2000.0, abs=1.0)


def test_a_passing_fault_is_survived_by_reclosing(build) -> None:
    world = build(
        faults=planned("A2"), repair_after_s=0.2, relays=RelaySettings(reclose_after_s=(0.5,))
    )
    run_for(world, 20)
    assert positions(world)["A1@bb"]
    assert [what for _, _, what in history(world, "relay")] == ["picked_up", "tripped", "reset"]


def test_behind_a_breaker_that_fails_the_next_one_trips_after_its_time_grading(build) -> None:
    world = build(faults=planned("A2"))
    control(world, "stick", "A1@bb")
    run_for(world, 7)
    assert [what for _, _, what in history(world, "breaker_failure")] == ["A1@bb"]
    assert positions(world)["A1@bb"]
    assert not positions(world)["HV-MV@hv"]
    at = {(kind, what): when for when, kind, what in history(world, "did_not_move", "open")}
    waited_ms = at["open", "HV-MV@hv"] - at["did_not_move", "A1@bb"]
    assert 300 + 10 + 40 <= waited_ms <= 300 + 30 + 80
    assert world.plant.supply.interrupted == 153


def test_a_street_fault_blows_its_fuse_and_leaves_the_feeder_alone(build) -> None:
    world = build(faults=planned("L2"))
    run_for(world, 7)
    assert [what for _, _, what in history(world, "fuse_blown")] == ["L1"]
    assert history(world, "relay") == []
    assert world.plant.supply.interrupted == 3
    control(world, "repair", "L2")
    run_for(world, 1)
    assert world.plant.supply.restored == 3


def test_indicators_reset_when_voltage_has_stayed(build) -> None:
    world = build(faults=planned("A3"))
    run_for(world, 7)
    control(world, "repair", "A3")
    control(world, "operate", "A1@bb", close=True)
    assert world.plant.indicators.flag.any()
    sent = frames(run_for(world, 7), "telemetry")
    assert not world.plant.indicators.flag.any()
    resets = [frame for frame in sent if frame.kind is FrameKind.INDICATOR]
    assert resets
    assert all(not frame.values.any() for frame in resets)


def test_a_fresh_flag_outlasts_a_voltage_that_has_stood_for_long(build) -> None:
    world = build()
    run_for(world, 6)
    indicators, now_ns = world.plant.indicators, world.now_ns
    line_ka = np.zeros((len(world.grid.lines), 2))
    line_ka[world.grid.lines.row("A1")] = 10.0
    saw = indicators.latch(line_ka, now_ns)
    assert len(saw)
    assert not len(indicators.reset(now_ns + 10**8))
    assert indicators.reset(now_ns + 5 * 10**9).tolist() == saw.tolist()


def test_random_faults_hit_live_medium_voltage_lines(build) -> None:
    world = build(random_faults=3, fault_window_s=(1.0, 4.0), seed=5)
    run_for(world, 6)
    hit = [what for _, _, what in history(world, "fault")]
    assert 1 <= len(hit) <= 3
    assert set(hit) <= {"A1", "A2", "A3", "B1", "B2", "B3"}


@pytest.mark.parametrize("after_s", [5.21, 5.25, 7.0, 7.5])
def test_reset_brings_everything_back_to_normal_whatever_is_under_way(build, after_s) -> None:
    world = build(faults=planned("A2"))
    run_for(world, after_s)
    if after_s > 7.0:
        control(world, "operate", "A2@a1", close=False)
    control(world, "reset")
    assert not world.plant.indicators.flag.any()
    run_for(world, 8)
    assert positions(world) == dict(
        zip(world.grid.switches.id, world.grid.switches.closed.tolist(), strict=True)
    )
    assert world.plant.electrics.topology.is_energised.all()
    assert not world.is_eventful
    assert world.plant.supply.restored == world.plant.supply.interrupted
    control(world, "inject", "A2")
    run_for(world, 1)
    assert not positions(world)["A1@bb"]


@pytest.mark.parametrize(
    ("do", "target", "words"),
    [
        ("inject", "A9", "no line with id 'A9'"),
        ("inject", "A2", "has a fault already"),
        ("repair", "B1", "has no fault"),
        ("operate", "nothing", "no switch with id"),
        ("cut_link", "nobody", "no gateway"),
    ],
)
def test_wishes_that_cannot_be_met_are_answered_with_words(build, do, target, words) -> None:
    world = build()
    control(world, "inject", "A2")
    reply, _ = world.control(ControlRequest(do=do, target=target), START_NS)
    assert not reply.ok
    assert words in reply.note


def test_a_fault_off_the_line_is_refused(build) -> None:
    reply, _ = build().control(ControlRequest(do="inject", target="A2", fraction=1.5), START_NS)
    assert not reply.ok
    assert "fraction" in reply.note


def test_time_does_not_run_backwards(build) -> None:
    world = build()
    run_for(world, 2)
    with pytest.raises(BadInput, match="cannot go back"):
        world.advance(START_NS)
