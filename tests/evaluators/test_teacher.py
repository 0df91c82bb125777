"""How a teacher is trained: as any candidate is, without what it must not see."""

from dataclasses import replace

import pytest
import torch

from evaluators import Batches, artifacts
from evaluators._folds import run_folds
from evaluators._paths import Means, train
from evaluators._recipe import Recipe, seed_torch
from evaluators._runs import Allowance, Run
from evaluators.datasets import Dataset, save_sealed
from evaluators.metrics import accuracy
from evaluators.preparation import Advance, Preparation, PreparationJob
from evaluators.preparations import teacher
from evaluators.preparing import prepare, weights
from nas.contracts import graphs, networks
from search_spaces.plugins import Plugin

NODES, GRAPHS = graphs.node_graph(), graphs.graph_set()
EPOCHS = 12
RECIPE = Recipe(0.05, 5e-4, 0.2, "adam", None, 16)
OPTIONS = {"lr": 0.05, "dropout": 0.2, "batch_size": 16}


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return artifacts.store_url(tmp_path_factory.mktemp("artifacts"))


def job(store: str, dataset: Dataset, epochs: int = EPOCHS, seed: int = 3) -> PreparationJob:
    space, sealed = networks.small_space(dataset.task), save_sealed(dataset.seal(), store)
    preparation = Preparation(Plugin("teacher", OPTIONS), epochs, epochs)
    return PreparationJob(preparation, space, sealed, store, seed, epochs)


def done(work: PreparationJob) -> Advance:
    advance = prepare(work)
    assert advance.failure is None, advance.failure
    return advance


@pytest.mark.parametrize("dataset", [NODES, GRAPHS], ids=["nodes", "graphs"])
def test_it_is_trained_as_candidates_are(dataset: Dataset, store: str) -> None:
    """Epoch by epoch, and still the very run that is trained at once; another seed is another."""
    advance = done(job(store, dataset))
    sealed, space = dataset.seal(), networks.small_space(dataset.task)
    largest = teacher.unpruned(space, {})
    (fold,) = run_folds(sealed, 3, 1, 0)
    with torch.random.fork_rng(devices=[]):
        seed_torch(3, teacher._INDEX, 0)
        network, key = space.network(largest, dataset.task), int(largest.key[:16], 16)
        once = Run(network, RECIPE, fold, 3, teacher._INDEX, key, EPOCHS, Allowance(None))
        train([once], Batches(sealed), Means(device="cpu"))
    once.measure(sealed.y[fold.val])
    expected = {k: v for k, v in once.state.metrics.items() if k != "train_seconds"}
    assert dict(advance.metrics) == expected
    assert dict(done(job(store, dataset, seed=4)).metrics) != expected


@pytest.mark.parametrize("dataset", [NODES, GRAPHS], ids=["nodes", "graphs"])
def test_what_it_predicts_is_of_its_best_epoch(dataset: Dataset, store: str) -> None:
    """For every node or graph; the validation value is that of these predictions."""
    advance = done(job(store, dataset))
    assert advance.artifact is not None
    logits = weights(advance.artifact)["logits"]
    assert logits.shape == (dataset.y.numel(), dataset.n_classes)
    found = accuracy(logits[dataset.val], dataset.y[dataset.val])
    assert found == pytest.approx(advance.metrics["val_accuracy"])
    assert accuracy(logits[dataset.val].roll(1, 1), dataset.y[dataset.val]) != found


def test_it_sees_no_label_of_test(store: str) -> None:
    """Other labels there change nothing; other labels of training do."""
    changed = NODES.y.clone()
    changed[NODES.test] = (changed[NODES.test] + 1) % 3
    other = NODES.y.clone()
    other[NODES.train] = (other[NODES.train] + 1) % 3

    def left(dataset: Dataset) -> list[float]:
        artifact = done(job(store, dataset)).artifact
        assert artifact is not None
        found: list[float] = weights(artifact)["logits"].flatten().tolist()
        return found

    known = left(NODES)
    assert left(replace(NODES, y=changed)) == known
    assert left(replace(NODES, y=other)) != known
