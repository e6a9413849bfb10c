"""A small district: two 20 kV feeders with a tie between their ends and one low-voltage street."""

from collections.abc import Callable

import numpy as np
import pytest

from gridloom.field import Emission, FieldOptions, World
from gridloom.grid import (
    Buses,
    Cells,
    Generators,
    Grid,
    Lines,
    Loads,
    Sources,
    Switches,
    Transformers,
)
from gridloom.ioe.frames import Frame, decode

BUSES = ["hv", "bb", "a1", "a2", "a3", "b1", "b2", "b3", "l0", "l1", "l2"]
LINES = [
    ("A1", "bb", "a1"),
    ("A2", "a1", "a2"),
    ("A3", "a2", "a3"),
    ("B1", "bb", "b1"),
    ("B2", "b1", "b2"),
    ("B3", "b2", "b3"),
    ("T", "a3", "b3"),
    ("L1", "l0", "l1"),
    ("L2", "l1", "l2"),
]
LOADS = [
    ("a1", 0.4),
    ("a3", 0.3),
    ("b1", 0.5),
    ("b2", 0.2),
    ("b3", 0.3),
    ("l1", 0.02),
    ("l2", 0.03),
]


def make_district() -> Grid:
    bus_row = {name: row for row, name in enumerate(BUSES)}
    line_lv = np.array([a.startswith("l") for _, a, _ in LINES])
    return Grid(
        name="district",
        cells=Cells(
            id=["root", "feeder-A", "feeder-B", "street"],
            parent=[-1, 0, 0, 1],
            kind=["substation", "feeder", "feeder", "neighbourhood"],
        ),
        buses=Buses(
            id=BUSES,
            vn_kv=[110.0, *([20.0] * 7), *([0.4] * 3)],
            cell=[0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
            kind=["busbar", "busbar", *(["node"] * 9)],
        ),
        lines=Lines(
            id=[name for name, _, _ in LINES],
            from_bus=[bus_row[a] for _, a, _ in LINES],
            to_bus=[bus_row[b] for _, _, b in LINES],
            r_ohm=np.where(line_lv, 0.02, 0.3),
            x_ohm=np.where(line_lv, 0.008, 0.25),
            b_us=np.where(line_lv, 0.0, 60.0),
            rated_ka=np.where(line_lv, 0.27, 0.3),
        ),
        transformers=Transformers(
            id=["HV-MV", "MV-LV"],
            hv_bus=[bus_row["hv"], bus_row["a2"]],
            lv_bus=[bus_row["bb"], bus_row["l0"]],
            sn_mva=[25.0, 0.4],
            vn_hv_kv=[110.0, 20.0],
            vn_lv_kv=[20.0, 0.4],
            vk_pct=[12.0, 6.0],
            vkr_pct=[0.4, 1.2],
        ),
        switches=_switches(bus_row),
        loads=Loads(
            id=[f"load-{bus}" for bus, _ in LOADS],
            bus=[bus_row[bus] for bus, _ in LOADS],
            p_mw=[p for _, p in LOADS],
            q_mvar=[0.3 * p for _, p in LOADS],
            customers=[10, 20, 30, 40, 50, 1, 2],
        ),
        generators=Generators(id=["pv"], bus=[bus_row["l2"]], p_mw=[0.01], kind=["pv"]),
        sources=Sources(id=["grid"], bus=[bus_row["hv"]], sk_mva=[2000.0]),
    )


def _switches(bus_row: dict[str, int]) -> Switches:
    ends = [(name, end) for name, a, b in LINES if not a.startswith("l") for end in (a, b)]
    row = {name: at for at, (name, _, _) in enumerate(LINES)}
    breakers = {("A1", "bb"), ("B1", "bb")}
    return Switches(
        id=[*(f"{name}@{end}" for name, end in ends), "HV-MV@hv"],
        bus=[*(bus_row[end] for _, end in ends), bus_row["hv"]],
        element_kind=[*(["line"] * len(ends)), "transformer"],
        element=[*(row[name] for name, _ in ends), 0],
        closed=[*((name, end) != ("T", "a3") for name, end in ends), True],
        kind=[*("breaker" if e in breakers else "load_break_switch" for e in ends), "breaker"],
        is_remote=[*([True] * len(ends)), False],
    )


@pytest.fixture(scope="session")
def district() -> Grid:
    return make_district()


START_NS = 1_467_367_200 * 10**9  # 2016-07-01T10:00:00Z
type Build = Callable[..., World]


@pytest.fixture(scope="session")
def build(district: Grid) -> Build:
    """Return a maker of worlds over the district; keywords are those of `FieldOptions`."""

    def make(*, verify=None, keep=None, **options) -> World:
        return World(district, FieldOptions(start_ns=START_NS, **options), verify=verify, keep=keep)

    return make


def run_for(world: World, seconds: float, *, step_s: float = 1.0) -> list[Emission]:
    """Advance a world in steps and return everything that it sent."""
    sent: list[Emission] = []
    end_ns = world.now_ns + round(seconds * 1e9)
    while world.now_ns < end_ns:
        sent += world.advance(min(world.now_ns + round(step_s * 1e9), end_ns))
    return sent


def frames(sent: list[Emission], lane: str) -> list[Frame]:
    """Return the frames of a lane, each number once, by due time."""
    found: dict[tuple[str, int, int], Frame] = {}
    for one in sorted(sent, key=lambda one: (one.due_ns, one.number)):
        if one.subject.startswith(f"{lane}."):
            frame = decode(one.payload)
            found.setdefault(frame.key, frame)
    return list(found.values())


def history(world: World, *kinds: str) -> list[tuple[float, str, str]]:
    """Return (milliseconds since the start, kind, element or text) of events in the truth log."""
    return [
        ((one.time_ns - START_NS) / 1e6, one.kind, one.text if one.kind == "relay" else one.element)
        for one in world.log.events
        if one.kind in kinds
    ]
