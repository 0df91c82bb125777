"""What networks of few bits cost: counted module by module, expected over all of them."""

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from evaluators.facts import facts
from evaluators.preparations._expecting import Expected
from evaluators.preparations._sizing import Sizes, is_of_bits
from nas.contracts import graphs
from search_spaces import SearchSpace, SpaceError, gnn, nas_bench_graph
from search_spaces.extensions import quantization
from search_spaces.quantization.storage import packed
from search_spaces.relaxation import learned

TASK = graphs.node_graph().task


def space(bits: Mapping[str, Any] | None = None, **options: Any) -> SearchSpace:
    asked: Mapping[str, Any] = {
        "depth": [1, 2],
        "operators": ["gcn", "linear"],
        "width": [8, 16],
        "normalization": ["none"],
        "activation": ["relu"],
        "connectivity": ["plain"],
        "pre_layers": [0],
        "post_layers": [0],
    }
    plain = gnn.build(TASK, **{**asked, **options})
    given = {"weight_bits": [2, 4, 8], "activation_bits": [4, 8], **(bits or {})}
    return plain.extended(quantization.build(plain, TASK, **given))


SPACE = space()
WIDE = space(
    {
        "weight_bits": ["binary", "ternary", 3, 8, 32],
        "activation_bits": ["binary", 4, 32],
        "output_bits": [8, 32],
        "message_bits": [4, 32],
        "binarization": ["bnn", "xnor"],
        "granularity": ["channel", "tensor"],
        "per_layer": True,
    },
    depth=[1, 2, 3],
    operators=["gcn", "gat", "gin", "tag", "linear"],
    heads=[1, 2],
    connectivity=["plain", "residual", "dense", "jk"],
    normalization=["none", "batch"],
    activation=["relu", "none"],
    pre_layers=[0, 2],
)


def test_bytes_are_those_of_the_network() -> None:
    """As it is stored, for every kind of module; other bits are other bytes."""
    rng, sizes, seen = np.random.default_rng(0), Sizes(WIDE, TASK), set()
    for _ in range(25):
        architecture = WIDE.sample(rng)
        known = sizes.row(architecture).value
        stored = packed(WIDE.network(architecture, TASK))
        assert known == sum(tensor.nbytes for tensor in stored.values())
        seen.add(known)
    assert len(seen) > 10
    assert known == facts(WIDE, architecture, TASK)["model_bytes"]


def test_bytes_of_formats_that_are_drawn() -> None:
    """The mean over all of them, by how probable they are."""
    of = space({"weight_bits": ["binary", 3, 32], "activation_bits": [4, 32], "per_layer": True})
    sizes, rng = Sizes(of, TASK), np.random.default_rng(3)
    architecture = of.sample(rng)
    free = [d for d in learned(of) if is_of_bits(d.name) and d.name in architecture.choices]
    p = {d.name: torch.rand(len(d.choices)).softmax(0) for d in free}
    total = 0.0
    for chosen in product(*(range(len(d.choices)) for d in free)):
        own = {d.name: d.choices[i] for d, i in zip(free, chosen, strict=True)}
        share = math.prod(float(p[d.name][i]) for d, i in zip(free, chosen, strict=True))
        other = of.architecture({**architecture.choices, **own})
        total += share * sizes.row(other).value
    assert float(sizes.row(architecture).expected(p)) == pytest.approx(total, rel=1e-5)
    assert total != pytest.approx(sizes.row(architecture).value)


def test_the_expected_cost_is_over_all_architectures() -> None:
    """Its value and its gradient, in the mean of many draws, are those of the sum over all."""
    torch.manual_seed(0)
    logits = {d.name: torch.randn(len(d.choices), requires_grad=True) for d in learned(SPACE)}
    sizes = Sizes(SPACE, TASK)
    expected = Expected(SPACE, sizes.row)
    p = {name: row.softmax(0) for name, row in logits.items()}
    exact = torch.zeros(())
    for one in SPACE:
        chosen = [(d, one.choices[d.name]) for d in learned(SPACE) if d.name in one.choices]
        share = torch.stack([p[d.name][d.choices.index(c)] for d, c in chosen]).prod()
        exact = exact + share * sizes.row(one).value
    wanted = torch.autograd.grad(exact, list(logits.values()))
    found, value = [torch.zeros_like(row) for row in logits.values()], 0.0
    for _ in range(400):
        drawn_value = expected.value(logits)
        value += float(drawn_value.detach()) / 400
        given = torch.autograd.grad(drawn_value, list(logits.values()), allow_unused=True)
        found = [f + (0 if g is None else g) / 400 for f, g in zip(found, given, strict=True)]
    assert value == pytest.approx(float(exact.detach()), rel=0.05)
    one, other = torch.cat(list(wanted)), torch.cat(found)
    assert float((one - other).norm()) < 0.15 * float(one.norm())


def test_what_is_not_known_module_by_module_is_refused() -> None:
    """By the space's name."""
    cells = nas_bench_graph.build(TASK, width=[8])
    with pytest.raises(SpaceError, match='what networks of the space "nas_bench_graph" are made'):
        Sizes(cells, TASK).row(cells.sample(np.random.default_rng(0)))
