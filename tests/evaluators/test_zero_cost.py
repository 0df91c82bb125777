"""The evaluator `zero_cost`: its scores against their definitions, and what they may depend on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian

from evaluators import Evaluation, Job, checkpoint
from evaluators._zero_cost_scores import Untrained, of_flow, of_loss
from evaluators.datasets import Dataset, save_sealed
from evaluators.run import run
from search_spaces import gnn
from search_spaces.extensions import sparsity
from search_spaces.plugins import Plugin

SCORES = ("synflow", "snip", "grasp", "gradient_norm", "val_accuracy_read_out")
MakeJob = Callable[..., Job]


@pytest.fixture
def scored(make_job: MakeJob) -> MakeJob:
    """A job of the evaluator `zero_cost`."""

    def make(dataset: Dataset, kind: str = "gcn", seed: int = 3, **options: Any) -> Job:
        plugin = Plugin("zero_cost", options)
        return replace(make_job(dataset, kind, until_epoch=1, seed=seed), evaluator=plugin)

    return make


def alone(job: Job) -> Evaluation:
    (evaluation,) = run([job])
    return evaluation


def numbers(job: Job) -> Mapping[str, float]:
    evaluation = alone(job)
    assert evaluation.failure is None, evaluation.failure
    return evaluation.metrics


def test_scores_of_a_loss_are_their_definitions(scored: MakeJob) -> None:
    """By torch.func, from the whole second derivative of all weights."""
    job = scored(tiny.node_graph())
    untrained = Untrained(job, 0, 128)
    network, batch = untrained.network.eval(), untrained.batch
    weights = {n: p.detach() for n, p in network.named_parameters() if p.dim() > 1}
    assert {n.rpartition(".")[2] for n in weights} == {"weight"}

    def loss(values: dict[str, Tensor]) -> Tensor:
        logits = functional_call(network, values, batch.inputs)
        return F.cross_entropy(batch.select(logits), batch.y)

    slopes, second = grad(loss)(weights), hessian(loss)(weights)
    grasp = snip = 0.0
    for a, value in weights.items():
        snip += (value * slopes[a]).detach().abs().sum().item()
        for b, slope in slopes.items():
            curved = value.flatten() @ second[a][b].flatten(2).flatten(0, 1)
            grasp -= (curved @ slope.flatten()).item()
    norms = sum(float(slope.square().sum().sqrt()) for slope in slopes.values())
    found = numbers(job)
    assert found["snip"] == pytest.approx(snip, rel=1e-4)
    assert found["gradient_norm"] == pytest.approx(norms, rel=1e-4)
    assert found["grasp"] == pytest.approx(grasp, rel=1e-3)
    assert grasp != pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("norm", [nn.Identity(), nn.LayerNorm(5), nn.BatchNorm1d(5)])
def test_synflow_is_the_sum_over_paths(norm: nn.Module) -> None:
    """Once for each layer, whatever is normalized between them; biases and data count nothing."""
    first, second = nn.Linear(4, 5), nn.Linear(5, 3)
    network = nn.Sequential(first, norm, nn.ReLU(), second)
    paths = float((second.weight.abs() @ first.weight.abs()).sum())
    for x in (torch.randn(7, 4), torch.zeros(7, 4)):
        assert of_flow(network, (x,)) == pytest.approx(7 * 2 * paths, rel=1e-5)
    assert first.weight.min() < 0, "the weights are to be as they were"


def test_a_loss_of_no_weight_scores_nothing() -> None:
    network = nn.BatchNorm1d(3)
    loss = network(torch.randn(4, 3)).sum()
    assert of_loss(network, loss) == {"snip": 0.0, "grasp": 0.0, "gradient_norm": 0.0}


def test_the_network_is_the_one_that_training_begins_with(
    scored: MakeJob, make_job: MakeJob
) -> None:
    """With a learning rate of 0 it is the one that training ends with; another seed's is not."""
    dataset = tiny.node_graph()
    options = {"epochs": 1, "lr": 0.0, "seeds": 2}
    trained = alone(make_job(dataset, until_epoch=1, options=options))
    assert trained.artifact is not None
    for index, weights in enumerate(checkpoint.run_weights(trained.artifact)):
        own = Untrained(scored(dataset), index, 128).network.state_dict()
        assert all(torch.equal(own[name], weights[name]) for name in weights)
    other = Untrained(scored(dataset, seed=4), 0, 128).network.state_dict()
    assert not torch.equal(other["first.lin.weight"], own["first.lin.weight"])


@pytest.mark.parametrize("score", ["read_out", "synflow", "snip", "grasp", "gradient_norm"])
def test_the_score_that_is_chosen_is_the_one_to_maximize(scored: MakeJob, score: str) -> None:
    """Alone it is what it is beside the others."""
    name = "val_accuracy_read_out" if score == "read_out" else score
    whole = numbers(scored(tiny.node_graph(), score=score))
    assert set(whole) == {*SCORES, "val_accuracy_zero_cost"}
    assert whole["val_accuracy_zero_cost"] == whole[name]
    few = numbers(scored(tiny.node_graph(), score=score, others=False))
    assert dict(few) == {name: whole[name], "val_accuracy_zero_cost": whole[name]}


