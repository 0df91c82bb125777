"""The training evaluator: the same numbers, the best epoch, no test label, exact resume."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch
import torch.nn.functional as F
from safetensors import safe_open

from evaluators import Artifact, Evaluation, Inheritance, Job, artifacts, training
from evaluators._dropout import SparseConstant, set_dropout
from evaluators._folds import run_folds
from evaluators._recipe import seed_torch
from evaluators.checkpoint import best_weights, run_weights
from evaluators.datasets._base import Dataset, DatasetError, save_sealed
from evaluators.metrics import split_metrics
from evaluators.run import run
from search_spaces import Architecture, PluginError, UsageError
from search_spaces.plugins import Plugin

MakeJob = Callable[..., Job]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"seeds": 2},
    {"folds": 3},
    {"optimizer": "adamw", "patience": 2},
    {"optimizer": "sgd", "lr": 0.1},
]


def weights_of(artifact: Artifact) -> Inheritance:
    """To start from; layers are alike or not, whatever their network is."""
    return Inheritance(artifact, Architecture("any", {}))


def measured(evaluation: Evaluation) -> dict[str, float]:
    """The metrics without the time taken, which no two runs share."""
    assert evaluation.failure is None
    return {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}


def evaluate(job: Job) -> Evaluation:
    return run([job])[0]


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("dataset", [tiny.node_graph, tiny.graph_set])
def test_resume_is_exact(
    dataset: Callable[[], Dataset], options: dict[str, Any], make_job: MakeJob
):
    """Stopping after 2 and after 3 epochs and going on gives the numbers of 6 at one go."""
    options = {"batch_size": 7} | options
    whole = evaluate(make_job(dataset(), until_epoch=6, options=options))
    artifact = None
    for until_epoch in (2, 3, 6):
        job = make_job(dataset(), until_epoch=until_epoch, options=options, resume=artifact)
        part = evaluate(job)
        artifact = part.artifact
    assert measured(part) == measured(whole)
    assert best_weights(part.artifact).keys() == best_weights(whole.artifact).keys()
    for name, tensor in best_weights(whole.artifact).items():
        assert torch.equal(tensor, best_weights(part.artifact)[name])


def test_a_shorter_run_is_a_prefix(make_job: MakeJob):
    """A rung's numbers do not depend on how far the study means to go."""
    dataset = tiny.node_graph()
    short = evaluate(make_job(dataset, until_epoch=4, options={"epochs": 4}))
    rung = evaluate(make_job(dataset, until_epoch=4, options={"epochs": 50}))
    assert measured(short) == measured(rung)
    assert (short.epoch, rung.epoch) == (4, 4)


def test_the_same_job_gives_the_same_numbers(make_job: MakeJob):
    """Twice, whatever the state of the global generator, which stays as it was; seeds matter."""
    job = make_job(tiny.node_graph())
    torch.manual_seed(1)
    first = evaluate(job)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert measured(evaluate(job)) == measured(first)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert measured(evaluate(dataclasses.replace(job, seed=4))) != measured(first)


def test_the_best_epoch_is_the_best_of_all(make_job: MakeJob):
    """Recomputed by hand with plain torch: the earliest epoch of the highest accuracy."""
    dataset = tiny.node_graph()
    job = make_job(dataset, "mlp", until_epoch=6, options={"lr": 0.05, "dropout": 0.0})
    seed_torch(job.seed, 0, 0)
    network = tiny.SPACE.network(job.architecture, dataset.task)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05, weight_decay=5e-4)
    accuracies, losses = [], []
    for _ in range(6):
        optimizer.zero_grad()
        logits = network.train()(dataset.x, dataset.edge_index)
        loss = F.cross_entropy(logits[dataset.train], dataset.y[dataset.train])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        with torch.no_grad():
            predicted = network.eval()(dataset.x, dataset.edge_index).argmax(1)
        accuracies.append((predicted == dataset.y)[dataset.val].double().mean().item())
    evaluation = evaluate(job)
    best = max(range(6), key=lambda e: accuracies[e])
    assert evaluation.metrics["best_epoch"] == best + 1
    assert evaluation.metrics["val_accuracy"] == pytest.approx(accuracies[best])
    assert evaluation.metrics["train_loss"] == pytest.approx(losses[best], rel=1e-5)


def test_the_artifact_has_the_best_weights(make_job: MakeJob):
    """A network with these weights repeats the validation metrics exactly."""
    dataset = tiny.node_graph()
    job = make_job(dataset, until_epoch=6, options={"lr": 0.1, "seeds": 1})
    evaluation = evaluate(job)
    network = tiny.SPACE.network(job.architecture, dataset.task)
    network.load_state_dict(best_weights(evaluation.artifact))
    again = split_metrics(network, dataset, "val")
    for name, value in again.items():
        assert evaluation.metrics[f"val_{name}"] == value


