"""Who may do what: agents propose, the gate verifies, the book remembers, the event path acts.

Every autonomous function has one contract, `Agent.propose`; nothing reaches a switch without a `Verdict`. The
event path is a process of its own that looks up plans which the gate has accepted beforehand.
"""
