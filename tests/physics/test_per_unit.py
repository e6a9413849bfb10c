"""Name plates become the per-unit sections that other engines' own components stand for."""

import numpy as np
import pytest
from power_grid_model import LoadGenType, PowerGridModel, TapChangingStrategy, initialize_array
from tests.physics.grids import district, two_buses

from gridloom.core.errors import BadInput
from gridloom.grid.model import Buses, Grid, Lines, Loads, Sources, Transformers
from gridloom.physics import PerUnitModel, powerflow


def test_line_is_brought_to_one_mva_and_the_voltage_of_its_bus():
    model = PerUnitModel.of(two_buses())
    # 10 kV and 1 MVA make a base of 100 ohm.
    assert model.sections.z[0] == pytest.approx(0.01 + 0.02j)


def test_branch_of_zero_impedance_is_refused_by_name():
    grid = two_buses()
    shorted = grid.with_tables(lines=grid.lines.with_columns(r_ohm=[0.0], x_ohm=[0.0]))
    with pytest.raises(BadInput, match=r"line ab.*closed switch"):
        PerUnitModel.of(shorted)


def test_bus_without_rated_voltage_is_refused_by_name():
    grid = two_buses()
    with pytest.raises(BadInput, match=r"bus 'b'.*positive"):
        PerUnitModel.of(grid.with_tables(buses=grid.buses.with_columns(vn_kv=[10.0, 0.0])))


def test_every_branch_can_be_named():
    model = PerUnitModel.of(district())
    names = [model.branch_name(k) for k in range(model.n_branch)]
    assert names[0] == "line bb2-f1"
    assert names[8:11] == ["transformer hv-mv", "transformer mv-lv", "transformer lv-back"]
    assert names[-4:] == ["branch ratio"] + ["transformer3w three"] * 3


def _transformer(**changes) -> Grid:
    plate = {
        "sn_mva": [25.0], "vn_hv_kv": [112.0], "vn_lv_kv": [20.5], "vk_pct": [11.0], "vkr_pct": [0.6], "pfe_kw": [18.0],
        "i0_pct": [0.12], "shift_deg": [150.0], "tap_pos": [3.0], "tap_step_pct": [1.5],
    }  # fmt: skip
    return Grid(
        buses=Buses(id=["hv", "lv", "far"], vn_kv=[110.0, 20.0, 20.0]),
        lines=Lines(id=["cable"], from_bus=[1], to_bus=[2], r_ohm=[1.1], x_ohm=[0.9], b_us=[300.0]),
        transformers=Transformers(id=["t"], hv_bus=[0], lv_bus=[1], **(plate | changes)),
        loads=Loads(id=["load"], bus=[2], p_mw=[6.0], q_mvar=[2.0]),
        sources=Sources(id=["source"], bus=[0], vm_pu=[1.01]),
    )