def test_it_learns_and_the_controls_do_not(make_job: MakeJob):
    """An easy graph is solved; with shuffled labels or a learning rate of 0 it is not."""
    dataset = tiny.node_graph(nodes=300)
    options = {"epochs": 40, "lr": 0.05}
    learned = evaluate(make_job(dataset, until_epoch=40, options=options))
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    shuffled = dataclasses.replace(dataset, y=dataset.y[order])
    chance = evaluate(make_job(shuffled, until_epoch=40, options=options))
    assert learned.metrics["val_accuracy"] > 0.9
    assert chance.metrics["val_accuracy"] < 0.5

    still = evaluate(make_job(dataset, until_epoch=40, options=options | {"lr": 0.0}))
    initial = evaluate(make_job(dataset, until_epoch=1, options=options | {"lr": 0.0}))
    assert still.metrics["val_accuracy"] == initial.metrics["val_accuracy"]
    assert still.metrics["best_epoch"] == 1


@pytest.mark.parametrize("options", [{}, {"folds": 3}])
def test_no_test_label_matters(options: dict[str, Any], make_job: MakeJob):
    """Changing the test labels before the dataset is sealed changes no number."""
    dataset = tiny.node_graph()
    y = dataset.y.clone()
    y[dataset.test] = (y[dataset.test] + 1) % 3
    changed = dataclasses.replace(dataset, y=y)
    first = evaluate(make_job(dataset, options=options))
    assert measured(evaluate(make_job(changed, options=options))) == measured(first)
    y[dataset.val] = (y[dataset.val] + 1) % 3
    control = dataclasses.replace(dataset, y=y)
    assert measured(evaluate(make_job(control, options=options))) != measured(first)


def test_folds_never_touch_test():
    """Each fold validates on its share; together they are train and val, each unit once."""
    dataset = tiny.node_graph()
    folds = run_folds(dataset, seed=0, seeds=2, folds=4)
    assert len(folds) == 8
    pool = (dataset.train | dataset.val).nonzero().squeeze(1)
    for first in (0, 4):
        validated = torch.cat([fold.val for fold in folds[first : first + 4]])
        assert torch.equal(validated.sort().values, pool)
    for fold in folds:
        assert torch.equal(torch.cat([fold.train, fold.val]).sort().values, pool)
        counts = dataset.y[fold.val].bincount(minlength=3)
        assert counts.max() - counts.min() <= 1
    assert not torch.equal(folds[0].val, folds[4].val)


def test_several_runs_are_averaged(make_job: MakeJob):
    """The mean and standard error of two seeds, recomputed from the runs' own weights."""
    dataset = tiny.node_graph()
    both = evaluate(make_job(dataset, options={"seeds": 2}))
    values = []
    one, two = run_weights(both.artifact)
    assert not any(torch.equal(one[name], two[name]) for name in one if name.endswith("weight"))
    for weights in (one, two):
        network = tiny.SPACE.network(make_job(dataset).architecture, dataset.task)
        network.load_state_dict(weights)
        values.append(split_metrics(network, dataset, "val")["accuracy"])
    assert both.metrics["val_accuracy"] == pytest.approx(sum(values) / 2)
    assert both.metrics["val_accuracy_stderr"] == pytest.approx(abs(values[0] - values[1]) / 2)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "roc_auc"])
@pytest.mark.parametrize("seeds", [1, 2])
def test_the_evaluator_names_its_metrics(metric: str, seeds: int, make_job: MakeJob):
    """Every evaluation has the metrics that the evaluator says it has, and no others."""
    dataset = tiny.node_graph(metric=metric)
    evaluation = evaluate(make_job(dataset, options={"seeds": seeds}))
    evaluator = training.build(dataset.task, seeds=seeds)
    assert set(evaluation.metrics) == set(evaluator.metrics)


def test_graphs_are_learned_in_batches(make_job: MakeJob):
    """A graph task, in batches and as a whole, with isolated and single nodes; labels matter."""
    for batch_size in (7, 1000):
        options = {"epochs": 40, "lr": 0.05, "batch_size": batch_size}
        learned = evaluate(make_job(tiny.graph_set(), until_epoch=40, options=options))
        assert learned.metrics["val_accuracy"] > 0.85


def test_the_training_loss_is_a_mean_over_all_batches(make_job: MakeJob):
    """Where nothing is learned or dropped, batches of any size have the loss of the whole."""
    options = {"lr": 0.0, "dropout": 0.0}
    small, whole = (
        evaluate(make_job(tiny.graph_set(), options=options | {"batch_size": size}))
        for size in (7, 1000)
    )
    assert small.metrics["train_loss"] == pytest.approx(whole.metrics["train_loss"], rel=1e-5)


def test_class_weights_count(make_job: MakeJob):
    """A class with next to no weight in the loss is not learned; without weights it is."""
    options = {"epochs": 30, "lr": 0.05}
    recall = []
    for weights in (None, torch.tensor([1.0, 1.0, 1e-4])):
        dataset = tiny.node_graph(class_weights=weights)
        job = make_job(dataset, until_epoch=30, options=options)
        network = tiny.SPACE.network(job.architecture, dataset.task)
        network.load_state_dict(best_weights(evaluate(job).artifact))
        chosen = dataset.val & (dataset.y == 2)
        with torch.no_grad():
            predicted = network.eval()(dataset.x, dataset.edge_index)[chosen].argmax(1)
        recall.append(float((predicted == 2).float().mean()))
    assert recall[0] > 0.8
    assert recall[1] < 0.3


