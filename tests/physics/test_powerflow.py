"""One call for every engine: which one is taken, and that they agree."""

import numpy as np
import pytest
from power_grid_model import MeasuredTerminalType, PowerGridModel, initialize_array
from tests.physics.grids import district, random_radial, two_buses

from gridloom.core.errors import BadInput
from gridloom.grid.model import Branches, Buses, Generators, Grid, Loads, Sources
from gridloom.physics import OperatingPoint, powerflow, powerflow_batch, random_scenarios
from gridloom.physics.lightsim import LightsimModel
from gridloom.physics.pgm import PgmModel, to_power_grid_model_input


def _meshed(*, held: bool) -> Grid:
    """A ring of four buses with a shifted branch in it; a generator that may hold its voltage."""
    return Grid(
        buses=Buses(id=["a", "b", "c", "d"], vn_kv=np.full(4, 110.0)),
        branches=Branches(
            id=["ab", "bc", "cd", "da", "ac"], from_bus=[0, 1, 2, 3, 0], to_bus=[1, 2, 3, 0, 2],
            r_pu=[0.01, 0.02, 0.01, 0.03, 0.01], x_pu=[0.05, 0.06, 0.04, 0.08, 0.07],
            b_pu=[0.02, 0.03, 0.01, 0.0, 0.04],
            ratio=[1.0, 0.97, 1.0, 1.0, 1.02], shift_deg=[0, 0, 0, 0, 3.0], rated_mva=np.full(5, 100.0),
        ),
        loads=Loads(id=["lb", "ld"], bus=[1, 3], p_mw=[40.0, 60.0], q_mvar=[10.0, 20.0]),
        generators=Generators(
            id=["gc", "gb"], bus=[2, 1], p_mw=[30.0, 5.0], q_mvar=[4.0, 1.0], vm_pu=[1.01 if held else np.nan, np.nan]
        ),
        sources=Sources(id=["s"], bus=[0], vm_pu=[1.0], va_deg=[5.0]),
    )  # fmt: skip


def test_auto_takes_the_radial_engine_for_forests_and_the_reference_for_loops():
    assert powerflow(district()).engine == "radial"
    assert powerflow(_meshed(held=False)).engine == "pgm"
    assert powerflow(_meshed(held=True)).engine == "pgm"


def test_unknown_engine_is_refused_with_the_choices():
    with pytest.raises(BadInput, match="auto, radial, pgm, lightsim"):
        powerflow(district(), engine="newton")


def test_scenarios_are_refused_where_one_point_is_wanted():
    grid = district()
    with pytest.raises(BadInput, match="powerflow_batch"):
        powerflow(grid, random_scenarios(grid, 2, np.random.default_rng(0)))


@pytest.mark.parametrize("held", [False, True])
def test_meshed_engines_agree(held):
    grid = _meshed(held=held)
    pgm, lightsim = powerflow(grid, engine="pgm"), powerflow(grid, engine="lightsim")
    assert pgm.converged
    np.testing.assert_allclose(lightsim.v, pgm.v, atol=1e-9)
    if held:
        assert pgm.v_pu[2] == pytest.approx(1.01, abs=1e-9)


def test_held_generator_gives_its_active_power_once():
    grid = _meshed(held=True)
    flow = powerflow(grid, engine="pgm").branch_flow
    p_at_c = flow.p_to_mw[1] + flow.p_from_mw[2] + flow.p_to_mw[4]
    assert p_at_c == pytest.approx(30.0, abs=1e-6)


def test_meshed_batches_agree():
    grid = _meshed(held=True)
    state = random_scenarios(grid, 9, np.random.default_rng(4))
    pgm, lightsim = (powerflow_batch(grid, state, engine) for engine in ("pgm", "lightsim"))
    np.testing.assert_allclose(lightsim.v_pu, pgm.v_pu, atol=1e-9)
    np.testing.assert_allclose(lightsim.loading_pct, pgm.loading_pct, atol=1e-6)


