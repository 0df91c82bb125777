"""Receptive fields: a part of the graph computes what the whole graph computes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import FEATURES, NODES, Cohort, matrices_of, odd_features, odd_graph, stacked
from torch import Tensor

from evaluators.engine.fields import Field


def _within(edge_index: Tensor, units: Tensor, steps: int) -> Tensor:
    """[N] bool, by powers of the adjacency matrix."""
    sends = torch.zeros(NODES, NODES, dtype=torch.int64)
    sends[edge_index[1], edge_index[0]] = 1
    seen = torch.zeros(NODES, dtype=torch.int64)
    seen[units] = 1
    for _ in range(steps):
        seen = ((seen + seen @ sends) > 0).long()
    return seen.bool()


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), edges=st.integers(0, 100), hops=st.integers(0, 6))
def test_sizes_count_the_nodes_within_each_distance(seed: int, edges: int, hops: int) -> None:
    """Nodes come in the order of their distance, units first in their own order, each once."""
    edge_index = odd_graph(seed, edges=edges)
    units = torch.randperm(NODES, generator=torch.Generator().manual_seed(seed))[:4]
    field = Field.around(matrices_of(edge_index, NODES), units, hops)
    assert field.order is not None
    assert field.order[:4].tolist() == units.tolist()
    assert field.order.unique().numel() == field.order.numel() == field.sizes[-1]
    for need in range(hops + 1):
        expected = _within(edge_index, units, need).nonzero().squeeze(1)
        assert field.order[: field.rows(need)].sort().values.tolist() == expected.tolist()


def test_saturation() -> None:
    """Beyond the last distance at which a node is found, the same rows; never more than all."""
    edge_index = torch.tensor([[1, 2, 3], [0, 1, 2]])  # 3 -> 2 -> 1 -> 0
    field = Field.around(matrices_of(edge_index, NODES), torch.tensor([0]), 9)
    assert field.sizes == (1, 2, 3, 4)
    assert [field.rows(need) for need in (3, 4, 50)] == [4, 4, 4]
    assert not field.is_whole
    whole = Field.whole(matrices_of(edge_index, NODES), torch.tensor([0]))
    assert whole.is_whole
    assert whole.rows(0) == whole.rows(7) == NODES


def _scores(cohort: Cohort) -> tuple[Tensor, dict[str, Tensor]]:
    scores = cohort.scores()
    scores.square().sum().backward()
    return scores, cohort.gradients(0)


@pytest.mark.parametrize("operator", ["gcn", "sage", "tag"])
@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), edges=st.integers(5, 90), depth=st.integers(1, 4))
def test_a_field_computes_what_the_whole_graph_computes(
    operator: str, seed: int, edges: int, depth: int
) -> None:
    """Scores and gradients, at each depth, also where the field ends before the network does."""
    edge_index, x = odd_graph(seed, edges=edges), odd_features(seed)
    matrices = matrices_of(edge_index, NODES)
    units = torch.tensor([NODES - 2, 5, 0])
    torch.manual_seed(seed)
    network = stacked(operator, (8,) * depth, {}).double()
    whole = Cohort([network], Field.whole(matrices, units), x, sparse=True)
    around = Cohort([network], Field.around(matrices, units, whole.hops), x, sparse=True)
    (expected, their_gradients), (found, gradients) = _scores(whole), _scores(around)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients, their_gradients, rtol=1e-9, atol=1e-10)


def test_too_small_a_field_shows() -> None:
    """The control: with the nodes of one step less, a network of two layers gives other scores."""
    edge_index, x = odd_graph(0), odd_features(0)
    matrices, units = matrices_of(edge_index, NODES), torch.tensor([5])
    network = stacked("gcn", (8, 8), {}, FEATURES).double()
    scores = [
        Cohort([network], Field.around(matrices, units, hops), x, sparse=True).scores()
        for hops in (1, 2, 3)
    ]
    assert not torch.allclose(scores[0], scores[1])
    torch.testing.assert_close(scores[1], scores[2])
