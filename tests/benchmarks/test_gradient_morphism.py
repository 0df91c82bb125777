"""benchmarks/gradient_morphism.py: what it would say of children that are not their parents."""

import gradient_morphism_exact
import pytest
import torch
from gradient_morphism import ARMS, interval
from gradient_morphism_exact import CONNECTIVITIES, FAR, NEAR, SPACE, exactness

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
    found = exactness(space, DATASET.task, (DATASET.x, DATASET.edge_index), given, 1)
    assert found.pairs > 0
    assert (found.largest <= NEAR) == (noise == 0)
    assert found.control >= FAR


def test_intervals_are_students() -> None:
    """Of 1, 2, 3: mean 2, and 4.303 times 1 / sqrt(3)."""
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 4.3027 / 3**0.5), rel=1e-4)
    assert len(ARMS) == 4
