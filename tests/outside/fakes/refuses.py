"""A strategy that handles no problem: it wants several objectives, and then fewer."""

from nas.strategies import Problem, Strategy, StrategyError


def build(problem: Problem) -> Strategy[None]:
    raise StrategyError(f"several objectives are needed, or fewer than {len(problem.objectives)}")
