"""Load a district, solve it, switch it, and ask for something that is not there."""

import gridloom as gl

grid = gl.load("simbench:1-MVLV-urban-all-0-sw")
result = gl.powerflow(grid)
print(f"{len(grid.buses)} buses, {result.loss_kw:.1f} kW lost, lowest {result.v_min_pu:.4f} pu")

moved = grid.with_switches(open=["MV3.101 Switch 35"], closed=["MV3.101 loop_line_switch 5.2"])
result = gl.powerflow(moved)
print(f"after switching: {result.loss_kw:.1f} kW, lowest {result.v_min_pu:.4f} pu")

try:
    grid.with_switches(open=["MV3.101 Switch 3x"])
except gl.UnknownId as error:
    print(error)
