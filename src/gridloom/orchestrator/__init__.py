"""Who may do what: agents propose, the gate verifies, the book remembers, the event path acts.

Every autonomous function has one contract, `Agent.propose`; nothing reaches a switch without a `Verdict`. The
event path is a process of its own that looks up plans which the gate has accepted beforehand.
"""

from __future__ import annotations

from gridloom.orchestrator.agents import Agent, StateView, View
from gridloom.orchestrator.autonomy import ANY_AGENT, AutonomyLevels
from gridloom.orchestrator.book import CapacityBook
from gridloom.orchestrator.gate import Gate, accepted_and_acting
from gridloom.orchestrator.locks import Locks, SwitchLock
from gridloom.orchestrator.restoration import RestorationAgent

__all__ = [
    "ANY_AGENT",
    "Agent",
    "AutonomyLevels",
    "CapacityBook",
    "Gate",
    "Locks",
    "RestorationAgent",
    "StateView",
    "SwitchLock",
    "View",
    "accepted_and_acting",
]
