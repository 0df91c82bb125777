"""The formulas in the operators' docstrings, computed with dense matrices from their weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from search_spaces import plugins

N, IN, OUT, HEADS, HOPS = 12, 5, 6, 2, 3


def adjacency() -> Tensor:
    """A symmetric graph without loops, one node isolated."""
    upper = (torch.rand(N, N, generator=torch.Generator().manual_seed(0)) < 0.3).triu(1)
    upper[:, -1] = False
    return (upper | upper.T).double()


A = adjacency()
X = torch.randn(N, IN, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
EYE = torch.eye(N, dtype=torch.float64)


def normalized(matrix: Tensor) -> Tensor:
    scale = matrix.sum(1).pow(-0.5)
    scale[scale.isinf()] = 0
    return scale[:, None] * matrix * scale


def attend(scores: Tensor, mask: Tensor, values: Tensor) -> Tensor:
    """scores [H, N, N] and values [H, N, D]; softmax over the neighbors, 0 without any."""
    weights = scores.masked_fill(mask == 0, -torch.inf).softmax(2).nan_to_num(0)
    return (weights @ values).transpose(0, 1).reshape(N, OUT)


def by_head(x: Tensor) -> Tensor:
    return x.view(N, HEADS, OUT // HEADS).transpose(0, 1)


def gcn(m: Any) -> Tensor:
    return normalized(A + EYE) @ m.lin(X) + m.bias


def gat(m: Any) -> Tensor:
    h = by_head(m.lin(X))
    to, of = (h * m.att_dst[0][:, None]).sum(2), (h * m.att_src[0][:, None]).sum(2)
    return attend(leaky_relu(to[:, :, None] + of[:, None], 0.2), A + EYE, h) + m.bias


def gatv2(m: Any) -> Tensor:
    of, to = by_head(m.lin_l(X)), by_head(m.lin_r(X))
    both = leaky_relu(to[:, :, None] + of[:, None], 0.2)
    return attend((both * m.att[0][:, None, None]).sum(3), A + EYE, of) + m.bias


def transformer(m: Any) -> Tensor:
    query, key, value = (by_head(lin(X)) for lin in (m.lin_query, m.lin_key, m.lin_value))
    scores = query @ key.transpose(1, 2) / (OUT // HEADS) ** 0.5
    return attend(scores, A, value) + m.lin_skip(X)


def sage(m: Any) -> Tensor:
    return m.lin_l(A @ X / A.sum(1, keepdim=True).clamp(min=1)) + m.lin_r(X)


def graph(m: Any) -> Tensor:
    return m.lin_rel(A @ X) + m.lin_root(X)


def gin(m: Any) -> Tensor:
    return m.nn((1 + m.eps) * X + A @ X)


def cheb(m: Any) -> Tensor:
    # Isolated nodes have degree 0, and L = I there: L - I is minus the normalized adjacency.
    shifted = -normalized(A)
    terms = [X, shifted @ X]
    while len(terms) <= HOPS:
        terms.append(2 * shifted @ terms[-1] - terms[-2])
    return sum(lin(t) for lin, t in zip(m.lins, terms, strict=True)) + m.bias


def arma(m: Any) -> Tensor:
    return normalized(A) @ X @ m.init_weight[0] + X @ m.root_weight[0, 0] + m.bias[0, 0]


def tag(m: Any) -> Tensor:
    terms = [torch.linalg.matrix_power(normalized(A), k) @ X for k in range(HOPS + 1)]
    return sum(lin(t) for lin, t in zip(m.lins, terms, strict=True)) + m.bias


def sg(m: Any) -> Tensor:
    return m.lin(torch.linalg.matrix_power(normalized(A + EYE), HOPS) @ X)


def appnp(m: Any) -> Tensor:
    z = start = m.linear(X)
    for _ in range(HOPS):
        z = 0.9 * normalized(A + EYE) @ z + 0.1 * start
    return z


def linear(m: Any) -> Tensor:
    return m.linear(X)


FORMULAS: dict[str, Callable[[Any], Tensor]] = {
    f.__name__: f
    for f in (
        *(gcn, gat, gatv2, transformer, sage, graph, gin, cheb, arma, tag, sg, appnp, linear),
    )
}


def test_every_operator_has_a_formula_here() -> None:
    """All but the identity."""
    assert set(FORMULAS) == set(plugins.names("operator")) - {"skip"}


@pytest.mark.parametrize("operator", FORMULAS)
def test_operator_is_its_formula(operator: str) -> None:
    """Message passing over the edges equals the dense matrices."""
    options = plugins.options("operator", operator)
    wanted = {k: v for k, v in {"heads": HEADS, "hops": HOPS}.items() if k in options}
    torch.manual_seed(0)
    module: nn.Module = plugins.load("operator", operator).build(IN, OUT, **wanted).double()
    # Biases start at 0: moved, so that a formula without them would fail.
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        edge_index = A.nonzero().T
        torch.testing.assert_close(module(X, edge_index), FORMULAS[operator](module))
