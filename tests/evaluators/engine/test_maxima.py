"""Maxima over neighbors are those of PyTorch Geometric, ties and all."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import CPU, matrices_of, odd_features, odd_graph, sparse_of
from torch import Tensor
from torch_geometric.utils import scatter

from evaluators.engine.fields import Field
from evaluators.engine.maxima import Maximum, Union, _largest
from evaluators.engine.values import Features


def _stock(x: Tensor, edge_index: Tensor) -> Tensor:
    source, target = edge_index
    return scatter(x[source], target, dim=0, dim_size=x.size(0), reduce="max")


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), edges=st.integers(0, 60), lowest=st.sampled_from([-2, 0]))
def test_maxima_and_their_gradient(seed: int, edges: int, lowest: int) -> None:
    """Of few different values, also negative ones and zeros, so that many reach a maximum."""
    at = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(9, (2, edges), generator=at)
    x = torch.randint(lowest, 2, (3, 12, 5), generator=at).double().requires_grad_()
    matrix = matrices_of(edge_index, 12).of("sum")
    upstream = torch.randn(3, 12, 5, dtype=torch.float64, generator=at)
    found = Maximum(matrix)(x)
    (gradient,) = torch.autograd.grad(found, x, upstream)
    for run in range(3):
        expected = _stock(x[run], edge_index)
        torch.testing.assert_close(found[run], expected, rtol=0, atol=0)
        (of_run,) = torch.autograd.grad(expected, x, upstream[run])
        torch.testing.assert_close(gradient[run], of_run[run])


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), edges=st.integers(0, 200))
def test_maxima_of_sparse_rows(seed: int, edges: int) -> None:
    """The union of sparse rows holds every maximum that is not 0; 0 takes part where one lacks."""
    edge_index, x = odd_graph(seed, edges=edges), odd_features(seed)
    sparse = sparse_of(x)
    union = Union(matrices_of(edge_index, x.size(0)).of("sum"), sparse)
    kept = torch.rand(2, sparse.col.numel(), dtype=torch.float64) < 0.6
    maxima = union.maxima(sparse.values * kept)
    for run in range(2):
        dropped = sparse.tensor(sparse.values * kept[run]).to_dense()
        found = union.pattern.matrix.tensor(maxima[run]).to_dense()
        assert torch.equal(found, _stock(dropped, edge_index))


def test_zero_takes_part_where_a_neighbor_lacks_the_word() -> None:
    """The control: of two negative values, and of one beside nothing."""
    edge_index = torch.tensor([[1, 2, 1, 3], [0, 0, 4, 4]])
    x = torch.tensor([[0.0], [-1.0], [-2.0], [0.0], [0.0]])
    union = Union(matrices_of(edge_index, 5, torch.float32).of("sum"), sparse_of(x))
    assert union.maxima(sparse_of(x).values[None]).tolist() == [[-1.0, 0.0]]


def test_both_ways_to_reduce_agree() -> None:
    """What other devices than a CPU use gives the same."""
    x, matrix = odd_features(1), matrices_of(odd_graph(2), 40).of("sum")
    row = matrix.row[:, None].expand(-1, x.size(1))
    reduced = torch.zeros_like(x).scatter_reduce_(
        0, row, x.index_select(0, matrix.col), "amax", include_self=False
    )
    assert torch.equal(_largest(matrix, x), reduced)


@pytest.mark.parametrize("sparse", [True, False])
def test_constants_are_computed_once(sparse: bool) -> None:
    """A field's features keep them for all runs and epochs."""
    x = odd_features(1)
    matrices = matrices_of(odd_graph(2), 40)
    field = Field.whole(matrices, torch.tensor([1]), CPU)
    features = Features(field, x, sparse_of(x) if sparse else None)
    if sparse:
        assert features.union(0) is features.union(0)
    else:
        assert features.maximum(0) is features.maximum(0)
