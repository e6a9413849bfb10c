"""pandapower in and out: what comes back solves to the same voltages, from a fresh start each time."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.grid.grids import district

from gridloom.core.errors import BadInput, GridloomError, Malformed, UnknownId
from gridloom.grid import Grid, load, load_with_report
from gridloom.grid.pandapower_export import to_pandapower
from gridloom.grid.pandapower_import import import_net

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pandapower
    import pandapower.networks as shipped

pytestmark = pytest.mark.filterwarnings("ignore")

SAME_PU = 1e-10
MULTI = "example_multivoltage"


def solved(net: Any) -> Any:
    pandapower.runpp(net, init="dc", tolerance_mva=1e-9, max_iteration=50)
    return net


def deviation_pu(net: Any, grid: Grid) -> float:
    """Return the largest complex deviation between a net and the export of its import [pu]."""
    out, _ = to_pandapower(grid)
    a, b = solved(net).res_bus, solved(out).res_bus.iloc[: len(net.bus)]
    va = a.vm_pu.to_numpy() * np.exp(1j * np.deg2rad(a.va_degree.to_numpy()))
    vb = b.vm_pu.to_numpy() * np.exp(1j * np.deg2rad(b.va_degree.to_numpy()))
    assert np.array_equal(np.isnan(va), np.isnan(vb))
    return float(np.nanmax(np.abs(va - vb)))


@pytest.mark.parametrize(
    "name",
    [
        "case9",
        "case33bw",
        "case118",
        "example_simple",
        MULTI,
        "create_cigre_network_lv",
        "GBreducednetwork",
        "create_kerber_landnetz_freileitung_1",
    ],
)
def test_a_grid_solves_alike_after_import_and_export(name: str) -> None:
    net = getattr(shipped, name)()
    assert deviation_pu(net, import_net(net).grid) < SAME_PU


@pytest.mark.parametrize(
    "changer",
    [
        ("hv", 2, 1.5, 90.0, "Ratio"),
        ("lv", -3, 1.1, np.nan, "Ratio"),
        ("hv", 2, 1.5, 30.0, "Symmetrical"),
        ("lv", 3, np.nan, 2.0, "Ideal"),
        ("hv", 3, 1.5, np.nan, "Ideal"),
        ("hv", 4, 1.5, np.nan, None),
    ],
)
def test_every_kind_of_tap_changer_keeps_its_effect(changer: tuple[Any, ...]) -> None:
    net = shipped.example_multivoltage()
    side, pos, step_pct, step_deg, kind = changer
    row = net.trafo.index[0]
    for column, value in (
        ("tap_side", side),
        ("tap_neutral", 0),
        ("tap_pos", pos),
        ("tap_step_percent", step_pct),
        ("tap_step_degree", step_deg),
        ("tap_changer_type", kind),
    ):
        net.trafo.loc[row, column] = value
    imported = import_net(net)
    assert deviation_pu(net, imported.grid) < SAME_PU
    told = [entry for entry in imported.report.entries if "tap" in entry.what]
    assert bool(told) == (
        kind is None or (kind != "Ideal" and step_deg > 0) or (kind == "Ideal" and step_pct > 0)
    )


def test_wards_motors_storages_and_unbalanced_loads_are_carried() -> None:
    net = shipped.example_multivoltage()
    bus = net.bus.index[10]
    pandapower.create_ward(net, bus, 0.1, 0.05, 0.1, 0.02)
    pandapower.create_xward(net, bus, 0.1, 0.05, 0.1, 0.02, 0.5, 0.7, 1.0)
    pandapower.create_storage(net, bus, 0.1, 1.0, q_mvar=0.01)
    pandapower.create_motor(net, bus, 0.05, 0.9, efficiency_percent=90, loading_percent=80)
    pandapower.create_asymmetric_load(net, bus, 0.01, 0.02, 0.0, 0.001, 0.002, 0.001)
    imported = import_net(net)
    assert deviation_pu(net, imported.grid) < SAME_PU
    assert {"xward", "motor", "asymmetric_load"} <= {
        entry.kind for entry in imported.report.entries
    }
    assert imported.grid.storages.p_mw.tolist()[-1] == pytest.approx(-0.1)


def test_a_direct_current_line_becomes_two_generators() -> None:
    net = shipped.case9()
    pandapower.create_dcline(
        net, 4, 7, p_mw=20.0, loss_percent=2.0, loss_mw=0.5, vm_from_pu=1.0, vm_to_pu=1.0
    )
    grid = import_net(net).grid
    assert grid.generators.p_mw[-2] == pytest.approx(-20.0)
    assert deviation_pu(net, grid) < SAME_PU


def test_ids_are_names_where_those_are_unique() -> None:
    assert load("pandapower:create_cigre_network_mv").lines.id[0] == "Line 1-2"
    assert load("pandapower:case9").buses.id.tolist() == [str(i) for i in range(1, 10)]


def test_a_district_goes_out_and_comes_back() -> None:
    grid = district()
    net, _ = to_pandapower(grid)
    back = import_net(net).grid
    for name, columns in {
        "lines": ("id", "from_bus", "to_bus", "r_ohm", "x_ohm", "b_us", "rated_ka", "length_km"),
        "transformers": (
            "id",
            "hv_bus",
            "lv_bus",
            "sn_mva",
            "vk_pct",
            "vkr_pct",
            "pfe_kw",
            "i0_pct",
            "shift_deg",
        ),
        "switches": ("id", "bus", "element", "element_kind", "closed", "kind"),
        "loads": ("id", "bus", "p_mw", "q_mvar"),
        "sources": ("id", "bus", "vm_pu"),
        "buses": ("id", "vn_kv", "kind"),
    }.items():
        for column in columns:
            a, b = getattr(getattr(grid, name), column), getattr(getattr(back, name), column)
            if a.dtype == np.float64:
                np.testing.assert_allclose(a, b, rtol=1e-12, err_msg=column)
            else:
                assert a.tolist() == b.tolist(), column


def test_a_file_is_read_and_recognised(tmp_path: Path) -> None:
    net = shipped.example_simple()
    path = tmp_path / "simple.json"
    path.write_text(pandapower.to_json(net), encoding="utf-8")
    assert load(path).hash == load(f"pandapower:{path}").hash
    assert len(load(path).buses) == len(net.bus)


@pytest.mark.parametrize("text", ["{}", "[1]", "null", '{"_module": "pandapower.auxiliary"}', "{"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Malformed):
        load(f"pandapower:{path}")


@pytest.mark.parametrize("hidden", [False, True])
def test_a_file_that_asks_for_foreign_code_is_refused(tmp_path: Path, hidden: bool) -> None:
    evil: dict[str, Any] = {"_module": "subprocess", "_class": "Popen", "_object": ["true"]}
    net = {
        "_module": "pandapower.auxiliary",
        "_class": "pandapowerNet",
        "_object": {"bus": json.dumps(evil) if hidden else evil},
    }
    path = tmp_path / "evil.json"
    path.write_text(json.dumps(net), encoding="utf-8")
    with pytest.raises(Malformed, match="module 'subprocess'"):
        load(f"pandapower:{path}")


SIMPLE = pandapower.to_json(shipped.simple_four_bus_system())


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, deadline=None
)
@given(st.integers(0, len(SIMPLE) - 1), st.characters())
def test_a_file_cut_or_changed_anywhere_gives_an_error_of_ours_or_a_grid(
    tmp_path: Path, at: int, char: str
) -> None:
    path = tmp_path / "x.json"
    for text in (SIMPLE[:at], SIMPLE[:at] + char + SIMPLE[at + 1 :]):
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            load(f"pandapower:{path}")
        except GridloomError:
            continue


def test_an_unknown_shipped_grid_names_near_ones() -> None:
    with pytest.raises(UnknownId, match="mv_oberrhein"):
        load("pandapower:mv_oberhein")


def test_a_reference_that_leads_nowhere_is_named() -> None:
    net = shipped.case9()
    net.load.loc[0, "bus"] = 77
    with pytest.raises(BadInput, match="table load, row 0: bus is 77; there is no such bus"):
        import_net(net)


def test_equipment_without_a_place_is_reported() -> None:
    net = shipped.case9()
    pandapower.create_svc(
        net, 3, x_l_ohm=1.0, x_cvar_ohm=-10.0, set_vm_pu=1.0, thyristor_firing_angle_degree=90.0
    )
    assert any(entry.kind == "svc" for entry in import_net(net).report.entries)


def test_the_report_of_a_shipped_grid_is_in_words() -> None:
    lines = list(load_with_report(f"pandapower:{MULTI}").report.lines())
    assert lines
    assert all(line.count(": ") >= 2 for line in lines)
