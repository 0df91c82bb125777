"""Children that start as their parents: which may, and what the record says of them."""

from nas.strategies._base import Finished, Problem, Proposal, StrategyError
from search_spaces import Architecture, SearchSpace

MORPHISM = "morphism"


def check_growing(what: str, space: SearchSpace) -> None:
    """Raises: StrategyError: the space says nothing of its networks that could grow."""
    if space.elastic is not None:
        return
    remedy = "".join(f"; leave [extension.{e.name}] out" for e in space.extensions)
    raise StrategyError(
        f'{what} is for spaces of networks that grow, got "{space.name}"; expected '
        f'name = "gnn" without extensions{remedy}'
    )


def descended(problem: Problem, ordinal: int, parent: Finished, child: Architecture) -> Proposal:
    """The proposal of a child, from its parent's weights where that can grow into it."""
    # torch is imported with it, which the command line does without where nothing is proposed.
    from search_spaces.morphism import reachable

    reason = reachable(problem.space, problem.task, parent.architecture, child)
    if parent.outcome == "infeasible" and parent.losses is None:
        reason = "the parent broke a bound before it was trained"
    note: dict[str, str | int | float] = {"parent": parent.ordinal}
    if reason is not None:
        return Proposal(ordinal, child, note=note | {"new weights": reason})
    return Proposal(ordinal, child, parent.ordinal, MORPHISM, note)