def test_several_initial_weights_are_averaged(scored: MakeJob) -> None:
    job = scored(tiny.node_graph(), seeds=3)
    each = []
    for index in range(3):
        untrained = Untrained(job, index, 128)
        each.append(of_loss(untrained.network, untrained.loss())["snip"])
    assert numbers(job)["snip"] == pytest.approx(sum(each) / 3)
    assert len(set(each)) == 3


def test_the_read_out_learns_training_labels_alone(scored: MakeJob) -> None:
    """Validation labels judge it; what it says of nodes does not depend on them."""
    dataset = tiny.node_graph()
    others = dataset.y.clone()
    others[dataset.val] = (others[dataset.val] + 1) % 3
    units = dataset.val.nonzero()[:, 0]
    said, same = (
        Untrained(scored(d), 0, 128, outputs=64).read_out(units)
        for d in (dataset, replace(dataset, y=others, fingerprint="others"))
    )
    assert torch.equal(said, same)
    untaught = dataset.y.clone()
    untaught[dataset.train] = untaught[dataset.train].roll(1)
    shuffled = replace(dataset, y=untaught, fingerprint="untaught")
    right, wrong = (numbers(scored(d))["val_accuracy_read_out"] for d in (dataset, shuffled))
    assert right > 0.8
    assert wrong < 0.4


def test_the_read_out_is_of_a_network_with_more_outputs(scored: MakeJob) -> None:
    """No fewer than there are classes; few of them tell less."""
    dataset = tiny.node_graph()
    narrow, at_least, wide = (
        numbers(scored(dataset, outputs=n, others=False))["val_accuracy_read_out"]
        for n in (1, 3, 128)
    )
    assert narrow == at_least <= wide


@pytest.mark.parametrize(
    ("kind", "failure", "says"),
    [
        ("raises", "error", "divides by zero"),
        ("nobuild", "error", "building the network: ValueError: this network cannot be built"),
        ("nan", "divergence", "the loss of the untrained network is nan"),
        ("huge", "out_of_memory", "scoring the network"),
        ("shape", "error", "expected an output of shape"),
    ],
)
def test_a_fault_of_a_network_has_its_kind(
    scored: MakeJob, kind: str, failure: str, says: str
) -> None:
    sound, job = scored(tiny.node_graph()), scored(tiny.node_graph(), kind)
    before, failed = run([sound, job])
    assert failed.failure is not None
    assert failed.failure.kind == failure
    assert says in failed.failure.message
    assert not failed.metrics
    assert before.metrics == numbers(sound)


def test_what_is_read_out_is_to_be_finite(scored: MakeJob) -> None:
    failed = alone(scored(tiny.node_graph(), "nan", others=False)).failure
    assert failed is not None
    assert failed.kind == "divergence"
    assert "not finite" in failed.message


def test_time_is_over_between_initial_weights(scored: MakeJob) -> None:
    job = replace(scored(tiny.node_graph(), seeds=1000), timeout_seconds=1e-9)
    failure = alone(job).failure
    assert failure is not None
    assert failure.kind == "timeout"
    assert "initial weights 1" in failure.message or "initial weights 0" in failure.message


def test_graphs_are_scored_in_batches(scored: MakeJob) -> None:
    """What is read out does not depend on how many go at a time, without batch normalization."""
    dataset = tiny.graph_set()
    whole, parts = (numbers(scored(dataset, seed=0, batch_size=size)) for size in (128, 7))
    assert whole["val_accuracy_read_out"] == parts["val_accuracy_read_out"] > 0.8
    assert whole["snip"] != parts["snip"]
    assert set(whole) == {*SCORES, "val_accuracy_zero_cost"}


def test_what_is_pruned_before_training_is_pruned(store: str) -> None:
    """SNIP leaves a fifth of the weights, which the scores are then of; GraNet begins with all."""
    dataset = tiny.node_graph()
    sealed, found = save_sealed(dataset.seal(), store), {}
    space = gnn.build(
        dataset.task, depth=[1], operators=["gcn"], width=[16], connectivity=["plain"]
    )
    for method in ("snip", "granet"):
        extension = sparsity.build(space, dataset.task, method=[method], weight_density=[0.2])
        sparse = space.extended(extension)
        one = sparse.fill(lambda decision: decision.choices[0])
        job = Job(one, sparse, Plugin("zero_cost"), sealed, store, 3, 1)
        weights = [p for p in Untrained(job, 0, 128).network.parameters() if p.dim() > 1]
        left = sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)
        found[method] = (round(left, 2), numbers(job)["synflow"])
    assert (found["snip"][0], found["granet"][0]) == (0.2, 1.0)
    assert found["snip"][1] < found["granet"][1]


@pytest.mark.parametrize("operator", ["gat", "gatv2", "sage", "gin", "tag", "transformer"])
def test_operators_are_differentiable_twice(store: str, operator: str) -> None:
    """Each of the space `gnn`, with maxima where it has them: all scores are there, and not 0."""
    dataset = tiny.node_graph()
    aggregation = {"aggregation": ["max"]} if operator == "sage" else {}
    space = gnn.build(dataset.task, depth=[2], operators=[operator], width=[16], **aggregation)
    one = space.fill(lambda decision: decision.choices[-1])
    sealed = save_sealed(dataset.seal(), store)
    found = numbers(Job(one, space, Plugin("zero_cost"), sealed, store, 3, 1))
    assert all(found[score] != 0 for score in SCORES)
