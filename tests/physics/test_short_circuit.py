"""Short-circuit currents follow Ohm and the place of the fault."""

import numpy as np
import pytest
from tests.physics.grids import district, two_buses

from gridloom.core.errors import BadInput, UnknownId
from gridloom.grid.model import Sources
from gridloom.physics.short_circuit import short_circuit


def _with_source():
    return two_buses().with_tables(
        sources=Sources(id=["source"], bus=[0], vm_pu=[1.0], sk_mva=[200.0], rx=[0.1])
    )


def test_three_phase_fault_at_the_end_of_a_line_follows_ohm():
    result = short_circuit(_with_source(), bus="b")
    z_source = 10.0**2 / 200.0
    x = z_source / np.sqrt(1 + 0.1**2)
    # Voltage factor 1.1 above 1 kV, IEC 60909-0 table 1; the source's impedance carries it too.
    z = complex(0.1 * x, x) * 1.0 + complex(1.0, 2.0)
    assert result.fault_ka == pytest.approx(1.1 * 10 / np.sqrt(3) / abs(z), rel=0.03)
    assert result.line_from_ka[0] == pytest.approx(result.fault_ka, rel=1e-6)
    assert result.v_pu[1] == pytest.approx(0.0, abs=1e-9)


def test_fault_inside_a_line_lies_between_those_at_its_ends():
    grid = _with_source()
    near, middle, far = (short_circuit(grid, line="ab", share=share) for share in (0.0, 0.5, 1.0))
    assert near.fault_ka > middle.fault_ka > far.fault_ka
    assert middle.line_from_ka[0] == pytest.approx(middle.fault_ka, rel=1e-6)
    assert middle.line_to_ka[0] == pytest.approx(0.0, abs=1e-6)
    assert short_circuit(grid, bus="a").fault_ka == pytest.approx(near.fault_ka, rel=0.01)
    assert short_circuit(grid, bus="b").fault_ka == pytest.approx(far.fault_ka, rel=0.01)


def test_fault_resistance_and_the_lower_voltage_factor_lower_the_current():
    grid = _with_source()
    most = short_circuit(grid, line="ab").fault_ka
    assert short_circuit(grid, line="ab", fault_ohm=2.0).fault_ka < most
    assert short_circuit(grid, line="ab", case="min").fault_ka < most


def test_current_flows_only_on_the_way_from_the_source():
    grid = district()
    result = short_circuit(grid, line="f2-f3", share=0.4)
    fed = result.line_from_ka > 1e-3
    assert {grid.lines.id[k] for k in np.flatnonzero(fed)} == {
        "bb2-f1",
        "f1-f2 a",
        "f1-f2 b",
        "f2-f3",
    }
    assert result.transformer_hv_ka[0] > 0.0


def test_fault_on_a_dead_line_draws_nothing():
    result = short_circuit(district(), line="dead")
    assert result.fault_ka == 0.0
    np.testing.assert_allclose(result.line_from_ka, 0.0, atol=1e-9)


def test_wrong_places_are_refused():
    grid = district()
    with pytest.raises(UnknownId, match="bb2-f1"):
        short_circuit(grid, line="bb2-f2")
    with pytest.raises(BadInput, match="either a line or a bus"):
        short_circuit(grid)
    with pytest.raises(BadInput, match=r"share is 1\.5"):
        short_circuit(grid, line="dead", share=1.5)
    with pytest.raises(BadInput, match="fault_ohm"):
        short_circuit(grid, line="dead", fault_ohm=float("nan"))
