

def test_a_limit_of_one_percent_at_low_voltage_is_taken_as_ten_and_said() -> None:
    from gridloom.grid import Buses, Grid, Imported, LossReport
    from gridloom.grid.simbench_import import with_credible_limits

    buses = Buses(id=["a", "b", "c"], vn_kv=[0.4, 0.4, 10.0], v_max_pu=[1.01, 1.1, 1.01])
    done = with_credible_limits(Imported(grid=Grid(buses=buses), report=LossReport(source="x")))
    assert done.grid.buses.v_max_pu.tolist() == [1.1, 1.1, 1.01]
    assert [entry.what for entry in done.report.entries] == ["max_vm_pu"]
