"""Confirming: fresh seeds, ranked on validation, test measured once, in the driver alone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import nas
from evaluators import Evaluation, Failure, Job, training
from evaluators.datasets import RawDataset, load, save_graph
from nas.confirm import FRESH_SEEDS, confirm
from nas.record import TrialRecord
from nas.retraining import ConfirmError, batches
from nas.store import Store
from nas.store.confirmations import confirmed_seeds
from search_spaces import UsageError
from search_spaces.plugins import Plugin

SPEC: Mapping[str, Mapping[str, Any]] = {
    "study": {"name": "s"},
    "space": {"name": "gnn", "depth": [1], "operators": ["gcn", "linear"], "width": [4, 8]},
    "strategy": {"name": "random"},
    "evaluator": {"name": "training", "epochs": 30, "lr": 0.05, "dropout": 0.0},
    "budget": {"trials": 4},
}


def graph(flip_test: bool = False, n_test: int = 60) -> RawDataset:
    """Three communities; the label is the community, the features show it with noise."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(180) % 3
    x = torch.nn.functional.one_hot(y, 3) + 0.8 * torch.randn(180, 3, generator=generator)
    edges = torch.randint(180, (2, 1500), generator=generator)
    edges = edges[:, y[edges[0]] == y[edges[1]]]
    split = torch.arange(180) // 60
    test = (split == 2) & (torch.arange(180) < 120 + n_test)
    labels = torch.where(test, (y + 1) % 3, y) if flip_test else y
    return RawDataset(
        name="communities",
        kind="node_classification",
        x=x,
        edge_index=edges,
        y=labels,
        train=split == 0,
        val=split == 1,
        test=test,
        n_classes=3,
    )


def run(folder: Path, data: RawDataset, **spec: Any) -> nas.Study:
    path = folder / "graph.npz"
    save_graph(path, data)
    tables = {**SPEC, **spec, "dataset": {"name": "graph_file", "path": str(path)}}
    return nas.search(tables, storage=f"sqlite:///{folder / 'nas.db'}")


def test_test_labels_change_nothing_until_confirm(tmp_path: Path) -> None:
    """With all test labels wrong the search is the same, bit for bit; only test tells."""
    honest, flipped = tmp_path / "honest", tmp_path / "flipped"
    honest.mkdir()
    flipped.mkdir()
    one, other = run(honest, graph()), run(flipped, graph(flip_test=True))

    def measured(study: nas.Study) -> list[Any]:
        kept = [{**t.metrics, "train_seconds": 0} for t in study.trials()]
        return [(t.architecture, m) for t, m in zip(study.trials(), kept, strict=True)]

    assert measured(one) == measured(other)
    a, b = one.confirm(top=1, seeds=3)[0], other.confirm(top=1, seeds=3)[0]
    assert a.values["val_accuracy"] == b.values["val_accuracy"]
    assert a.metrics["test_accuracy"]["mean"] > 0.8
    assert b.metrics["test_accuracy"]["mean"] < 0.2


def test_no_file_of_a_search_holds_a_test_label(tmp_path: Path) -> None:
    study = run(tmp_path, graph())
    from evaluators import Artifact
    from evaluators.datasets import load_sealed

    store = Store(study.storage)
    with store.reading() as connection:
        sha256 = store.row(connection, "s")["dataset"]
    prepared = load_sealed(Artifact(store.artifacts("s"), sha256))
    assert (prepared.y[prepared.test] == -1).all()
    labels = torch.tensor([0, 1, 2]).repeat(60)
    assert (prepared.y[~prepared.test] == labels[~prepared.test]).all()


def test_the_seeds_are_none_of_the_search(tmp_path: Path) -> None:
    """What chose a trial says nothing of it any more."""
    study = run(tmp_path, graph())
    study.confirm(top=1, seeds=2)
    store = Store(study.storage)
    seeds = {seed for _, seed in confirmed_seeds(store, "s")}
    assert len(seeds) == 2
    assert store.spec("s")["study"]["seed"] not in seeds


