"""The space `fakes.networks` without a recipe, for strategies that relax its networks."""

from collections.abc import Sequence

from fakes import networks
from search_spaces import SearchSpace, Task
from search_spaces.elastic import places
from search_spaces.relaxed import relax


def build(task: Task, *, kinds: Sequence[str] = ("plain", "wide"), levels: int = 8) -> SearchSpace:
    own = networks.build(task, kinds=kinds, levels=levels)
    decisions = tuple(d for d in own.decisions if d.role != "recipe")
    return SearchSpace("relaxed", 1, decisions, networks.network, elastic=places, relax=relax)