def test_lightsim_follows_a_phase_shift_and_leaves_dead_parts_out():
    grid = district()
    loads = grid.loads.with_columns(z_share=np.zeros(7), i_share=np.zeros(7))
    plain = grid.with_tables(loads=loads)
    np.testing.assert_allclose(powerflow(plain, engine="lightsim").v, powerflow(plain).v, atol=1e-9)


def test_lightsim_says_what_it_cannot_do():
    with pytest.raises(BadInput, match="load 'L2' depends on voltage"):
        LightsimModel(district())
    loads = random_radial(1).loads
    plain = loads.with_columns(z_share=np.zeros(25), i_share=np.zeros(25))
    with pytest.raises(BadInput, match="sources stand at 2 places"):
        LightsimModel(random_radial(1).with_tables(loads=plain))


def test_overload_is_a_result_of_every_engine():
    grid = _meshed(held=False)
    state = OperatingPoint.of(grid)
    loads = grid.loads.with_columns(p_mw=[4e4, 6e4])
    for engine in ("pgm", "lightsim"):
        result = powerflow(grid.with_tables(loads=loads), engine=engine)
        assert not result.converged
        assert np.isnan(result.v).all()
    assert state.n_scenarios is None


def test_opening_an_end_in_the_engine_gives_what_a_new_model_gives():
    grid = random_radial(8)
    model = PgmModel(grid)
    ends = model.ends.copy()
    ends[0, 1] = False
    model.set_ends(ends)
    from_update = model.powerflow()
    line = grid.lines.take(np.arange(len(grid.lines)))
    switches = grid.switches
    opened = {
        name: np.append(getattr(switches, name), [value])
        for name, value in {
            "id": "new", "bus": line.to_bus[0], "element_kind": "line", "element": 0, "closed": False,
            "kind": "breaker", "is_remote": True, "rated_ka": np.nan, "in_service": True,
        }.items()
    }  # fmt: skip
    anew = PgmModel(grid.with_tables(switches=type(switches)(**opened))).powerflow()
    np.testing.assert_allclose(from_update.v, anew.v, atol=1e-9)


def test_ids_in_the_engine_have_no_gaps():
    model = PgmModel(district())
    ids = np.concatenate([part["id"] for part in model.input.values()])
    assert len(np.unique(ids)) == len(ids)
    assert model.first_free_id > ids.max()


def test_estimate_from_exact_readings_is_the_power_flow():
    grid = two_buses()
    truth = powerflow(grid)
    model = PgmModel(grid)
    voltage = initialize_array("input", "sym_voltage_sensor", 2)
    voltage["id"] = model.first_free_id + np.arange(2)
    voltage["measured_object"] = model.node_of_bus
    voltage["u_sigma"], voltage["u_measured"] = 10.0, truth.v_pu * 10e3
    power = initialize_array("input", "sym_power_sensor", 2)
    power["id"] = model.first_free_id + 2 + np.arange(2)
    power["measured_object"] = [model.branch_id[0], model.injection_id[0]]
    power["measured_terminal_type"] = [MeasuredTerminalType.branch_from, MeasuredTerminalType.load]
    power["power_sigma"] = 1e3
    power["p_measured"] = [truth.line_flow.p_from_mw[0] * 1e6, 1.0e6]
    power["q_measured"] = [truth.line_flow.q_from_mvar[0] * 1e6, 0.5e6]
    v = model.estimate({"sym_voltage_sensor": voltage, "sym_power_sensor": power})
    np.testing.assert_allclose(np.abs(v), truth.v_pu, atol=1e-8)


def test_export_is_what_the_engine_takes():
    core = PowerGridModel(to_power_grid_model_input(district()))
    assert len(core.calculate_power_flow()["generic_branch"]) == len(
        PgmModel(district()).input["generic_branch"]
    )
