"""Settings come from a file, then from the environment, then from flags; the later wins."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.cli.settings import Settings, load_settings
from gridloom.core.errors import BadInput


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A settings file."""
    path = tmp_path / "settings.toml"
    path.write_text('seed = 2\nspeed = 3.0\nmode = "advise"\nrealtime = true\n')
    return str(path)


def test_without_anything_there_are_defaults() -> None:
    assert load_settings(None, {}, {}) == Settings()


def test_a_file_wins_over_defaults(file: str) -> None:
    settings = load_settings(file, {}, {})
    assert (settings.seed, settings.speed, settings.mode) == (2, 3.0, "advise")
    assert settings.realtime


def test_the_environment_wins_over_a_file(file: str) -> None:
    settings = load_settings(file, {}, {"GRIDLOOM_SEED": "5", "GRIDLOOM_REALTIME": "false"})
    assert (settings.seed, settings.speed) == (5, 3.0)
    assert not settings.realtime


def test_flags_win_over_all(file: str) -> None:
    settings = load_settings(file, {"seed": 7, "mode": "act"}, {"GRIDLOOM_SEED": "5"})
    assert (settings.seed, settings.mode) == (7, "act")


def test_a_flag_that_is_not_given_changes_nothing(file: str) -> None:
    assert load_settings(file, {"seed": None}, {}).seed == 2


def test_the_folder_of_test_data_is_not_the_folder_of_a_run() -> None:
    assert load_settings(None, {}, {"GRIDLOOM_DATA": "elsewhere"}).data == ""


@pytest.mark.parametrize("value", ["many", "1.5", ""])
def test_a_variable_that_is_no_number_is_named(value: str) -> None:
    with pytest.raises(BadInput, match="seed"):
        load_settings(None, {}, {"GRIDLOOM_SEED": value})


@given(speed=st.floats())
def test_a_speed_is_within_its_limits_or_refused(speed: float) -> None:
    if 1.0 <= speed <= 3600.0:
        assert load_settings(None, {"speed": speed}, {}).speed == speed
    else:
        with pytest.raises(BadInput, match="speed"):
            load_settings(None, {"speed": speed}, {})
