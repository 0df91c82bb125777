"""Training sparse networks: stopped anywhere it goes on exactly, and it is judged as what it is."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes import sparse
from torch import Tensor

from evaluators import Evaluation, Job
from evaluators.checkpoint import best_weights, parents, resume, run_weights
from evaluators.datasets import Dataset, save_sealed
from evaluators.inheritances import alike
from evaluators.run import run
from evaluators.training import build
from evaluators.values import Inheritance
from nas.contracts import graphs
from search_spaces import SearchSpace, gnn
from search_spaces.plugins import Plugin
from search_spaces.sparsity.network import Sparse

EPOCHS = 9
# Of each method a schedule that ends before: what changes after how many epochs.
SCHEDULES: dict[str, dict[str, Any]] = {
    "granet": {"over_epochs": 5, "every": 2},
    "random": {},
    "magnitude": {"over_epochs": 4},
    "lottery": {"over_epochs": 2, "rounds": 2},
    "snip": {},
    "grasp": {},
    "synflow": {},
    "layer_ticket": {},
    "rigl": {"over_epochs": 5, "every": 2},
    "dynamic": {"over_epochs": 5, "every": 2},
}
BOTH = {"weight_density": 0.5, "edge_density": 0.7}
RESIDUAL = {"connectivity": ["residual"], "depth": [3], "pre_layers": [1], "operators": ["gat"]}


def space(method: str, dataset: Dataset = sparse.DATASET, **given: Any) -> SearchSpace:
    base = sparse.space(dataset, RESIDUAL)
    return sparse.pruned(base, dataset, method=method, **{**BOTH, **SCHEDULES[method], **given})


def job(
    space: SearchSpace,
    store: str,
    until_epoch: int = EPOCHS,
    dataset: Dataset = sparse.DATASET,
    resume: Any = None,
    **options: Any,
) -> Job:
    sealed = save_sealed(dataset.seal(), store)
    evaluator = Plugin("training", {"epochs": EPOCHS, "dropout": 0.3, **options})
    architecture = sparse.first(space)
    return Job(architecture, space, evaluator, sealed, store, 3, until_epoch, resume=resume)


def done(job: Job) -> Evaluation:
    (evaluation,) = run([job])
    assert evaluation.failure is None, evaluation.failure
    return evaluation


def numbers(evaluation: Evaluation) -> dict[str, float]:
    return {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}


def weights(evaluation: Evaluation) -> dict[str, Tensor]:
    assert evaluation.artifact is not None
    return best_weights(evaluation.artifact)


def network_of(space: SearchSpace, state: dict[str, Tensor], dataset: Dataset) -> Sparse:
    torch.manual_seed(99)
    network = space.network(sparse.first(space), dataset.task)
    assert isinstance(network, Sparse)
    network.load_state_dict(state)
    return network.eval()


CASES = [(method, {}) for method in SCHEDULES] + [
    ("magnitude", {"structure": "units"}),
    ("snip", {"structure": "heads"}),
    ("magnitude", {"structure": "layers"}),
    ("granet", {"edge_mode": "inductive"}),
]


@pytest.mark.parametrize(("method", "given"), CASES)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_it_goes_on_exactly_wherever_it_was_stopped(
    method: str, given: dict[str, Any], optimizer: str, store: str
) -> None:
    """Before what is left is chosen, between two changes, and after: bit for bit."""
    sought = space(method, **given)
    whole = done(job(sought, store, optimizer=optimizer))
    stops: tuple[int, ...] = (1, 3, 5, 7) if optimizer == "adam" else (4,)
    artifact = None
    for epoch in (*stops, EPOCHS):
        part = done(job(sought, store, epoch, resume=artifact, optimizer=optimizer))
        artifact = part.artifact
    assert numbers(part) == numbers(whole)
    one, other = weights(part), weights(whole)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_are_inherited_and_masks_are_not(store: str) -> None:
    """What is left is chosen anew, of a network that begins with the parent's weights."""
    sought = space("random")
    parent = job(sought, store)
    (evaluation,) = run([parent])
    assert evaluation.artifact is not None
    inherit = Inheritance(evaluation.artifact, parent.architecture)
    torch.manual_seed(5)
    child = sought.network(parent.architecture, sparse.DATASET.task)
    assert isinstance(child, Sparse)
    before = {name: tensor.clone() for name, tensor in child.state_dict().items()}
    (from_,) = parents(evaluation.artifact, parent.architecture)
    alike.inherit(child, parent.architecture, from_)
    after = child.state_dict()
    for name, tensor in after.items():
        if name.startswith("sparsity."):
            assert torch.equal(tensor, before[name])
    name = "body.layers.1.operator.lin.weight"
    assert torch.equal(after[name], from_.weights[name])
    assert not torch.equal(after[name], before[name])
    heir = done(replace(parent, seed=4, inherit=inherit))
    mask = "sparsity.masks.body:layers:1:operator:lin:weight"
    assert not torch.equal(weights(heir)[mask], from_.weights[mask])


def test_another_seed_goes_another_way(store: str) -> None:
    """The control of the above."""
    sought = space("granet")
    one, other = job(sought, store), replace(job(sought, store), seed=4)
    assert numbers(done(one)) != numbers(done(other))


