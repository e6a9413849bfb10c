"""Equations without opinions: power flow, short circuit, and the adapters to the reference engines."""

from gridloom.physics.errors import NotRadial
from gridloom.physics.operating_point import OperatingPoint
from gridloom.physics.per_unit import PerUnitModel
from gridloom.physics.powerflow import powerflow, powerflow_batch, random_scenarios
from gridloom.physics.radial import RadialSolution, RadialSolver
from gridloom.physics.results import BatchResult, Flows, PowerFlowResult

__all__ = [
    "BatchResult",
    "Flows",
    "NotRadial",
    "OperatingPoint",
    "PerUnitModel",
    "PowerFlowResult",
    "RadialSolution",
    "RadialSolver",
    "powerflow",
    "powerflow_batch",
    "random_scenarios",
]
