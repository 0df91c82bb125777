"""What architectures cost, learned from a few of them: exactly, or with what error."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evaluators.facts import facts
from evaluators.preparations._pricing import Pricing
from evaluators.preparations._sampling import largest_architecture, smallest_architecture
from nas.contracts import graphs, networks
from search_spaces import Architecture, PluginError, SearchSpace, SpaceError, Task, gnn

NODES, GRAPHS = graphs.node_graph().task, graphs.graph_set().task
SPACES: dict[str, dict[str, Any]] = {
    "convolutions": {"operators": ["gcn", "sage"], "aggregation": ["mean", "max"]},
    "attention": {"operators": ["gat", "transformer"], "heads": [1, 2]},
    "perceptrons": {"operators": ["gin", "linear"], "post_layers": [0, 1]},
}


def space(task: Task, which: str) -> SearchSpace:
    less = {"activation": ["relu"], "normalization": ["batch"], "pre_layers": [0, 1]}
    return gnn.build(
        task, depth=[1, 2], width=[4, 8], **{"post_layers": [0], **less, **SPACES[which]}
    )


def some(of: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    ends = [largest_architecture(of), smallest_architecture(of)]
    return [*ends, *(of.sample(rng) for _ in range(count))]


def known(of: SearchSpace, task: Task, each: Sequence[Architecture]) -> dict[str, list[float]]:
    found = [facts(of, architecture, task) for architecture in each]
    return {cost: [one[cost] for one in found] for cost in ("macs", "params")}


@pytest.mark.parametrize("which", SPACES)
@pytest.mark.parametrize("task", [NODES, GRAPHS], ids=["nodes", "graphs"])
def test_what_is_counted_comes_out_exactly(which: str, task: Task) -> None:
    """For architectures that were no examples; by prices of shuffled costs it does not."""
    of = space(task, which)
    examples, others = some(of, 90), some(of, 8, seed=1)
    costs, wanted = known(of, task, examples), known(of, task, others)
    for cost in ("macs", "params"):
        pricing = Pricing.fitted(of, task, examples, costs[cost])
        assert [pricing.cost(a) for a in others] == pytest.approx(wanted[cost], rel=1e-6)
        assert pricing.error < 1e-6
        shuffled = np.random.default_rng(2).permutation(costs[cost]).tolist()
        wrong = Pricing.fitted(of, task, examples, shuffled)
        assert wrong.error > 0.05
        assert [wrong.cost(a) for a in others] != pytest.approx(wanted[cost], rel=0.05)


def test_what_is_noisy_is_told_to_be() -> None:
    """The error on held-out examples is about that of the costs."""
    of = space(NODES, "convolutions")
    examples = some(of, 60)
    rng = np.random.default_rng(3)
    noisy = [c * rng.uniform(0.8, 1.2) for c in known(of, NODES, examples)["macs"]]
    assert 0.05 < Pricing.fitted(of, NODES, examples, noisy).error < 0.3


def test_what_cannot_be_priced_is_refused() -> None:
    """A space whose modules are not known, and costs that are none."""
    of = space(NODES, "convolutions")
    examples = some(of, 8)
    with pytest.raises(SpaceError, match=r'kind: .* "contracts" .* use name = "gnn"'):
        Pricing.fitted(networks.SPACE, NODES, [networks.architecture("gcn")], [1.0])
    for costs in ([1.0], [0.0] * len(examples), []):
        with pytest.raises(PluginError, match="examples: expected some, each with a cost above 0"):
            Pricing.fitted(of, NODES, examples, costs)
    assert Pricing.fitted(of, NODES, examples, [1.0] * len(examples)).cost(examples[0]) > 0
