"""benchmarks/gradient_morphism.py: what it would say of children that are not their parents."""

import math

import gradient_morphism_exact
import pytest
import torch
from gradient_morphism import ARMS, interval
from gradient_morphism_exact import (
    CONNECTIVITIES,
    FAR,
    NEAR,
    OPERATORS,
    SPACE,
    Pair,
    grown_pairs,
    said,
)

from nas.contracts.graphs import node_graph
from search_spaces import gnn

DATASET = node_graph()


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_children_are_measured(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact ones below the bound, disturbed ones above; the control is above in any case."""
    monkeypatch.setattr(gradient_morphism_exact, "OPERATORS", ("sage", "gat"))
    morph = gradient_morphism_exact.morph

    def disturbed(*given: object) -> dict[str, torch.Tensor]:
        state = morph(*given)  # type: ignore[arg-type]
        return {n: t + noise if t.is_floating_point() else t for n, t in state.items()}

    monkeypatch.setattr(gradient_morphism_exact, "morph", disturbed)
    space = gnn.build(DATASET.task, **SPACE)
    given = CONNECTIVITIES["dense"]
    inputs = (DATASET.x, DATASET.edge_index)
    found = list(grown_pairs(space, DATASET.task, inputs, given, 1, "dense"))
    assert {pair.operator for pair in found} == {"sage", "gat"}
    assert all((pair.apart <= NEAR) == (noise == 0) for pair in found)
    assert all(pair.control >= FAR for pair in found)


@pytest.mark.parametrize("apart", [0.0, 0.1, math.nan])
def test_one_pair_apart_is_told_of(apart: float) -> None:
    """By its connectivity and by its operator; no number is far, and so is an operator unseen."""
    pairs = [Pair("plain", name, 0.0, 1.0) for name in OPERATORS]
    pairs += [Pair("dense", OPERATORS[0], 0.0, 1.0), Pair("dense", OPERATORS[0], apart, 1.0)]
    missed = {row["case"] for row in said(pairs)[0] if not row["ok"]}
    assert missed == (set() if apart == 0 else {"dense", OPERATORS[0]})
    assert {row["case"] for row in said(pairs[1:1])[0] if not row["ok"]} == set(OPERATORS)


def test_intervals_are_students() -> None:
    """Of 1, 2, 3: mean 2, and 4.303 times 1 / sqrt(3)."""
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 4.3027 / 3**0.5), rel=1e-4)
    assert len(ARMS) == 4
