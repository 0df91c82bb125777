"""Statistics measured anew: of training data alone, and exactly those of the batch."""

from dataclasses import replace

import pytest
import torch
from fakes import elastic
from torch import Tensor, nn

from evaluators import Batches
from evaluators._normalization import recalibrate
from evaluators.slicing import Subnets
from search_spaces import Architecture


class Sums(nn.Module):
    """Two batch normalizations, of which the second sees what the first gives."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(
            nn.BatchNorm1d(6), nn.Linear(6, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 3)
        )

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        out: Tensor = self.parts(x)
        return out


def statistics(network: nn.Module) -> dict[str, Tensor]:
    return {n: b.clone() for n, b in network.named_buffers() if "running" in n}


def normalized(count: int, *, graphs: bool) -> list[Architecture]:
    """Architectures with batch normalization in each layer."""
    net = elastic.supernet("few", graphs=graphs)
    given = {f"layer{i}.normalization": "batch" for i in range(3)}
    return elastic.sampled(net, count, **given)


def test_with_one_batch_evaluation_is_the_pass_in_training() -> None:
    """Exactly; with statistics that were there before it is not."""
    torch.manual_seed(0)
    network = Sums().double().train()
    batch = elastic.batches().of(torch.arange(90))
    expected = network(*batch.inputs)
    assert not torch.allclose(network.eval()(*batch.inputs), expected)
    recalibrate(network, [batch])
    torch.testing.assert_close(network(*batch.inputs), expected, rtol=1e-12, atol=1e-12)
    assert not network.training


def test_batches_count_by_their_rows() -> None:
    """The mean of the first normalization's inputs is that of all rows; equal batches change
    nothing.
    """
    network = Sums().double()
    graphs = elastic.batches()
    one = graphs.of(torch.arange(90))
    x, edge_index = one.inputs
    first, rest = (replace(one, inputs=(part, edge_index)) for part in (x[:10], x[10:]))
    recalibrate(network, [first, rest])
    torch.testing.assert_close(statistics(network)["parts.0.running_mean"], x.mean(0))
    assert not torch.allclose(x[:10].mean(0) / 2 + x[10:].mean(0) / 2, x.mean(0))
    recalibrate(network, [one])
    alone = statistics(network)
    recalibrate(network, [one, one, one])
    for name, value in statistics(network).items():
        torch.testing.assert_close(value, alone[name])


def test_without_batch_normalization_nothing_is_done() -> None:
    network = nn.Sequential(nn.Linear(6, 3), nn.LayerNorm(3)).train()
    recalibrate(network, [])
    assert not network.training


@pytest.mark.parametrize("split", ["val", "test", "train"])
def test_graphs_that_are_not_for_training_change_nothing(split: str) -> None:
    """Their features are others, and a network's statistics are the same, unless they train it."""
    net, dataset = elastic.supernet("few", graphs=True), elastic.dataset(graphs=True)
    assert dataset.graph_ids is not None
    of_split = getattr(dataset, split)[dataset.graph_ids]
    other = replace(dataset, x=torch.where(of_split[:, None], dataset.x * 5 + 1, dataset.x))
    weights = elastic.weights(net)
    for architecture in normalized(3, graphs=True):
        before, after = (
            statistics(Subnets(net, Batches(data)).network(weights, architecture))
            for data in (dataset, other)
        )
        assert before
        same = all(torch.equal(before[name], after[name]) for name in before)
        assert same == (split != "train")


@pytest.mark.parametrize("graphs", [False, True], ids=["nodes", "graphs"])
def test_labels_never_matter(graphs: bool) -> None:
    """Of any split: the logits are the same; of other features they are not."""
    net, dataset = elastic.supernet("few", graphs=graphs), elastic.dataset(graphs=graphs)
    weights, units = elastic.weights(net), dataset.val.nonzero()[:, 0]
    relabeled = replace(dataset, y=dataset.y.roll(1))
    moved = replace(dataset, x=dataset.x.roll(1, 0))
    for architecture in normalized(3, graphs=graphs):
        as_it_is, other, control = (
            Subnets(net, Batches(data)).evaluated(weights, architecture, units)
            for data in (dataset, relabeled, moved)
        )
        assert torch.equal(as_it_is, other)
        assert not torch.allclose(as_it_is, control)