@pytest.mark.parametrize("method", ["granet", "magnitude", "lottery", "snip"])
def test_it_is_judged_as_what_it_becomes(method: str, store: str) -> None:
    """The best epoch is one in which all is left that is left, and the metrics are its own."""
    sought = space(method)
    evaluation = done(job(sought, store, dropout=0.0))
    network = network_of(sought, weights(evaluation), sparse.DATASET)
    assert evaluation.metrics["best_epoch"] > network.settles_after
    with torch.no_grad():
        logits = network(sparse.DATASET.x, sparse.DATASET.edge_index)
    right = logits.argmax(1) == sparse.DATASET.y
    accuracy = right[sparse.DATASET.val].float().mean().item()
    assert accuracy == pytest.approx(evaluation.metrics["val_accuracy"])
    left = sparse.left(network)
    edges = left.pop("edges")
    total = sum(weight.numel() for weight in network.weights().values())
    assert sum(left.values()) == round(0.5 * total)
    own = next(g for g in network.groups() if "edges" in g.masks)
    assert edges == round(0.7 * own.sizes()["edges"])


def test_until_it_is_that_the_last_epoch_counts(store: str) -> None:
    """A job that ends before is measured there; patience begins after."""
    sought = space("magnitude", over_epochs=6)
    early = done(job(sought, store, 4))
    assert early.artifact is not None
    evaluator: Any = build(sparse.DATASET.task, epochs=EPOCHS, dropout=0.3)
    (state,) = resume(early.artifact, evaluator._identity(job(sought, store)))
    assert (state.epoch, state.best_epoch) == (4, 4)
    tired = done(job(sought, store, patience=1))
    assert tired.metrics["best_epoch"] > 6


@pytest.mark.parametrize("options", [{"seeds": 2}, {"folds": 2}])
def test_each_run_has_what_is_left_of_its_own(options: dict[str, Any], store: str) -> None:
    evaluation = done(job(space("granet"), store, **options))
    assert evaluation.artifact is not None
    one, other = run_weights(evaluation.artifact)
    names = [name for name in one if name.startswith("sparsity.masks.")]
    assert names
    assert any(not torch.equal(one[name], other[name]) for name in names)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("method", "structure"), [("granet", "none"), ("magnitude", "units"), ("lottery", "none")]
)
def test_in_other_precisions(dtype: torch.dtype, method: str, structure: str) -> None:
    """All that is trained is of that type, what has become smaller and what was set back too."""
    data = replace(sparse.DATASET, x=sparse.DATASET.x.to(dtype))
    given = {"structure": structure} if structure != "none" else {}
    network = sparse.network(RESIDUAL, data, method=method, **BOTH, **SCHEDULES[method], **given)
    network.to(dtype)
    for _ in sparse.training(network, EPOCHS, dataset=data):
        pass
    state = network.state_dict()
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {dtype}
    logits = network.eval()(data.x, data.edge_index)
    assert logits.dtype == dtype
    assert logits.isfinite().all()
    total = sum(weight.numel() for weight in network.weights().values())
    left = sparse.left(network)
    left.pop("edges")
    assert structure != "none" or sum(left.values()) == round(0.5 * total)


def many_graphs(method: str, given: dict[str, Any]) -> SearchSpace:
    many = graphs.graph_set()
    base = gnn.build(
        many.task,
        operators=["gin"],
        width=[8],
        pre_layers=[1],
        normalization=["batch"],
        activation=["relu"],
        depth=[2],
        connectivity=["residual"],
        post_layers=[0],
    )
    options = {"weight_density": 0.5, "edge_mode": "inductive", "edge_density": 0.7}
    return sparse.pruned(base, many, method=method, **{**options, **SCHEDULES[method], **given})


@pytest.mark.parametrize("batch_size", [8, 60])
@pytest.mark.parametrize(
    ("method", "given"),
    [
        *((method, {}) for method in SCHEDULES),
        ("snip", {"structure": "units"}),
        ("magnitude", {"structure": "layers"}),
    ],
)
def test_of_many_graphs_in_batches(
    method: str, given: dict[str, Any], batch_size: int, store: str
) -> None:
    """By the loss of the first batch; and goes on exactly."""
    many, sought = graphs.graph_set(), many_graphs(method, given)
    whole = done(job(sought, store, dataset=many, batch_size=batch_size))
    half = done(job(sought, store, 3, many, batch_size=batch_size))
    on = done(job(sought, store, dataset=many, batch_size=batch_size, resume=half.artifact))
    assert numbers(on) == numbers(whole)
    one, other = weights(on), weights(whole)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_telling_what_it_is_called_with_computes_nothing(store: str) -> None:
    """No statistics move, and no random number is drawn, or to go on would not be exact."""
    del store
    network = sparse.network(method="snip", edge_density=0.5, weight_density=0.5).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def loss() -> Tensor:
        torch.rand(3)
        return sparse.loss_of(network)

    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    network._loss = loss
    x, edge_index = network.inputs()
    assert x is sparse.DATASET.x
    assert edge_index is sparse.DATASET.edge_index
    assert torch.equal(torch.rand(1), expected)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    # Control: the loss itself moves them.
    loss()
    assert any(not torch.equal(before[name], after[name]) for name in before)
