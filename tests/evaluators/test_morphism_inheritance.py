"""The inheritance morphism: a child begins where its parent ended, and is trained from there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from evaluators import Evaluation, Inheritance, Job, Parent
from evaluators.checkpoint import best_weights
from evaluators.inheritances.morphism import inherit
from evaluators.run import run
from search_spaces import Architecture, SpaceError, gnn
from search_spaces.plugins import Plugin

DATASET = tiny.node_graph()
TASK = DATASET.task
SPACE = gnn.build(
    TASK, depth=(1, 2), operators=("sage", "gcn"), width=(8, 16), activation=("relu", "elu")
)


def architecture(*widths: int, **choices: Any) -> Architecture:
    """Layers of `sage` and ReLU, plain, of these widths."""
    given: dict[str, Any] = {
        "depth": len(widths),
        "connectivity": "plain",
        "pre.layers": 0,
        "post.layers": 0,
        "output.operator": "linear",
        **{name.replace("_", "."): choice for name, choice in choices.items()},
    }
    for i, width in enumerate(widths):
        given |= {f"layer{i}.width": width, f"layer{i}.normalization": "none"}
    return SPACE.fill(lambda d: d.choices[0], given)


SMALL, GROWN = architecture(8), architecture(16, 16)


def built(of: Architecture, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return SPACE.network(of, TASK).eval()


@torch.no_grad()
def outputs(network: nn.Module) -> Tensor:
    found: Tensor = network(DATASET.x, DATASET.edge_index)
    return found


def parent(network: nn.Module, of: Architecture = SMALL) -> Parent:
    return Parent(of, network.state_dict(), {}, SPACE, TASK)


def test_a_child_begins_as_its_parent() -> None:
    """Exactly without noise, nearly with it; the control is the network that it was before."""
    before, child = built(SMALL, 1), built(GROWN, 2)
    assert (outputs(child) - outputs(before)).abs().max() > 0.1
    inherit(child, GROWN, parent(before), noise=0.0, noise_deeper=0.0)
    torch.testing.assert_close(outputs(child), outputs(before), rtol=0, atol=1e-5)
    inherit(child, GROWN, parent(before))
    difference = (outputs(child) - outputs(before)).abs().max()
    assert 1e-5 < difference < 0.1


def test_the_run_of_a_seed_draws_what_is_copied() -> None:
    """By torch's random numbers, which the evaluator seeds for each run."""
    before, states = built(SMALL, 1), []
    for seed in (2, 2, 3):
        child = built(GROWN, seed)
        inherit(child, GROWN, parent(before))
        states.append(child.state_dict())
    equal = [all(torch.equal(states[0][n], state[n]) for n in state) for state in states]
    assert equal == [True, True, False]


@pytest.mark.parametrize(
    ("child", "of", "says"),
    [
        (GROWN, {}, ""),
        (architecture(8, layer0_operator="gcn"), {}, "layer0.operator: sage in the parent, gcn in"),
        (SMALL, {"architecture": GROWN}, "depth: 2 layers become 1"),
        (GROWN, {"space": None}, "the parent comes without its space and its task"),
        (GROWN, {"task": None}, "the parent comes without its space and its task"),
    ],
)
def test_a_child_that_it_cannot_grow_into_is_refused(
    child: Architecture, of: dict[str, Any], says: str
) -> None:
    """With the reason; the first is the control."""
    whole = replace(parent(built(of.get("architecture", SMALL), 1)), **of)
    if not says:
        inherit(built(child, 2), child, whole)
        return
    with pytest.raises(SpaceError, match=says):
        inherit(built(child, 2), child, whole)


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Callable[..., Job]:
    def make(of: Architecture, epochs: int, **options: Any) -> Job:
        plugin = Plugin("training", {"epochs": epochs, **options})
        made = make_job(DATASET, until_epoch=epochs)
        return replace(made, architecture=of, space=SPACE, evaluator=plugin)

    return make


def done(one: Job) -> Evaluation:
    (evaluation,) = run([one])
    assert evaluation.failure is None
    assert evaluation.artifact is not None
    return evaluation


def test_a_trained_child_goes_on_from_where_its_parent_ended(job: Callable[..., Job]) -> None:
    """At a learning rate of 0 it predicts what the parent's best epoch did; a new network not."""
    trained = done(job(SMALL, 40))
    still = {"lr": 0.0, "weight_decay": 0.0}
    assert trained.artifact is not None
    heir = replace(job(GROWN, 1, **still), inherit=Inheritance(trained.artifact, SMALL, "morphism"))
    losses = [done(one).metrics["val_loss"] for one in (heir, job(GROWN, 1, **still))]
    network = built(SMALL, 0)
    network.load_state_dict(best_weights(trained.artifact))
    val = DATASET.val
    expected = nn.functional.cross_entropy(outputs(network)[val], DATASET.y[val])
    assert losses[0] == pytest.approx(float(expected), rel=0.02)
    assert losses[1] > losses[0] + 0.2


@pytest.mark.parametrize("seeds", [1, 2])
def test_each_run_inherits_from_its_own(seeds: int, job: Callable[..., Job]) -> None:
    """And the same job gives the same numbers again."""
    trained = done(job(SMALL, 5, seeds=seeds))
    assert trained.artifact is not None
    heir = replace(
        job(GROWN, 3, seeds=seeds), inherit=Inheritance(trained.artifact, SMALL, "morphism")
    )
    first, again = (
        {k: v for k, v in done(heir).metrics.items() if k != "train_seconds"} for _ in range(2)
    )
    assert first == again
