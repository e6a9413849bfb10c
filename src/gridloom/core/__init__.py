"""Words that every room shares: plans, verdicts, clocks, ids, units, money, errors.

No input or output lives here, and nothing here knows what a grid is made of.
"""
