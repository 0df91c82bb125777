"""Search strategies. Each module here with a `build` is one; `_base` has the contract."""

from nas.strategies._base import Finished, Objective, Problem, Proposal, Strategy

__all__ = ["Finished", "Objective", "Problem", "Proposal", "Strategy"]
