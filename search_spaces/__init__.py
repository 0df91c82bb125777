"""Spaces of architectures: decisions, architectures, spaces, and the networks they stand for.

The values import neither torch nor torch_geometric; the modules that build networks do.
"""

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Decision
from search_spaces.errors import PluginError, SpaceError, UsageError
from search_spaces.space import SearchSpace, SpaceExtension
from search_spaces.task import Task

__all__ = [
    "Architecture",
    "Choice",
    "Decision",
    "PluginError",
    "SearchSpace",
    "SpaceError",
    "SpaceExtension",
    "Task",
    "UsageError",
]
