"""Gridloom: the operating system of an energy internet.

The names below load their rooms on first use, so that `import gridloom.edge` stays light enough for a meter.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridloom.grid import Grid as Grid
    from gridloom.grid import load as load
    from gridloom.physics import PowerFlowResult as PowerFlowResult
    from gridloom.physics import powerflow as powerflow

__all__ = ["Grid", "PowerFlowResult", "load", "powerflow"]
__version__ = "0.1.0"

_HOME = {
    "Grid": "gridloom.grid",
    "load": "gridloom.grid",
    "PowerFlowResult": "gridloom.physics",
    "powerflow": "gridloom.physics",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
    """Load a public name from its room on first use."""
    if name not in _HOME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_HOME[name]), name)