def test_ranked_on_fresh_validation_and_repeated_from_the_record(tmp_path: Path) -> None:
    study = run(tmp_path, graph())
    first = study.confirm(top=3, seeds=3)
    means = [c.metrics["val_accuracy"]["mean"] for c in first]
    assert means == sorted(means, reverse=True)
    assert [c.rank for c in first] == [1, 2, 3]
    assert all(len(c.values["test_accuracy"]) == c.seeds == 3 for c in first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.confirm.opened", None)  # repeated: nothing is loaded, nothing trained
        assert study.confirm(top=3, seeds=3) == first
    more = study.confirm(top=3, seeds=5)
    assert {c.trial: c.values["test_accuracy"][:3] for c in more} == {
        c.trial: c.values["test_accuracy"] for c in first
    }


def test_test_is_what_an_independent_computation_gives(tmp_path: Path) -> None:
    """From the confirmed checkpoint, by hand."""
    from evaluators import Artifact
    from evaluators.checkpoint import best_weights
    from nas.setting_up import set_up
    from nas.spec import StudySpec
    from nas.store.confirmations import confirmation_artifact

    study = run(tmp_path, graph())
    (confirmed,) = study.confirm(top=1, seeds=1)
    store = Store(study.storage)
    spec = StudySpec.from_json(store.spec("s"))
    setup = set_up(spec, Path())
    architecture = store.trial("s", confirmed.trial).architecture
    assert architecture is not None
    network = setup.space.network(architecture, setup.task)
    sha256 = confirmation_artifact(store, "s", confirmed.trial, FRESH_SEEDS)
    network.load_state_dict(best_weights(Artifact(store.artifacts("s"), sha256)))
    dataset = load(Plugin("graph_file", {"path": str(tmp_path / "graph.npz")}), Path())
    with torch.no_grad():
        predicted = network.eval()(dataset.x, dataset.edge_index).argmax(1)
    accuracy = (predicted == dataset.y)[dataset.test].float().mean().item()
    assert confirmed.values["test_accuracy"][0] == pytest.approx(accuracy)


def test_chosen_trials_and_refusals(tmp_path: Path) -> None:
    study = run(tmp_path, graph())
    assert {c.trial for c in study.confirm(trials=[3, 1], seeds=2)} == {1, 3}
    with pytest.raises(UsageError, match="numbered from 0"):
        study.confirm(trials=[99])
    no_test = tmp_path / "no-test"
    no_test.mkdir()
    with pytest.raises(UsageError, match="no test split"):
        run(no_test, graph(n_test=0)).confirm(top=1, seeds=1)
    with pytest.raises(UsageError, match="no study"):
        confirm("other", storage=study.storage, data_root=Path())


def test_the_exported_metrics_are_of_the_exported_weights(tmp_path: Path) -> None:
    """With several seeds a trial's value is a mean; the bundle's is of the one network in it."""
    evaluator = {"name": "training", "epochs": 6, "lr": 0.05, "seeds": 3}
    study = run(tmp_path, graph(), evaluator=evaluator)
    manifest = study.export(tmp_path / "bundle")
    dataset = load(Plugin("graph_file", {"path": str(tmp_path / "graph.npz")}), Path())
    logits = nas.load_bundle(tmp_path / "bundle").predict(dataset.x, dataset.edge_index)
    accuracy = (logits.argmax(1) == dataset.y)[dataset.val].float().mean().item()
    assert manifest["metrics"]["val_accuracy"]["value"] == pytest.approx(accuracy)
    mean = study.front()[0].metrics["val_accuracy"]
    assert mean != pytest.approx(accuracy), "the runs agree: this test could not fail"


def test_export_takes_the_first_by_fresh_validation(tmp_path: Path) -> None:
    study = run(tmp_path, graph())
    first = study.confirm(trials=[t.number for t in study.trials()], seeds=2)[0]
    assert study.export(tmp_path / "bundle")["provenance"]["trial"] == first.trial
    (one, *_) = study.confirm(trials=[first.trial], seeds=2)
    assert one.metrics["test_accuracy"]["stderr"] is not None


def test_an_artifact_that_is_lost_is_trained_again(tmp_path: Path) -> None:
    """Export after the checkpoints are gone: the same numbers again, and the manifest says so."""
    study = run(tmp_path, graph())
    kept = study.export(tmp_path / "kept")
    for artifact in (tmp_path / "nas.db.artifacts").glob("*/*"):
        artifact.unlink()
    again = study.export(tmp_path / "again")
    assert (kept["provenance"]["retrained"], again["provenance"]["retrained"]) == (False, True)
    name = "weights.safetensors"
    assert (tmp_path / "kept" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_lost_one_that_inherited_is_trained_again_from_its_parent(tmp_path: Path) -> None:
    """Parent and child are lost: the same weights again; from fresh ones they would be others."""
    strategy = {"name": "agnn", "inherit": True}
    study = run(tmp_path, graph(), strategy=strategy, budget={"trials": 5})
    child = max((t for t in study.trials() if t.inherit is not None), key=lambda t: t.number)
    study.export(tmp_path / "kept", trial=child.number)
    for artifact in (tmp_path / "nas.db.artifacts").glob("*/*"):
        artifact.unlink()
    study.export(tmp_path / "again", trial=child.number)
    name = "weights.safetensors"
    assert (tmp_path / "kept" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_of_a_table_is_looked_up_once(tmp_path: Path) -> None:
    """Repeated, with more seeds or trials too: what is stored stays, and no seed is made up."""
    spec = {
        "study": {"name": "s"},
        "space": {"name": "fakes.space", "kinds": ["plain"], "levels": 2},
        "strategy": {"name": "random"},
        "evaluator": {"name": "fakes.table"},
        "budget": {"trials": 6},
    }
    study = nas.search(spec, storage=f"sqlite:///{tmp_path / 'nas.db'}")
    (one,) = study.confirm(top=1)
    assert (one.trial, one.seeds) == (study.front()[0].number, 1)
    assert study.confirm(top=1, seeds=3) == [one]
    both = study.confirm(top=2)
    assert both[0] == one
    assert [c.metrics["test_accuracy"]["stderr"] for c in both] == [None, None]


@contextmanager
def sizes_of_batches(failing: int | None = None) -> Iterator[list[int]]:
    """The numbers of jobs that the evaluator is called with; the job of one seed may fail."""
    sizes: list[int] = []
    evaluate = training.Training.evaluate

    def counted(self: Any, jobs: Sequence[Job]) -> list[Evaluation]:
        sizes.append(len(jobs))
        failure = Failure("divergence", "the loss is nan")
        return [
            Evaluation(1, failure=failure) if job.seed == failing else done
            for job, done in zip(jobs, evaluate(self, jobs), strict=True)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Training, "evaluate", counted)
        yield sizes


class TestTogether:
    def test_seeds_together_give_what_they_give_one_by_one(self, tmp_path: Path) -> None:
        """The same stored values, bit for bit."""
        folders = [tmp_path / "together", tmp_path / "alone"]
        for folder in folders:
            folder.mkdir()
        dropped = {"evaluator": {**SPEC["evaluator"], "dropout": 0.5}}
        one, other = (run(folder, graph(), **dropped) for folder in folders)
        with sizes_of_batches() as sizes:
            together = one.confirm(top=2, seeds=5)
        with sizes_of_batches() as ones, pytest.MonkeyPatch.context() as patch:
            patch.setattr("nas.retraining._TOGETHER", 1)
            alone = other.confirm(top=2, seeds=5)
        assert (sizes, ones) == ([5, 5], [1] * 10)
        assert together == alone
        assert len(set(alone[0].values["val_loss"])) == 5

    def test_a_batch_leaves_no_worker_idle_and_has_one_trial(self) -> None:
        def sizes(trials: int, seeds: int, workers: int) -> list[int]:
            missing = [(trial(number), seed) for number in range(trials) for seed in range(seeds)]
            found = list(batches(missing, workers))
            pairs = [(t.number, seed) for t, group in found for seed in group]
            assert pairs == [(t.number, seed) for t, seed in missing]
            return [len(group) for _, group in found]

        assert sizes(1, 10, 1) == [5, 5]
        assert sizes(1, 10, 2) == [5, 5]
        assert sizes(1, 10, 4) == [2, 3, 2, 3]
        assert sizes(3, 10, 2) == [5] * 6
        assert sizes(5, 3, 2) == [3] * 5
        assert sizes(1, 2, 8) == [1, 1]
        assert sizes(1, 30, 2) == [7, 8, 7, 8]
        assert sizes(0, 5, 2) == []

    def test_a_failure_names_trial_and_seed_and_costs_the_others_nothing(
        self, tmp_path: Path
    ) -> None:
        study = run(tmp_path, graph())
        number = study.front()[0].number
        message = f"trial {number} failed when it was retrained on seed {FRESH_SEEDS + 1}: div"
        with sizes_of_batches(failing=FRESH_SEEDS + 1), pytest.raises(ConfirmError, match=message):
            study.confirm(top=1, seeds=4)
        with sizes_of_batches() as sizes:
            assert study.confirm(top=1, seeds=4)[0].seeds == 4
        assert sizes == [1]

    def test_one_that_is_killed_goes_on_and_counts_what_is_there(self, tmp_path: Path) -> None:
        folders = [tmp_path / "killed", tmp_path / "not"]
        for folder in folders:
            folder.mkdir()
        study, control = (run(folder, graph()) for folder in folders)
        told: list[tuple[int, int]] = []

        def tell(done: int, wanted: int) -> None:
            told.append((done, wanted))
            if told == [(1, 5), (2, 5)]:
                raise KeyboardInterrupt

        place: dict[str, Any] = {
            "storage": study.storage,
            "data_root": Path(),
            "top": 1,
            "seeds": 5,
        }
        with pytest.raises(KeyboardInterrupt):
            confirm("s", **place, progress=tell)
        with sizes_of_batches() as sizes:
            found = confirm("s", **place, progress=tell)
        assert sizes == [3]
        assert told[2:] == [(3, 5), (4, 5), (5, 5)]
        assert found == control.confirm(top=1, seeds=5)

    def test_a_warning_is_passed_on_once(self, tmp_path: Path) -> None:
        evaluator = {**SPEC["evaluator"], "epochs": 3, "precision": "bfloat16", "device": "cpu"}
        study = run(tmp_path, graph(), evaluator=evaluator)
        told: list[str] = []
        place: dict[str, Any] = {"storage": study.storage, "data_root": Path()}
        confirm("s", **place, top=2, seeds=2, warn=told.append)
        assert len(told) == 1
        assert "float32" in told[0]


def trial(number: int) -> TrialRecord:
    return TrialRecord(number, "complete", None, {}, 1, 0.0, False, None, 0.0, number, None)
