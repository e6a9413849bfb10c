"""Settings: a TOML file, then `GRIDLOOM_...` variables, then flags; the later wins.

Parts of the platform get plain arguments; nothing below `cli` ever sees this object or the environment.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gridloom.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_GRID = "simbench:1-MVLV-urban-all-0-sw"
"""An urban 10 kV grid with all its low-voltage neighbourhoods, about 10,000 buses."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a run can be told."""

    grid: str = DEFAULT_GRID
    """Grid URI or path."""
    mode: Literal["observe", "advise", "act"] = "act"
    """Autonomy that agents start with."""
    clock: Literal["real", "stepped", "accelerated"] = "real"
    speed: float = 60.0
    """Grid seconds per wall second of the accelerated clock."""
    start: str = "2016-07-01T10:00:00+00:00"
    """Grid time at the start, ISO 8601; SimBench's year is 2016."""
    duration: float = 0.0
    """Grid seconds to run; 0 runs until it is stopped."""
    seed: int = 1
    bus: str = ""
    """Address or ready file of a running NATS server with JetStream; empty starts one of our own."""
    host: str = "127.0.0.1"
    port: int = 8620
    """Port of the control room; 0 takes a free one."""
    data: str = ""
    """Folder of journal, history and logs; empty takes a new one under the user's state folder."""
    mv_share: float = 0.05
    """Share of medium-voltage buses whose voltage is measured."""
    meter_period_s: float = 60.0
    """Seconds between two readings of one smart meter."""
    estimate_period_s: float = 1.0
    realtime: bool = False
    """Ask for a real-time scheduling class for the event path."""

    def __post_init__(self) -> None:
        """Refuse numbers that no run can be made of."""
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                message = f"{name} is {value}; it must lie between {low} and {high}"
                raise BadInput(message)


_LIMITS = (
    ("speed", 1.0, 3600.0),
    ("duration", 0.0, 1e9),
    ("seed", 0, 2**63 - 1),
    ("port", 0, 65535),
    ("mv_share", 0.0, 1.0),
    ("meter_period_s", 1.0, 86_400.0),
    ("estimate_period_s", 0.1, 3600.0),
)


def load_settings(
    path: str | None, flags: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of a run.

    Args:
        path: TOML file, or None.
        flags: Values given on the command line; None means not given.
        environment: Variables to read `GRIDLOOM_...` from; the process's own by default.

    Raises:
        BadInput: A file that cannot be read, an unknown name, a value of the wrong type or out of its range.
    """
    merged: dict[str, Any] = {} if path is None else _read_toml(Path(path))
    environment = os.environ if environment is None else environment
    for name in Settings.__struct_fields__:
        value = environment.get(f"GRIDLOOM_{name.upper()}")
        # GRIDLOOM_DATA names the folder of test data everywhere else; a run's own folder is a flag or file setting.
        if value is not None and name != "data":
            merged[name] = value
    merged |= {name: value for name, value in flags.items() if value is not None}
    try:
        return msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        message = f"settings: {error}"
        raise BadInput(message) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"settings file {path}: {error.strerror}"
        raise BadInput(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"settings file {path} is not TOML: {error}"
        raise BadInput(message) from None
