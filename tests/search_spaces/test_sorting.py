"""Sorting channels: networks of full width compute what they did, narrower ones keep more."""

import pytest
import torch
from fakes import elastic
from torch import Tensor

from evaluators.slicing import Subnets
from search_spaces.slices import Weights
from search_spaces.sorting import sort
from search_spaces.supernet import Supernet

GRAPHS = pytest.mark.parametrize("graphs", [False, True], ids=["nodes", "graphs"])


@pytest.mark.parametrize(
    ("name", "share"),
    [(name, name == "few") for name in sorted(elastic.SPACES)] + [("every", True)],
)
@GRAPHS
def test_at_full_width_nothing_changes(name: str, graphs: bool, share: bool) -> None:
    """For any operators, connectivity and heads; in a narrower network something does."""
    net = elastic.supernet(name, graphs=graphs, share=share)
    batches, weights = elastic.batches(graphs=graphs), elastic.weights(net)
    sorted_, units = sort(net, weights), batches.dataset.val.nonzero()[:, 0]
    subnets = Subnets(net, batches)
    for connectivity in net.space.by_name["connectivity"].choices:
        for architecture in elastic.widest(net, 2, connectivity=connectivity, depth=3):
            before, after = (subnets.evaluated(w, architecture, units) for w in (weights, sorted_))
            torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9, msg=str(architecture))
    changed = [
        not torch.equal(*(subnets.evaluated(w, one, units) for w in (weights, sorted_)))
        for one in elastic.sampled(net, 5, depth=2)
    ]
    assert any(changed)


def importance(net: Supernet, weights: Weights, sources: set[str]) -> dict[str, Tensor]:
    """Of the channels of these sources, [groups, each], by all that read them."""
    found: dict[str, Tensor] = {}
    for place in net.every_place():
        for name, axes in net.blocks(place):
            for dim, (channels, reads) in enumerate(axes):
                if channels is not None and channels.source in sources and reads:
                    found[channels.source, name] = (
                        weights[name]
                        .abs()
                        .movedim(dim, 0)
                        .flatten(1)
                        .sum(1)
                        .view(channels.groups, -1)
                    )
    return {s: torch.stack([v for (of, _), v in found.items() if of == s]).sum(0) for s in sources}


@GRAPHS
def test_the_channels_that_matter_most_come_first(graphs: bool) -> None:
    """Each in its group; the groups keep what they have. Unsorted, none is in order."""
    net = elastic.supernet("unaligned", graphs=graphs)
    weights, sources = elastic.weights(net), {"pre", "layer0", "layer1", "layer2", "post"}
    before, after = (importance(net, w, sources) for w in (weights, sort(net, weights)))
    for source in sources:
        for mine, theirs in zip(after[source], before[source], strict=True):
            torch.testing.assert_close(mine, theirs.sort(descending=True).values)
            assert not torch.equal(mine, theirs)


def test_where_layers_are_added_all_are_sorted_alike() -> None:
    """By what they matter together; at half the width more of that is left than unsorted."""
    net = elastic.supernet("few")
    weights, sources = elastic.weights(net), {"pre", "layer0", "layer1", "layer2"}
    before, after = (
        torch.stack(list(importance(net, some, sources).values())).sum(0)
        for some in (weights, sort(net, weights))
    )
    for mine, theirs in zip(after, before, strict=True):
        torch.testing.assert_close(mine, theirs.sort(descending=True).values)
    half = after.size(1) // 2
    assert after[:, :half].sum() > before[:, :half].sum()


def test_sorted_twice_is_sorted_once() -> None:
    """And the weights that were given are as they were."""
    net = elastic.supernet("few")
    weights = elastic.weights(net)
    copied = {name: weight.clone() for name, weight in weights.items()}
    once = sort(net, weights)
    assert all(torch.equal(weights[name], copied[name]) for name in weights)
    assert any(not torch.equal(once[name], weights[name]) for name in weights)
    assert all(torch.equal(weight, once[name]) for name, weight in sort(net, once).items())
