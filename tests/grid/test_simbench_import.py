"""SimBench grids: once through SimBench's loader, then from the cache; with their year of profiles."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridloom.core.errors import UnknownId
from gridloom.grid import load_with_report
from gridloom.grid import simbench_import as importer
from gridloom.grid.checking import check
from gridloom.grid.instruments import place_instruments
from gridloom.grid.profiles import load_profiles
from gridloom.grid.summary import describe
from gridloom.grid.topology import topology

CODE = "1-MV-comm--0-sw"
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="session")
def net() -> Any:
    """Return SimBench's own net, loaded once for all tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importer.simbench_net(CODE)


@pytest.fixture(autouse=True)
def _own_cache(
    cache: Path, net: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    if "unknown_code" not in request.node.name:
        monkeypatch.setattr(importer, "simbench_net", lambda _: net)


def test_the_second_time_comes_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_with_report(f"simbench:{CODE}")

    def never(code: str) -> None:
        pytest.fail(f"SimBench was asked for {code} again")

    monkeypatch.setattr(importer, "simbench_net", never)
    second = load_with_report(f"simbench:{CODE}")
    assert second.grid.switch_hash == first.grid.switch_hash
    assert second.report == first.report
    assert load_profiles(second.grid).n_steps == 35136


def test_a_damaged_cache_is_replaced() -> None:
    first = load_with_report(f"simbench:{CODE}").grid
    path = importer.cache_path(CODE)
    assert path is not None
    path.write_bytes(path.read_bytes()[:1000])
    assert load_with_report(f"simbench:{CODE}").grid.hash == first.hash
    assert path.stat().st_size > 1000


def test_switches_have_their_kinds_and_remote_control() -> None:
    grid = load_with_report(f"simbench:{CODE}").grid
    kinds = set(grid.switches.kind.tolist())
    assert {"breaker", "load_break_switch"} <= kinds
    can_move = np.isin(grid.switches.kind.astype(str), ["breaker", "load_break_switch"])
    assert np.array_equal(grid.switches.is_remote, can_move)
    assert check(grid) == ()
    assert topology(grid).is_energised.all()


def test_cells_follow_the_subnets() -> None:
    grid = load_with_report(f"simbench:{CODE}").grid
    kinds = grid.cells.kind.tolist()
    assert kinds.count("substation") == 1
    assert kinds.count("feeder") == describe(grid).feeders > 2
    busbar = grid.transformers.lv_bus[0]
    assert grid.cells.kind[grid.buses.cell[busbar]] == "substation"


def test_counted_customers_are_reported() -> None:
    report = load_with_report(f"simbench:{CODE}").report
    whats = {entry.what for entry in report.entries}
    assert "number of customers" in whats


def test_the_year_scales_every_element() -> None:
    grid = load_with_report(f"simbench:{CODE}").grid
    profiles = load_profiles(grid)
    now, later = profiles.at(0), profiles.at(1)
    half = profiles.at(0.5)
    assert np.all(now.load_p_mw <= grid.loads.p_mw + 1e-9)
    np.testing.assert_allclose(
        half.load_p_mw, (now.load_p_mw + later.load_p_mw) / 2, rtol=1e-6, atol=1e-12
    )
    assert np.array_equal(profiles.at(35136).load_q_mvar, now.load_q_mvar)
    solar = np.flatnonzero(grid.generators.kind == "pv")
    assert solar.size == 0 or not profiles.at(0).generator_p_mw[solar].any()
    assert profiles.factors.nbytes < 20e6


def test_the_profiles_are_simbench_s_own(net: Any) -> None:
    grid = load_with_report(f"simbench:{CODE}").grid
    values = load_profiles(grid).at(12345)
    own = net.profiles["load"].iloc[12345]
    expected = net.load.p_mw.to_numpy() * own[[f"{p}_pload" for p in net.load.profile]].to_numpy(
        dtype=float
    )
    np.testing.assert_allclose(values.load_p_mw, expected, rtol=1e-6, atol=1e-12)
    own = net.profiles["renewables"].iloc[12345]
    expected = net.sgen.p_mw.to_numpy() * own[list(net.sgen.profile)].to_numpy(dtype=float)
    np.testing.assert_allclose(values.generator_p_mw, expected, rtol=1e-6, atol=1e-12)


def test_instruments_are_where_a_utility_has_them() -> None:
    grid = load_with_report(f"simbench:{CODE}").grid
    placed = place_instruments(grid, rng=np.random.default_rng(1))
    heads = (grid.switches.kind == "breaker") & (grid.switches.element_kind == "line")
    assert int((placed.kind == "relay").sum()) == int(heads.sum())
    assert int((placed.kind == "switch").sum()) == int(grid.switches.is_remote.sum())
    assert int((placed.kind == "indicator").sum()) == len(grid.lines)


@pytest.mark.parametrize("code", ["1-MV-comm--0-xx", "../../etc/passwd", "", "x" * 300])
def test_an_unknown_code_is_refused(code: str) -> None:
    with pytest.raises(UnknownId, match="no SimBench grid"):
        importer.import_simbench(code)


def test_a_limit_of_one_percent_at_low_voltage_is_taken_as_ten_and_said() -> None:
    from gridloom.grid import Buses, Grid, Imported, LossReport
    from gridloom.grid.simbench_import import with_credible_limits

    buses = Buses(id=["a", "b", "c"], vn_kv=[0.4, 0.4, 10.0], v_max_pu=[1.01, 1.1, 1.01])
    done = with_credible_limits(Imported(grid=Grid(buses=buses), report=LossReport(source="x")))
    assert done.grid.buses.v_max_pu.tolist() == [1.1, 1.1, 1.01]
    assert [entry.what for entry in done.report.entries] == ["max_vm_pu"]
