"""Matrices are PyTorch Geometric's weights; products are dense algebra."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import matrices_of, odd_graph, sparse_of
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import get_laplacian

from evaluators.engine.csr import Csr, Pattern, Product
from evaluators.engine.matrices import KINDS, Kind, Matrices, bytes_needed, prepare

NODES = 40
REAL = torch.float64


def _dense(edge_index: Tensor, weights: Tensor) -> Tensor:
    """[N, N]: rows receive; entries of one place add up."""
    matrix = torch.zeros(NODES, NODES, dtype=REAL)
    return matrix.index_put_((edge_index[1], edge_index[0]), weights, accumulate=True)


def _counts(edge_index: Tensor) -> Tensor:
    return _dense(edge_index, torch.ones(edge_index.size(1), dtype=REAL))


def _expected(kind: Kind, edge_index: Tensor) -> Tensor:
    counts = _counts(edge_index)
    if kind == "sum":
        return counts
    if kind == "mean":
        return counts / counts.sum(1, keepdim=True).clamp(min=1)
    if kind == "loops":
        return counts - counts.diag().diag() + torch.eye(NODES, dtype=REAL)
    if kind == "chebyshev":
        return torch.eye(NODES, dtype=REAL) - _dense(
            *get_laplacian(edge_index, None, "sym", REAL, NODES)
        )
    looped = kind == "gcn"
    return _dense(*gcn_norm(edge_index, None, NODES, False, looped, dtype=REAL))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), edges=st.integers(0, 150))
def test_matrices_are_those_of_pyg(kind: Kind, seed: int, edges: int) -> None:
    """On directed graphs with loops, repeated edges and nodes without any."""
    edge_index = odd_graph(seed, edges=edges)
    matrix = matrices_of(edge_index, NODES).of(kind)
    found = matrix.tensor().to_dense()
    expected = _expected(kind, edge_index)
    if kind == "chebyshev":
        expected = -expected
    torch.testing.assert_close(found, expected)


def test_other_directions_differ() -> None:
    """The control: on a directed graph the transposed matrices are other matrices."""
    edge_index = odd_graph(0)
    for kind in KINDS:
        matrix = matrices_of(edge_index, NODES).of(kind).tensor().to_dense()
        assert not torch.allclose(matrix.T, _expected(kind, edge_index))


@pytest.mark.parametrize("loops", [True, False])
def test_prepared_tensors_fit_the_announced_size(loops: bool) -> None:
    """Also where there is no loop, and one structure less is kept."""
    edge_index = odd_graph(0)
    if not loops:
        edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    tensors = prepare(torch.empty(NODES, 0), edge_index)
    assert ("loopless.crow" in tensors) == loops
    size = sum(tensor.nbytes for tensor in tensors.values())
    assert size <= bytes_needed(NODES, edge_index.size(1))
    assert Matrices(tensors, NODES).of("chebyshev").rows == NODES


def test_sparse_features_are_announced_too() -> None:
    """As dense as they may be to count as sparse; the control: without them it is too little."""
    edge_index = odd_graph(0)
    x = torch.zeros(NODES, 200)
    x[:, :50] = 1.0
    size = sum(tensor.nbytes for tensor in prepare(x, edge_index).values())
    assert size <= bytes_needed(NODES, edge_index.size(1), 200)
    assert size > bytes_needed(NODES, edge_index.size(1))


def _random(seed: int, rows: int = 7, columns: int = 5) -> tuple[Csr, Tensor]:
    at = torch.Generator().manual_seed(seed)
    dense = torch.randn(rows, columns, dtype=REAL, generator=at)
    dense *= torch.rand(rows, columns, generator=at) < 0.4
    return sparse_of(dense), dense


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), copies=st.integers(1, 4))
def test_products_and_their_gradients(seed: int, copies: int) -> None:
    """A times each slice of x, and the transposed A times the gradient."""
    matrix, dense = _random(seed)
    x = torch.randn(copies, 5, 3, dtype=REAL, requires_grad=True)
    product = Product(matrix)(x)
    torch.testing.assert_close(product, dense @ x)
    upstream = torch.randn_like(product)
    (gradient,) = torch.autograd.grad(product, x, upstream)
    torch.testing.assert_close(gradient, dense.T @ upstream)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), copies=st.integers(1, 3), alike=st.booleans())
def test_patterns_and_their_gradients(seed: int, copies: int, alike: bool) -> None:
    """Other values in the same places; the gradient goes to what they multiply."""
    matrix, _ = _random(seed)
    values = torch.randn(1 if alike else copies, matrix.col.numel(), dtype=REAL)
    weight = torch.randn(copies, 5, 3, dtype=REAL, requires_grad=True)
    dense = torch.stack([matrix.tensor(entries).to_dense() for entries in values])
    product = Pattern(matrix)(values, weight)
    torch.testing.assert_close(product, dense @ weight)
    upstream = torch.randn_like(product)
    (gradient,) = torch.autograd.grad(product, weight, upstream)
    torch.testing.assert_close(gradient, dense.transpose(1, 2) @ upstream)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), rows=st.integers(0, 7))
def test_heads_and_transposes(seed: int, rows: int) -> None:
    """The first rows, and the transposed matrix with the numbers of its entries."""
    matrix, dense = _random(seed)
    assert torch.equal(matrix.head(rows).tensor().to_dense(), dense[:rows])
    transposed, order = matrix.transposed()
    assert torch.equal(transposed.tensor().to_dense(), dense.T)
    assert torch.equal(transposed.values, matrix.values[order])
    assert torch.equal(transposed.transposed()[0].tensor().to_dense(), dense)