@pytest.mark.parametrize("tap_side", ["hv", "lv"])
@pytest.mark.parametrize("units", [1, 2])
def test_name_plates_agree_with_the_reference_engines_own_components(tap_side, units):
    grid = _transformer(tap_side=[tap_side], parallel=[units])
    ours = powerflow(grid, engine="radial")
    node = initialize_array("input", "node", 3)
    node["id"], node["u_rated"] = [0, 1, 2], [110e3, 20e3, 20e3]
    line = initialize_array("input", "line", 1)
    line["id"], line["from_node"], line["to_node"], line["from_status"], line["to_status"] = (
        10,
        1,
        2,
        1,
        1,
    )
    line["r1"], line["x1"], line["c1"], line["tan1"], line["i_n"] = (
        1.1,
        0.9,
        300e-6 / (100 * np.pi),
        0.0,
        1e3,
    )
    transformer = initialize_array("input", "transformer", 1)
    values = {
        "id": 11, "from_node": 0, "to_node": 1, "from_status": 1, "to_status": 1, "u1": 112e3, "u2": 20.5e3,
        "sn": 25e6 * units, "uk": 0.11, "pk": 0.006 * 25e6 * units, "i0": 0.0012, "p0": 18e3 * units, "winding_from": 2,
        "winding_to": 1, "clock": 5, "tap_side": 0 if tap_side == "hv" else 1, "tap_pos": 3, "tap_min": -9,
        "tap_max": 9, "tap_nom": 0, "tap_size": 0.015 * (112e3 if tap_side == "hv" else 20.5e3),
    }  # fmt: skip
    for name, value in values.items():
        transformer[name] = value
    load = initialize_array("input", "sym_load", 1)
    load["id"], load["node"], load["status"], load["type"] = 12, 2, 1, LoadGenType.const_power
    load["p_specified"], load["q_specified"] = 6e6, 2e6
    source = initialize_array("input", "source", 1)
    source["id"], source["node"], source["status"], source["u_ref"], source["sk"] = (
        13,
        0,
        1,
        1.01,
        1e20,
    )
    core = PowerGridModel(
        {"node": node, "line": line, "transformer": transformer, "sym_load": load, "source": source}
    )
    theirs = core.calculate_power_flow(
        error_tolerance=1e-12, tap_changing_strategy=TapChangingStrategy.disabled
    )
    nodes = theirs["node"]
    np.testing.assert_allclose(ours.v, nodes["u_pu"] * np.exp(1j * nodes["u_angle"]), atol=1e-9)
    np.testing.assert_allclose(
        ours.transformer_flow.p_from_mw, theirs["transformer"]["p_from"] / 1e6, atol=1e-6
    )
    np.testing.assert_allclose(
        ours.transformer_flow.i_to_ka, theirs["transformer"]["i_to"] / 1e3, atol=1e-8
    )
    np.testing.assert_allclose(ours.line_flow.q_to_mvar, theirs["line"]["q_to"] / 1e6, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_three_winding_transformer_agrees_with_pandapower():
    import pandapower as pp

    net = pp.create_empty_network()
    hv, mv, lv = (pp.create_bus(net, kv) for kv in (110.0, 20.0, 10.0))
    pp.create_ext_grid(net, hv, vm_pu=1.02)
    pp.create_transformer3w_from_parameters(
        net, hv, mv, lv, vn_hv_kv=112, vn_mv_kv=20.6, vn_lv_kv=10.3, sn_hv_mva=40, sn_mv_mva=25, sn_lv_mva=15,
        vk_hv_percent=10.1, vk_mv_percent=10.5, vk_lv_percent=10.2, vkr_hv_percent=0.3, vkr_mv_percent=0.31,
        vkr_lv_percent=0.32, pfe_kw=30, i0_percent=0.1, shift_mv_degree=30, shift_lv_degree=30, tap_side="hv",
        tap_neutral=0, tap_min=-8, tap_max=8, tap_pos=-3, tap_step_percent=1.2, tap_changer_type="Ratio",
    )  # fmt: skip
    pp.create_load(net, mv, 12, 4)
    pp.create_load(net, lv, 5, 1)
    pp.runpp(
        net,
        trafo_model="pi",
        calculate_voltage_angles=True,
        tolerance_mva=1e-9,
        trafo3w_losses="hv",
    )
    from gridloom.grid.model import Transformers3w

    grid = Grid(
        buses=Buses(id=["hv", "mv", "lv"], vn_kv=[110.0, 20.0, 10.0]),
        transformers3w=Transformers3w(
            id=["t"], hv_bus=[0], mv_bus=[1], lv_bus=[2], sn_hv_mva=[40], sn_mv_mva=[25], sn_lv_mva=[15],
            vn_hv_kv=[112], vn_mv_kv=[20.6], vn_lv_kv=[10.3], vk_hv_pct=[10.1], vk_mv_pct=[10.5], vk_lv_pct=[10.2],
            vkr_hv_pct=[0.3], vkr_mv_pct=[0.31], vkr_lv_pct=[0.32], pfe_kw=[30], i0_pct=[0.1], shift_mv_deg=[30],
            shift_lv_deg=[30], tap_pos=[-3], tap_step_pct=[1.2],
        ),
        loads=Loads(id=["mv", "lv"], bus=[1, 2], p_mw=[12, 5], q_mvar=[4, 1]),
        sources=Sources(id=["source"], bus=[0], vm_pu=[1.02]),
    )  # fmt: skip
    ours = powerflow(grid, engine="radial")
    np.testing.assert_allclose(ours.v_pu, net.res_bus.vm_pu, atol=1e-8)
    np.testing.assert_allclose(np.rad2deg(ours.angle_rad), net.res_bus.va_degree, atol=1e-6)
    high, middle, low = ours.transformer3w_flow
    np.testing.assert_allclose(high.p_from_mw, net.res_trafo3w.p_hv_mw, atol=1e-6)
    np.testing.assert_allclose(middle.i_to_ka, net.res_trafo3w.i_mv_ka, atol=1e-8)
    loading = np.max([high.loading_pct, middle.loading_pct, low.loading_pct], axis=0)
    np.testing.assert_allclose(loading, net.res_trafo3w.loading_percent, atol=1e-5)
