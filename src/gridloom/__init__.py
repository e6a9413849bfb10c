"""Gridloom: the operating system of an energy internet.

The names below load their rooms on first use, so that `import gridloom.edge` stays light enough for a meter.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridloom.core.errors import BadInput as BadInput
    from gridloom.core.errors import GridloomError as GridloomError
    from gridloom.core.errors import UnknownId as UnknownId
    from gridloom.grid import Grid as Grid
    from gridloom.grid import load as load
    from gridloom.grid import save as save
    from gridloom.physics import OperatingPoint as OperatingPoint
    from gridloom.physics import PowerFlowResult as PowerFlowResult
    from gridloom.physics import powerflow as powerflow
    from gridloom.physics import powerflow_batch as powerflow_batch
    from gridloom.twin import Estimator as Estimator
    from gridloom.twin import GridState as GridState
    from gridloom.twin import Twin as Twin

__all__ = [
    "BadInput",
    "Estimator",
    "Grid",
    "GridState",
    "GridloomError",
    "OperatingPoint",
    "PowerFlowResult",
    "Twin",
    "UnknownId",
    "load",
    "powerflow",
    "powerflow_batch",
    "save",
]
__version__ = "0.1.0"

_HOME = {
    "BadInput": "gridloom.core.errors",
    "Estimator": "gridloom.twin",
    "Grid": "gridloom.grid",
    "GridState": "gridloom.twin",
    "GridloomError": "gridloom.core.errors",
    "OperatingPoint": "gridloom.physics",
    "PowerFlowResult": "gridloom.physics",
    "Twin": "gridloom.twin",
    "UnknownId": "gridloom.core.errors",
    "load": "gridloom.grid",
    "powerflow": "gridloom.physics",
    "powerflow_batch": "gridloom.physics",
    "save": "gridloom.grid",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
    """Load a public name from its room on first use."""
    if name not in _HOME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_HOME[name]), name)
