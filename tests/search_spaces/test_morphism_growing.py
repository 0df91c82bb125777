"""What networks may grow into, what noise is for, and what is drawn."""

import numpy as np
import pytest
import torch
from fakes.growing import Ground
from torch import Tensor, nn

from search_spaces import SpaceError
from search_spaces.growing import children, may_lead
from search_spaces.morphism import morph

NEAR = 1e-10
GROUND = Ground()
every_ground = pytest.mark.parametrize(
    "ground",
    [Ground(7), Ground(16), Ground(8, graphs=True)],
    ids=lambda g: f"{g.features}{'graphs' if g.graphs else 'nodes'}",
)


@every_ground
def test_children_are_one_step_away(ground: Ground) -> None:
    """Each can be reached and is another; another architecture is no child."""
    rng, found = np.random.default_rng(8), 0
    for _ in range(4):
        parent = ground.space.sample(rng)
        for grown in children(ground.space, ground.task, parent):
            child = grown.architecture
            assert child != parent
            assert may_lead(ground.space, parent, child)
            if found % 5 == 0:
                assert ground.difference(*ground.grown(parent, child)) < NEAR
            found += 1
        assert not may_lead(ground.space, parent, ground.space.sample(rng))
    assert found > 20


def duplicates(network: nn.Module) -> list[float]:
    """How far the rows of the first layer are from their nearest."""
    weight: Tensor = network.state_dict()["body.layers.0.operator.lin_r.weight"]
    distances = torch.cdist(weight, weight) + torch.eye(len(weight)) * 9
    return [float(d) for d in distances.amin(dim=1)]


@pytest.mark.parametrize("noise", [0.0, 1e-2])
def test_noise_tells_copies_apart(noise: float) -> None:
    """After 30 steps all are different with it, and none is without; at once it changes little."""
    parent = GROUND.architecture({})
    child = GROUND.architecture({"width": 16})
    before, after = GROUND.grown(parent, child, noise=noise)
    assert (GROUND.difference(before, after) > NEAR) == (noise > 0)
    assert GROUND.difference(before, after) < 0.05
    optimizer = torch.optim.Adam(after.parameters(), lr=0.01)
    target = torch.arange(len(GROUND.inputs[0])) % 3
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(after(*GROUND.inputs), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    apart = duplicates(after)
    copies = sum(distance < 1e-6 for distance in apart)
    assert copies == 0 if noise else copies >= 8
    assert not noise or min(apart) > 1e-3


def test_a_new_layer_of_zeros_learns_by_its_noise_alone() -> None:
    """The derivative of ReLU at 0 is 0: without noise a residual layer would stay as it is."""
    parent = GROUND.architecture({}, connectivity="plain")
    child = GROUND.architecture({}, {}, connectivity="residual")
    moved = []
    for noise in (0.0, 1e-3):
        _, after = GROUND.grown(parent, child, noise_deeper=noise)
        after(*GROUND.inputs).square().sum().backward()
        name = "body.layers.1.operator.lin_r.weight"
        gradient = dict(after.named_parameters())[name].grad
        moved.append(gradient is not None and bool(gradient.abs().sum() > 0))
    assert moved == [False, True]


def test_the_same_generator_draws_the_same() -> None:
    parent, child = GROUND.architecture({}), GROUND.architecture({"width": 24}, {"width": 24})
    states = [
        GROUND.grown(parent, child, seed, noise=0.1, noise_deeper=0.1)[1].state_dict()
        for seed in (0, 0, 1)
    ]
    same = [all(torch.equal(states[0][n], s[n]) for n in s) for s in states]
    assert same == [True, True, False]


def test_random_numbers_of_others_stay_as_they_are() -> None:
    """What is tried is tried aside."""
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    fresh = Ground(
        options=(("operators", ("sage", "fakes.signed")), ("heads", None), ("hops", None))
    )
    parent = fresh.architecture({})
    children(fresh.space, fresh.task, parent)
    assert torch.equal(torch.randn(3), expected)


def test_weights_that_lack_a_tensor_are_refused_by_its_name() -> None:
    parent = GROUND.architecture({})
    state = dict(GROUND.network(parent).state_dict())
    del state["output.operator.linear.bias"]
    with pytest.raises(SpaceError, match=r"have no output\.operator\.linear\.bias"):
        morph(GROUND.space, GROUND.task, parent, parent, state, torch.Generator())
