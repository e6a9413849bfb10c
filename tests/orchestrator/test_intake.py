"""What arrives over the wire is taken in, counted, or refused by name."""

from __future__ import annotations

import numpy as np
from tests.orchestrator.grids import two_feeders

from gridloom.grid.instruments import Instruments
from gridloom.ioe.frames import Frame, FrameKind, encode
from gridloom.orchestrator.intake import Intake

NOW_NS = 10**18
CLOSED, OPEN, MOVING = 1.0, 0.0, float("nan")


def intake() -> Intake:
    grid = two_feeders()
    n = len(grid.switches)
    instruments = Instruments(
        id=[*(f"position {id_}" for id_ in grid.switches.id), "bar voltage"],
        kind=["switch"] * n + ["bus"],
        element_kind=["switch"] * n + ["bus"],
        element=[*range(n), 0],
    )
    return Intake(grid=grid, instruments=instruments, epoch=3, positions=grid.switches.closed)


def frame(kind: FrameKind, row: int, value: float, *, epoch: int = 3, at_ns: int = NOW_NS) -> bytes:
    return encode(
        Frame(
            kind=kind,
            source="rtu",
            epoch=epoch,
            sequence=0,
            time_ns=at_ns,
            index=np.array([row], dtype=np.uint32),
            values=np.array([[value]], dtype=np.float32),
        )
    )


def test_a_switch_that_reports_another_position_has_moved_once() -> None:
    ears, row = intake(), 0
    moved = ears.telemetry(frame(FrameKind.SWITCH, row, OPEN), NOW_NS)
    assert [(one.switch, one.closed) for one in moved] == [(row, False)]
    assert ears.telemetry(frame(FrameKind.SWITCH, row, OPEN, at_ns=NOW_NS + 1), NOW_NS) == []
    assert not ears.positions[row]


def test_a_moving_switch_keeps_its_position_and_counts_as_unknown_until_it_says() -> None:
    ears = intake()
    ears.telemetry(frame(FrameKind.SWITCH, 2, MOVING), NOW_NS)
    assert ears.unknown == {2}
    assert ears.positions[2]
    ears.telemetry(frame(FrameKind.SWITCH, 2, CLOSED, at_ns=NOW_NS + 1), NOW_NS)
    assert ears.unknown == set()


def test_a_late_report_never_moves_a_switch_back() -> None:
    ears = intake()
    ears.telemetry(frame(FrameKind.SWITCH, 1, OPEN), NOW_NS)
    assert ears.telemetry(frame(FrameKind.SWITCH, 1, CLOSED, at_ns=NOW_NS - 1), NOW_NS) == []
    assert not ears.positions[1]


def test_hostile_and_foreign_frames_are_counted_and_change_nothing() -> None:
    ears = intake()
    for bad in (b"", b"GF", frame(FrameKind.SWITCH, 0, OPEN)[:-1], bytes(200)):
        assert ears.telemetry(bad, NOW_NS) == []
    ears.telemetry(frame(FrameKind.SWITCH, 0, OPEN, epoch=2), NOW_NS)
    ears.telemetry(frame(FrameKind.SWITCH, 10_000, OPEN), NOW_NS)
    assert ears.counts.malformed == 4
    assert ears.counts.foreign == 1
    assert ears.positions.tolist() == ears.grid.switches.closed.tolist()


def test_readings_from_the_future_are_refused() -> None:
    ears = intake()
    ears.telemetry(frame(FrameKind.SWITCH, 0, OPEN, at_ns=NOW_NS + 60_000_000_000), NOW_NS)
    assert ears.positions[0]
    assert ears.latest.rows.refused == 1


def test_the_picture_is_there_once_the_fast_units_have_spoken_or_had_their_time() -> None:
    ears = intake()
    assert not ears.has_picture(NOW_NS)
    ears.telemetry(frame(FrameKind.SWITCH, 0, CLOSED), NOW_NS)
    assert not ears.has_picture(NOW_NS)
    assert ears.has_picture(NOW_NS + 11_000_000_000)
    ears.telemetry(frame(FrameKind.BUS, len(ears.grid.switches), 1.01), NOW_NS)
    assert ears.has_picture(NOW_NS)
