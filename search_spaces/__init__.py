"""Spaces of architectures: decisions, architectures, spaces, and the networks they stand for.

The values import neither torch nor torch_geometric; the modules that build networks do.
"""

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Decision
from search_spaces.errors import PluginError, SpaceError, UsageError
from search_spaces.extension import ChangesInTraining, SpaceExtension
from search_spaces.space import SearchSpace
from search_spaces.task import Task

__all__ = [
    "Architecture",
    "ChangesInTraining",
    "Choice",
    "Decision",
    "PluginError",
    "SearchSpace",
    "SpaceError",
    "SpaceExtension",
    "Task",
    "UsageError",
]
