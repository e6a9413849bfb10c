"""Everything that makes one simulated world different from another."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gridloom.core.errors import BadInput
from gridloom.field.protection import RelaySettings
from gridloom.field.telemetry import TelemetrySettings
from gridloom.field.truth import Tolerances


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """A fault that the run brings by itself."""

    line: str
    """Id of the line."""
    at_s: float
    """Seconds after the start of the run."""
    fraction: float = 0.5
    """Place on the line, from its from bus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOptions:
    """Settings of a field; the same options and seed give the same bytes."""

    seed: int = 1
    start_ns: int
    """Grid time at the start [ns since 1970 UTC]; profiles take the time of year from it."""
    epoch: int = 1
    """Counts the starts of this field; `serve` counts by itself where it has a state directory."""
    grid_uri: str = ""
    """Where the platform can load the same grid from."""
    mv_share: float = 0.05
    """Share of medium-voltage buses with a voltage measurement."""
    tolerances: Tolerances = field(default_factory=Tolerances)
    relays: RelaySettings = field(default_factory=RelaySettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    switch_failure: float = 0.0
    """Chance that an order moves nothing, per order."""
    faults: tuple[PlannedFault, ...] = ()
    random_faults: int = 0
    """Faults on medium-voltage lines at random times and places, one after the other."""
    fault_window_s: tuple[float, float] = (10.0, 60.0)
    """Random faults begin within this part of the run [s]."""
    repair_after_s: float = 0.0
    """Every fault is repaired after this long [s]; 0 for never."""
    truth_dir: Path | None = None
    """Where the truth log goes; None keeps none."""

    def __post_init__(self) -> None:
        """Check shares and times."""
        for name in ("mv_share", "switch_failure"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadInput(f"{name} is {getattr(self, name)}; give a share from 0 to 1")
        low_s, high_s = self.fault_window_s
        if self.random_faults < 0 or not 0.0 <= low_s < high_s:
            raise BadInput(
                f"random_faults is {self.random_faults} in {self.fault_window_s} s; "
                "give a count and a rising window"
            )
        if self.repair_after_s < 0.0:
            raise BadInput(f"repair_after_s is {self.repair_after_s}; give 0 or more")