def test_inherited_weights_are_the_start(make_job: MakeJob):
    """With a learning rate of 0, the inherited network is what is measured."""
    dataset = tiny.node_graph()
    teacher = evaluate(make_job(dataset, options={"lr": 0.1}))
    options = {"lr": 0.0}
    heir = evaluate(
        make_job(dataset, seed=9, options=options, inherit=weights_of(teacher.artifact))
    )
    fresh = evaluate(make_job(dataset, seed=9, options=options))
    assert heir.metrics["val_loss"] == teacher.metrics["val_loss"]
    assert fresh.metrics["val_loss"] != teacher.metrics["val_loss"]


def test_recipe_decisions_override_options(make_job: MakeJob):
    """`train.lr` is the learning rate, whatever the evaluator's option says."""
    job = make_job(tiny.node_graph(), options={"lr": 0.05})
    job = dataclasses.replace(job, space=tiny.RECIPE_SPACE)
    still, moving = (
        evaluate(
            dataclasses.replace(job, architecture=tiny.RECIPE_SPACE.architecture({"train.lr": lr}))
        )
        for lr in (0.0, 0.05)
    )
    assert still.metrics["best_epoch"] == 1
    assert moving.metrics["val_loss"] != still.metrics["val_loss"]
    known = evaluate(make_job(tiny.node_graph(), options={"lr": 0.05}))
    assert moving.metrics["val_loss"] == known.metrics["val_loss"]


def test_patience_stops_early(make_job: MakeJob):
    """With nothing to learn, a run with patience 2 ends after its third epoch."""
    job = make_job(
        tiny.node_graph(), options={"lr": 0.0, "patience": 2, "epochs": 9}, until_epoch=6
    )
    evaluation = evaluate(job)
    with safe_open(artifacts.path(evaluation.artifact), framework="pt") as file:
        header = json.loads(file.metadata()["checkpoint"])
    assert header["runs"][0]["epoch"] == 3
    assert evaluation.epoch == 6


def test_bad_options_are_refused(make_job: MakeJob):
    """One fold, more folds than units, what is out of range, a validation split of one class."""
    with pytest.raises(PluginError, match="got 1"):
        run([make_job(tiny.node_graph(), options={"folds": 1})])
    with pytest.raises(PluginError, match="got 61"):
        run([make_job(tiny.node_graph(), options={"folds": 61})])
    for name, value in [("dropout", 1.0), ("lr", -0.1), ("optimizer", "adma"), ("batch_size", 0)]:
        with pytest.raises(PluginError, match=f"expected {name} .*, got {value!r}"):
            run([make_job(tiny.node_graph(), options={name: value})])
    dataset = tiny.node_graph()
    with pytest.raises(DatasetError, match="one class"):
        run([make_job(dataclasses.replace(dataset, val=dataset.val & (dataset.y == 0)))])


def test_jobs_come_back_in_order(make_job: MakeJob, store: str):
    """A batch with two evaluators and two datasets, interleaved."""
    jobs = [
        make_job(tiny.node_graph()),
        make_job(tiny.graph_set()),
        make_job(tiny.node_graph(), options={"lr": 0.1}),
        make_job(tiny.node_graph()),
    ]
    together = [measured(e) for e in run(jobs)]
    assert together == [measured(evaluate(job)) for job in jobs]


def test_dropout_is_dropout():
    """Kept with probability 1 - p and scaled, off in evaluation mode; on sparse input likewise."""
    x = (torch.rand(500, 400, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    twice = torch.nn.Dropout(0.0)
    network = torch.nn.Sequential(twice, torch.nn.Identity())
    torch.manual_seed(0)
    set_dropout(network, 0.3, SparseConstant.of(x))
    for given in (x, torch.ones(500, 400)):
        kept = network.train()(given)
        assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
        assert ((kept != 0) <= (given != 0)).all()
        share = float((kept != 0).sum() / (given != 0).sum())
        assert share == pytest.approx(0.7, abs=0.01)
        assert torch.equal(network.eval()(given), given)
    assert SparseConstant.of(torch.ones(3, 3)) is None
    shared = torch.nn.Sequential(twice, twice)
    set_dropout(shared, 0.3, None)
    assert [part.p for part in shared] == [0.3, 0.3]


def test_a_sealed_dataset_has_no_test_metrics(make_job: MakeJob, store: str):
    """Test is measured on the original alone."""
    dataset = tiny.node_graph()
    network = tiny.SPACE.network(make_job(dataset).architecture, dataset.task)
    assert set(split_metrics(network, dataset, "test")) == {
        "accuracy",
        "macro_f1",
        "roc_auc",
        "loss",
    }
    with pytest.raises(DatasetError, match="sealed"):
        split_metrics(network, dataset.seal(), "test")
    with pytest.raises(UsageError):
        run([dataclasses.replace(make_job(dataset), evaluator=Plugin("trainig"))])
    assert save_sealed(dataset.seal(), store)
