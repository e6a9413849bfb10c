"""What commands print with `--json`: one object with the fields that scripts rely on."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.cli.conftest import Said, gridloom

RUN_FIELDS = {
    "frames": int,
    "readings": int,
    "lost_events": int,
    "estimates": int,
    "se_v_rmse_pu": float,
    "se_ms": {"p50": float, "p99": float},
    "faults": int,
    "restored": int,
    "customers_interrupted": int,
    "customers_restored": int,
    "event_to_command_ms": {"p50": None, "p99": None},
    "plans": {"proposed": int, "accepted": int, "refused": int},
    "journal_ok": bool,
    "rss_mb": float,
}


def has_fields(result: Any, fields: dict[str, Any]) -> None:
    for name, kind in fields.items():
        assert name in result
        if isinstance(kind, dict):
            has_fields(result[name], kind)
        elif kind is None:
            assert result[name] is None
        else:
            assert type(result[name]) is kind, f"{name} is {result[name]!r}"


@pytest.mark.parametrize("engine", ["auto", "radial", "pgm", "lightsim"])
def test_powerflow_says_what_the_contract_names(grid_file: Path, engine: str) -> None:
    said = gridloom("powerflow", grid_file, "--engine", engine, "--json")
    assert said.code == 0
    fields = dict.fromkeys(("loss_kw", "v_min_pu", "v_max_pu", "max_loading_pct"), float)
    has_fields(said.result, fields | {"converged": bool, "engine": str, "buses": int})
    has_fields(said.result, {"solve_ms": float})
    assert said.result["converged"] is True
    assert said.result["buses"] == 122
    assert 0.9 < said.result["v_min_pu"] <= said.result["v_max_pu"] < 1.1


def test_the_engines_agree(grid_file: Path) -> None:
    losses = [
        gridloom("powerflow", grid_file, "--engine", engine, "--json").result["loss_kw"]
        for engine in ("radial", "pgm", "lightsim")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] == pytest.approx(losses[2], rel=1e-6)


def test_scenarios_are_solved_and_written(grid_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "scenarios.parquet"
    said = gridloom("powerflow", grid_file, "--scenarios", "7", "--out", out, "--json")
    assert said.code == 0
    assert said.result["scenarios"] == 7
    assert pq.read_table(out).num_rows == 7


def test_voltages_are_written_one_row_a_bus(grid_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "voltages.parquet"
    assert gridloom("powerflow", grid_file, "--out", out, "--json").code == 0
    table = pq.read_table(out)
    assert table.num_rows == 122
    assert {"bus", "v_pu"} <= set(table.column_names)


def test_a_power_flow_that_does_not_converge_is_a_result(tmp_path: Path) -> None:
    # Over these ohms at most 3 kW can be had, whatever the voltage.
    case = tmp_path / "heavy.json"
    case.write_text(
        '{"vn_kv": 0.4, "v_source_pu": 1.0, "sources": [1], "buses": [{"id": 1},'
        '{"id": 2, "p_kw": 100}], "branches": [{"id": 1, "f": 1, "t": 2, "r_ohm": 10, "x_ohm": 10}]}'
    )
    said = gridloom("powerflow", f"case:{case}", "--json")
    assert said.code == 0
    assert said.result["converged"] is False
    assert said.result["loss_kw"] is None


def test_show_describes_a_grid(grid_file: Path) -> None:
    said = gridloom("grid", "show", grid_file, "--json")
    assert said.code == 0
    assert said.result["buses"] == 122
    assert said.result["customers"] == 72
    assert [level["vn_kv"] for level in said.result["levels"]] == [110.0, 10.0, 0.4]


def test_check_passes_a_sound_grid(grid_file: Path) -> None:
    said = gridloom("grid", "check", grid_file, "--json")
    assert said.code == 0
    assert said.result["ok"] is True
    assert isinstance(said.result["findings"], list)


def test_import_keeps_a_grid_and_says_what_was_lost(tmp_path: Path) -> None:
    out = tmp_path / "kept.gridloom"
    said = gridloom("grid", "import", "pandapower:example_simple", "--out", out, "--json")
    assert said.code == 0
    assert all(loss["words"] for loss in said.result["losses"])
    shown = gridloom("grid", "show", out, "--json").result
    assert shown["hash"] == said.result["hash"]
    assert shown["buses"] == said.result["buses"]


def test_convert_writes_what_pandapower_reads_back(grid_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "district.json"
    said = gridloom("grid", "convert", grid_file, out, "--json")
    assert said.code == 0
    assert said.result["path"] == str(out)
    ours = gridloom("powerflow", grid_file, "--json").result
    back = gridloom("powerflow", f"pandapower:{out}", "--json").result
    assert back["loss_kw"] == pytest.approx(ours["loss_kw"], rel=1e-6)


def test_a_run_says_what_the_contract_names(stepped: tuple[Said, Path]) -> None:
    said, folder = stepped
    assert said.code == 0
    has_fields(said.result, RUN_FIELDS)
    assert said.result["faults"] == said.result["restored"] == 1
    assert said.result["customers_restored"] == said.result["customers_interrupted"] == 18
    assert said.result["lost_events"] == 0
    assert said.result["journal_ok"] is True
    assert said.result["folder"] == str(folder)


def test_the_journal_of_a_run_is_shown(stepped: tuple[Said, Path]) -> None:
    said = gridloom("journal", "show", stepped[1], "--last", "5", "--json")
    assert said.code == 0
    assert len(said.result["entries"]) == 5
    assert said.result["entries"][-1]["kind"] == "stop"
    assert said.result["head_hash"] == stepped[0].result["journal_hash"]


def test_the_journal_is_shown_by_kind(stepped: tuple[Said, Path]) -> None:
    said = gridloom("journal", "show", stepped[1], "--kind", "fault", "--json")
    assert {entry["kind"] for entry in said.result["entries"]} == {"fault"}
    assert said.result["entries"][-1]["body"]["section"] == "MV line 1.2"


def test_the_journal_of_a_run_verifies(stepped: tuple[Said, Path]) -> None:
    said = gridloom("journal", "verify", stepped[1], "--json")
    assert said.code == 0
    assert said.result["ok"] is True
    assert said.result["entries"] == stepped[0].result["journal_entries"]
    assert said.result["first_bad"] is None


def test_the_journal_replays_to_where_things_stood(stepped: tuple[Said, Path]) -> None:
    said = gridloom("journal", "replay", stepped[1], "--json")
    assert said.code == 0
    assert said.result["was_stopped"] is True
    assert said.result["open_commands"] == {}
    assert said.result["positions"]["switch tie 0 a"] is True
    assert list(said.result["executed"].values()) == [True]


@pytest.mark.parametrize(
    "command",
    [
        ("grid", "show", "{grid}"),
        ("grid", "check", "{grid}"),
        ("powerflow", "{grid}"),
        ("journal", "show", "{run}"),
        ("journal", "verify", "{run}"),
        ("journal", "replay", "{run}"),
    ],
)
def test_people_get_words_and_not_json(
    stepped: tuple[Said, Path], grid_file: Path, command: tuple[str, ...]
) -> None:
    said = gridloom(*(part.format(grid=grid_file, run=stepped[1]) for part in command))
    assert said.code == 0
    assert said.out.strip()
    assert not said.out.startswith("{")
