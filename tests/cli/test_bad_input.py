"""Bad input ends with its exit code and with words that name the thing, the value and the way out."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import Said, gridloom

from gridloom.cli.output import BAD_INPUT, MISSING, REFUSED

RUN = ("run", "--headless", "--json")
STEPPED = (*RUN, "--clock", "stepped", "--duration", "2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("powerflow", "simbench:no-such-grid"), "no-such-grid"),
        (("powerflow", "ftp://somewhere/grid"), "ftp"),
        (("grid", "show", "dss:feeder.dss"), "dss"),
        (("grid", "check", "pandapower:no_such_net"), "no_such_net"),
        (("powerflow", "simbench:1-LV-rural1--0-sw", "--scenarios", "-1"), "--scenarios is -1"),
        (("powerflow", "x", "--engine", "abacus"), "abacus"),
        (("journal", "show", "no-such-folder"), "no journal at no-such-folder"),
        (("field", "--bus", "http://localhost:1"), "--bus is 'http://localhost:1'"),
        (("field", "--bus", "nats://h", "--start", "yesterday"), "'yesterday'"),
        (("field", "--bus", "nats://h", "--start", "2016-07-01T10:00:00"), "without a zone"),
        (("field", "--bus", "nats://h", "--switch-failure", "2"), "switch_failure is 2"),
        ((*STEPPED, "--fault", "Line 12"), "LINE@SECONDS"),
        ((*STEPPED, "--fault", "Line 12@soon"), "LINE@SECONDS"),
        ((*STEPPED, "--fault", "Line 12@-3"), "LINE@SECONDS"),
        ((*STEPPED, "--fault", "Line 12@nan"), "LINE@SECONDS"),
        ((*STEPPED, "--fault", "Line 12@inf"), "LINE@SECONDS"),
        ((*STEPPED, "--speed", "nan"), "speed is nan"),
        ((*STEPPED, "--speed", "0.5"), "speed is 0.5"),
        ((*RUN, "--duration", "-1"), "duration is -1"),
        ((*RUN, "--duration", "nan"), "duration is nan"),
        ((*STEPPED, "--port", "70000"), "port is 70000"),
        ((*STEPPED, "--start", "noon"), "'noon'"),
        ((*STEPPED, "--seed", "-1"), "seed is -1"),
        ((*STEPPED, "--faults", "-2"), "--faults is -2"),
        ((*STEPPED, "--faults", "99999"), "medium-voltage lines"),
        ((*STEPPED, "--mode", "daring"), "daring"),
        ((*RUN, "--clock", "sundial"), "sundial"),
        ((*STEPPED, "--seed", "many"), "many"),
        (("run", "--clock", "stepped", "--headless"), "--duration"),
        (("fly",), "fly"),
        (("powerflow",), "grid"),
        (("journal", "burn"), "burn"),
        (("bench", "no-such-benchmark"), "no-such-benchmark"),
    ],
)
def test_bad_input_is_named(
    arguments: tuple[str, ...],
    words: str,
    grid_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "run":
        arguments += ("--grid", str(grid_file), "--data", str(tmp_path / "run"))
    said = gridloom(*arguments)
    assert said.code == BAD_INPUT
    assert words.lower() in said.words.lower()
    assert said.out == ""


def test_an_unknown_line_is_answered_with_the_nearest_ids(grid_file: Path, tmp_path: Path) -> None:
    said = gridloom(*STEPPED, "--grid", grid_file, "--data", tmp_path, "--fault", "MV line 1.22@1")
    assert said.code == BAD_INPUT
    assert "'MV line 1.22'" in said.words
    assert "MV line 1.2" in said.words.partition("nearest")[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed = ", "is not TOML"),
        ("sped = 60", "sped"),
        ("seed = 'many'", "seed"),
        ("mode = 'daring'", "daring"),
        ("speed = nan", "speed is nan"),
        ("estimate_period_s = 0", "estimate_period_s is 0"),
        ("\udcff", "is not TOML"),
    ],
)
def test_bad_settings_are_named(grid_file: Path, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    said = gridloom(*STEPPED, "--grid", grid_file, "--data", tmp_path / "run", "--config", file)
    assert said.code == BAD_INPUT
    assert words in said.words


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = gridloom(*STEPPED, "--config", tmp_path / "absent.toml")
    assert said.code == BAD_INPUT
    assert "absent.toml" in said.words


def test_a_run_folder_that_cannot_be_made_is_named(grid_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = gridloom(*STEPPED, "--grid", grid_file, "--data", tmp_path / "file" / "run")
    assert said.code == BAD_INPUT
    assert "--data" in said.words


def test_a_grid_that_would_give_wrong_results_fails_its_check(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text('{"buses": [], "branches": [{"id": "b"}], "sources": [')
    said = gridloom("grid", "check", f"case:{path}", "--json")
    assert said.code == BAD_INPUT
    assert "case.json" in said.words


def test_a_truncated_grid_file_is_named(grid_file: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gridloom"
    short.write_bytes(grid_file.read_bytes()[:-100])
    said = gridloom("grid", "show", short)
    assert said.code == BAD_INPUT
    assert "short.gridloom" in said.words


def test_a_grid_file_that_is_not_there_is_missing_not_bad(tmp_path: Path) -> None:
    said = gridloom("powerflow", tmp_path / "absent.gridloom", "--json")
    assert said.code == MISSING
    assert "absent.gridloom" in said.words


def test_a_bus_that_is_not_running_is_missing_not_bad(tmp_path: Path) -> None:
    said = gridloom("field", "--bus", tmp_path / "ready.json", "--grid", "x.gridloom")
    assert said.code == MISSING
    assert "ready.json" in said.words


def test_a_journal_that_was_tampered_with_is_refused(
    stepped: tuple[Said, Path], tmp_path: Path
) -> None:
    forged = tmp_path / "forged.sqlite"
    forged.write_bytes((stepped[1] / "journal.sqlite").read_bytes())
    with closing(sqlite3.connect(forged)) as database:
        database.execute("UPDATE entry SET at_ns = at_ns + 1 WHERE sequence = 3")
        database.commit()
    said = gridloom("journal", "verify", forged, "--json")
    assert said.code == REFUSED
    assert said.result["ok"] is False
    assert said.result["first_bad"] == 3
