"""Every strategy that comes with the program, found by discovery: so is a new one at once."""

import pytest

from nas.contracts import planted
from nas.contracts.test_strategy import *  # noqa: F403
from nas.strategies import StrategyError
from search_spaces import plugins


def test_the_strategies_are_discovered() -> None:
    """The parametrization is not empty."""
    assert {"random", "evolution", "nsga2", "tpe"} <= set(plugins.names("strategy"))


@pytest.mark.parametrize("name", ["agnn", "reinforce"])
def test_ours_say_what_to_use_instead(name: str) -> None:
    """Those for one objective, of several."""
    assert planted.objectives_of(name) == (1,)
    said = rf'"{name}" is for one objective, got 2 \(loss0, loss1\); for several use nsga2'
    with pytest.raises(StrategyError, match=said):
        planted.build(name, planted.flat(), 2)
