"""Sparse trials beside their dense parent and chance: the counts, the pairs, what is refused."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import nas
from evaluators import Job
from evaluators.checkpoint import best_weights
from evaluators.run import run
from nas.setting_up import set_up
from nas.sparse import (
    Arm,
    SparseComparison,
    SparseTrainingError,
    Trained,
    UnequalArmsError,
    compare_sparse,
)
from nas.sparse.comparing import dense_parent
from nas.sparse.rows import Rows
from nas.sparse.training import Bench, Training
from nas.spec import spec_from_mapping
from nas.store import Store
from search_spaces import Architecture, UsageError
from search_spaces.sparsity.counted import EDGES, counted, left

ROOT = Path(__file__).resolve().parents[2]
QUICK: Mapping[str, Any] = {"over_epochs": [2], "every": [1]}
SPACE: Mapping[str, Any] = {
    "name": "gnn",
    "depth": [2],
    "operators": ["gcn"],
    "width": [16],
    "activation": ["relu"],
    "normalization": ["batch"],
    "connectivity": ["plain"],
    "pre_layers": [0],
    "post_layers": [0],
    "output": ["linear"],
}


def tables(sparsity: Mapping[str, Any] | None, **changed: Any) -> dict[str, Any]:
    """A study of one trial with few epochs."""
    made = {
        "study": {"name": "s", "objectives": {"val_accuracy": "maximize"}},
        "space": {**SPACE, **changed.pop("space", {})},
        "dataset": {"name": "digits_knn"},
        "strategy": {"name": "random"},
        "evaluator": {"name": "training", "epochs": 4},
        "budget": {"trials": 1},
        "executor": {"name": "inline"},
        **changed,
    }
    if sparsity is not None:
        rounds = {"rounds": [2], "over_epochs": [1]} if sparsity["method"] == ["lottery"] else {}
        extension = {**changed.get("extension", {}), "sparsity": {**QUICK, **rounds, **sparsity}}
        made["extension"] = extension
    return made


def go(folder: Path, sparsity: Mapping[str, Any] | None, **changed: Any) -> nas.Study:
    storage = f"sqlite:///{folder / 'nas.db'}"
    return nas.search(tables(sparsity, **changed), storage=storage, data_root=folder)


HALVES = {"weight_density": [0.5], "edge_density": [0.8]}
RESIDUAL = {"depth": [3], "connectivity": ["residual"], "pre_layers": [1]}
GAT = {"operators": ["gat"], "heads": [4]}


@pytest.mark.parametrize(
    ("sparsity", "space"),
    [
        *(
            ({"method": [method], **HALVES}, {})
            for method in (
                "granet",
                "random",
                "magnitude",
                "lottery",
                "snip",
                "grasp",
                "synflow",
                "rigl",
                "dynamic",
            )
        ),
        ({"method": ["magnitude"], "scope": ["layer"], **HALVES}, GAT),
        ({"method": ["granet"], "weight_density": [1.0], "edge_density": [0.6]}, {}),
        ({"method": ["granet"], "edge_mode": "inductive", **HALVES}, {}),
        ({"method": ["snip"], "structure": ["units"], **HALVES}, {}),
        ({"method": ["magnitude"], "structure": ["heads"], **HALVES}, GAT),
        ({"method": ["layer_ticket"], "weight_density": [0.5]}, RESIDUAL),
    ],
    ids=lambda value: " ".join(str(v) for v in value.values()) or "gcn",
)
def test_exactly_as_much_is_left(
    tmp_path: Path, sparsity: Mapping[str, Any], space: Mapping[str, Any]
) -> None:
    """Of every tensor, edge and structure; and less of it than of the parent."""
    found = go(tmp_path, sparsity, space=space).compare_sparse(seeds=2)
    for searched, random, dense in zip(
        found.searched.trained, found.random.trained, found.dense.trained, strict=True
    ):
        assert searched.left == random.left
        assert searched.left, "something was counted"
        assert searched.edges == random.edges
        assert searched.nonzero_weights == random.nonzero_weights
        assert dense.left == {}
        if sparsity["weight_density"] != [1.0]:
            assert searched.nonzero_weights < 0.9 * dense.nonzero_weights
        if "edge_density" in sparsity:
            share = searched.edges / dense.edges
            assert share == pytest.approx(sparsity["edge_density"][0], abs=1e-3)


class TestRandom:
    """The third arm, as it is trained."""

    @pytest.fixture
    def bench(self, tmp_path_factory: pytest.TempPathFactory) -> Bench:
        folder = tmp_path_factory.mktemp("bench")
        spec = spec_from_mapping(tables({"method": ["granet"], **HALVES}))
        setup = set_up(spec, folder)
        searched = setup.space.fill(lambda decision: decision.choices[0], {})
        store = f"file://{folder}"
        return Bench(setup, dense_parent(searched), searched, "val_accuracy", store)

    def network(self, bench: Bench, job: Job) -> torch.nn.Module:
        (evaluation,) = run([job])
        assert evaluation.failure is None, evaluation.failure
        assert evaluation.artifact is not None
        network = job.space.network(job.architecture, bench.setup.task)
        network.load_state_dict(best_weights(evaluation.artifact))
        return network

    def test_it_has_the_counts_it_is_given_from_the_first_epoch_on(self, bench: Bench) -> None:
        """Others than any method would leave, and chosen anew with each seed."""
        sizes = {n: g.sizes()[n] for g in self.groups(bench) for n in g.values}
        given = {name: 1 + index for index, name in enumerate(sizes)}
        masks = []
        for seed in (1, 2):
            job = replace(bench.job("random", seed, given), until_epoch=1)
            network = self.network(bench, job)
            dataset = bench.setup.dataset
            assert dataset is not None
            found = left(network, dataset.x, dataset.edge_index)
            assert found.counts == given
            assert found.weights == sum(n for name, n in given.items() if name != EDGES)
            masks.append({n: g.masks[n] for g in network.groups() for n in g.masks})  # type: ignore[operator]
        assert any(not torch.equal(one, masks[1][name]) for name, one in masks[0].items())

    def test_it_is_another_than_random_of_the_same_seed(self, tmp_path: Path) -> None:
        """Of a trial that was chosen by chance, too: else it would be compared with itself."""
        for structure in ("none", "units"):
            sparsity = {"method": ["random"], "weight_density": [0.5], "structure": [structure]}
            setup = set_up(spec_from_mapping(tables(sparsity)), tmp_path)
            searched = setup.space.fill(lambda decision: decision.choices[0], {})
            dense = dense_parent(searched)
            bench = Bench(setup, dense, searched, "val_accuracy", f"file://{tmp_path}")
            own: Any = self.network(bench, bench.job("searched", 3))
            dataset = setup.dataset
            assert dataset is not None
            counts = left(own, dataset.x, dataset.edge_index).counts
            other: Any = self.network(bench, bench.job("random", 3, counts))
            again: Any = self.network(bench, bench.job("random", 3, counts))
            chosen = [
                {**dict(n.sparsity.masks.named_buffers()), **dict(n.sparsity.kept.named_buffers())}
                for n in (own, other, again)
            ]
            assert not all(torch.equal(t, chosen[1][name]) for name, t in chosen[0].items())
            # Control: with its own seed it is the same.
            assert all(torch.equal(t, chosen[2][name]) for name, t in chosen[1].items())

    def groups(self, bench: Bench) -> Any:
        network: Any = self.network(bench, replace(bench.job("searched", 0), until_epoch=1))
        return network.groups()

    def test_all_arms_begin_with_the_same_weights(self, bench: Bench) -> None:
        """Of a seed; the weights of what is dense are not drawn in another order."""
        networks = []
        for arm, counts in (("dense", None), ("searched", None), ("random", {EDGES: 1})):
            job = bench.job(arm, 7, counts)  # type: ignore[arg-type]
            torch.manual_seed(7)
            networks.append(
                dict(job.space.network(job.architecture, bench.setup.task).named_parameters())
            )
        dense, searched, random = networks
        assert all(torch.equal(value, searched[name]) for name, value in dense.items())
        assert all(torch.equal(value, random[name]) for name, value in dense.items())

    def test_without_counts_it_is_refused(self, bench: Bench) -> None:
        """A plan that says nothing of counts is a fault of the program."""
        job = bench.job("random", 0, {})
        network: Any = job.space.network(job.architecture, bench.setup.task)
        network.plan = replace(bench.setup.space.network(bench.searched, bench.setup.task).plan)  # type: ignore[type-var]
        network.plan = replace(network.plan, method="counted")
        dataset = bench.setup.dataset
        assert dataset is not None
        with pytest.raises(TypeError, match="expected a plan with counts, got Plan"):
            network.begin_epoch(1, lambda: network(dataset.x, dataset.edge_index).sum())

    def test_a_run_for_each_seed(self, bench: Bench) -> None:
        """Whatever the study averages; the control leaves it as it is."""
        options = {"epochs": 4, "seeds": 3, "folds": 2, "lr": 0.02}
        averaging = tables(
            {"method": ["granet"], **HALVES}, evaluator={"name": "training", **options}
        )
        setup = set_up(spec_from_mapping(averaging), Path())
        job = replace(bench, setup=setup).job("searched", 1)
        assert dict(job.evaluator.options) == {**options, "seeds": 1, "folds": 0}
        assert dict(bench.job("searched", 1).evaluator.options) == {"epochs": 4}


def trained(values: list[float], **left_: int) -> Arm:
    return Arm(tuple(Trained(seed, v, 10, 20, left_) for seed, v in enumerate(values)))


def compared(dense: Arm, searched: Arm, random: Arm, **named: Any) -> SparseComparison:
    about = {"study": "s", "trial": 0, "metric": "val_accuracy", "is_minimized": False, "epochs": 1}
    return SparseComparison(**{**about, **named}, dense=dense, searched=searched, random=random)


class TestArms:
    def test_there_is_none_without_random(self) -> None:
        arm = trained([0.5, 0.6], w=3)
        with pytest.raises(TypeError, match="random"):
            SparseComparison("s", 0, "val_accuracy", False, 1, arm, arm)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="random: expected an Arm, got NoneType"):
            compared(arm, arm, None)  # type: ignore[arg-type]
        assert compared(arm, arm, arm).to_json()["arms"].keys() == {"dense", "searched", "random"}

    def test_other_counts_or_seeds_are_no_control(self) -> None:
        arm = trained([0.5, 0.6], w=3, edges=4)
        with pytest.raises(UnequalArmsError, match=r"seed 0: .*, got w 3 and 2$"):
            compared(arm, arm, trained([0.5, 0.6], w=2, edges=4))
        with pytest.raises(UnequalArmsError, match="edges 4 and None"):
            compared(arm, arm, trained([0.5, 0.6], w=3))
        with pytest.raises(UnequalArmsError, match="expected all arms with the seeds"):
            compared(arm, arm, trained([0.5, 0.6, 0.7], w=3, edges=4))
        with pytest.raises(UsageError, match="at least 2"):
            compared(*3 * [trained([0.5], w=3)])

    @pytest.mark.parametrize(
        ("random", "is_minimized", "is_better"),
        [
            ([0.50, 0.61, 0.70], False, True),
            ([0.60, 0.71, 0.80], False, False),
            ([0.70, 0.81, 0.90], False, False),
            ([0.50, 0.61, 0.70], True, False),
            ([0.70, 0.81, 0.90], True, True),
        ],
    )
    def test_the_verdict_is_of_the_interval(
        self, random: list[float], is_minimized: bool, is_better: bool
    ) -> None:
        searched = trained([0.61, 0.70, 0.80])
        found = compared(searched, searched, trained(random), is_minimized=is_minimized)
        assert found.is_better_than_random == is_better
        assert found.verdict.startswith("not ") != is_better
        interval = found.searched_random.interval
        assert interval is not None
        assert interval[0] < found.searched_random.mean < interval[1]

    def test_no_difference_is_more_than_all(self) -> None:
        low, high = trained([0.1, 0.2]), trained([0.4, 0.9])
        assert compared(low, high, low).searched_dense.to_json()["interval"] == [-1.0, 1.0]
        # A control: of a metric without ends.
        free = compared(low, high, low, metric="val_other").searched_dense.interval
        assert free is not None
        assert free[1] > 1

    def test_equal_arms_are_not_better(self) -> None:
        """Nor are those that are better by the same each time: they have no spread."""
        arm = trained([0.5, 0.6])
        assert compared(arm, arm, arm).searched_random.interval == (0.0, 0.0)
        assert not compared(arm, arm, arm).is_better_than_random
        found = compared(arm, trained([0.75, 0.85]), arm)
        assert found.searched_random.interval is None
        assert "no spread" in found.verdict


def test_without_learning_nothing_is_found(tmp_path: Path) -> None:
    """At a learning rate of 0 a chosen network is a random one: the interval has 0 in it."""
    evaluator = {"name": "training", "epochs": 4, "lr": 0.0}
    study = go(tmp_path, {"method": ["random"], "weight_density": [0.5]}, evaluator=evaluator)
    found = study.compare_sparse(seeds=6)
    interval = found.searched_random.interval
    assert interval is not None
    assert interval[0] < 0 < interval[1]
    assert found.verdict == "not better than random at this density"


class TestGoingOn:
    def compare(self, study: nas.Study, to: Path, **named: Any) -> SparseComparison:
        return compare_sparse(
            "s", storage=study.storage, data_root=study.data_root, seeds=2, to=to, **named
        )

    def test_what_is_in_the_file_is_not_trained_again(self, tmp_path: Path) -> None:
        """Stopped in the third arm, it ends as if it had not been."""
        study, to = go(tmp_path, {"method": ["snip"], **HALVES}), tmp_path / "t.jsonl"
        expected = self.compare(study, tmp_path / "other.jsonl")

        def stop(done: int, wanted: int) -> None:
            assert wanted == 6
            if done == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.compare(study, to, progress=stop)
        assert [path.name for path in tmp_path.glob(".partial-*")] == []
        assert len(to.read_text().splitlines()) == 1 + 5
        seen: list[int] = []
        assert self.compare(study, to, progress=lambda done, _: seen.append(done)) == expected
        assert seen == [5, 6]

    def test_another_comparison_has_another_file(self, tmp_path: Path) -> None:
        study, to = go(tmp_path, {"method": ["snip"], **HALVES}), tmp_path / "t.jsonl"
        self.compare(study, to)
        first, *rest = to.read_text().splitlines()
        for changed, said in (
            ({**json.loads(first), "trial": 5}, r"another comparison \(trial differ\)"),
            ([], "another comparison"),
        ):
            to.write_text("\n".join([json.dumps(changed), *rest]))
            with pytest.raises(UsageError, match=said):
                self.compare(study, to)
        for text in ("", "hello", f'{first}\n{{"arm": "dense"}}'):
            to.write_text(text)
            with pytest.raises(UsageError, match="holds no trainings of nas sparse compare"):
                self.compare(study, to)
        with pytest.raises(UsageError, match="there is no folder"):
            self.compare(study, tmp_path / "none" / "t.jsonl")

    def test_a_training_that_fails_is_told_and_the_others_are_kept(self, tmp_path: Path) -> None:
        """At a learning rate that diverges; the dense arm alone is trained so here."""
        spec = spec_from_mapping(tables({"method": ["granet"], **HALVES}))
        setup = set_up(spec, tmp_path)
        searched = setup.space.fill(lambda decision: decision.choices[0], {})
        broken = Architecture(searched.space, {**dense_parent(searched).choices, "train.lr": 1e30})
        bench = Bench(setup, broken, searched, "val_accuracy", f"file://{tmp_path / 'c'}")
        rows = Rows(tmp_path / "t.jsonl", {})
        training = Training(bench, rows, [1, 2], lambda *_: None, lambda _: None)
        with pytest.raises(SparseTrainingError, match="dense, seed 1: divergence"):
            training.run()
        assert [*rows.trained] == [("searched", 1), ("searched", 2)]


class TestRefused:
    def test_nothing_is_sparse(self, tmp_path: Path) -> None:
        study = go(tmp_path, None)
        with pytest.raises(UsageError, match=r"trial 0 .* without \[extension.sparsity\]"):
            study.compare_sparse(0)
        with pytest.raises(UsageError, match="no complete, feasible trial of which anything was"):
            study.compare_sparse()

    def test_a_dense_trial(self, tmp_path: Path) -> None:
        """The best is then the first that is not."""
        sparsity = {"method": ["snip"], "weight_density": [1.0, 0.5]}
        study = go(tmp_path, sparsity, budget={"trials": 2})
        found = [trial.architecture for trial in study.trials()]
        densities = [one.choices["sparsity.weight_density"] for one in found if one is not None]
        assert {*densities} == {0.5, 1.0}
        with pytest.raises(UsageError, match="is dense already"):
            study.compare_sparse(densities.index(1.0))
        assert study.compare_sparse(seeds=2).trial == densities.index(0.5)

    def test_nothing_is_left_out(self, tmp_path: Path) -> None:
        """Of one head; the record of the trial says so, too. The control is one of four heads."""
        one_head = {"operators": ["gat"], "heads": [1]}
        heads = {"method": ["snip"], "weight_density": [0.5], "structure": ["heads"]}
        study = go(tmp_path, heads, space=one_head)
        (record,) = Store(study.storage).trials("s")
        assert "nothing is left out of this network" in record.evaluated["sparsity"]
        with pytest.raises(UsageError, match="nothing is left out of this network"):
            study.compare_sparse(0)
        with pytest.raises(UsageError, match="no complete, feasible trial of which anything"):
            study.compare_sparse()
        (tmp_path / "four").mkdir()
        many = go(tmp_path / "four", heads, space=GAT)
        (record,) = Store(many.storage).trials("s")
        assert "sparsity" not in record.evaluated

    def test_a_schedule_that_does_not_end(self, tmp_path: Path) -> None:
        """The study itself is refused, so there is nothing to compare."""
        with pytest.raises(UsageError, match="expected more than 4, before which networks"):
            go(tmp_path, {"method": ["granet"], "over_epochs": [4], **HALVES})

    def test_graphs(self, tmp_path: Path) -> None:
        space = {"output": None, "readout": ["mean"]}
        made = tables(
            {"method": ["snip"], "weight_density": [0.5]},
            dataset={"name": "digits_pixels", "graphs": 40},
        )
        made["space"] = {k: v for k, v in {**SPACE, **space}.items() if v is not None}
        study = nas.search(made, storage=f"sqlite:///{tmp_path}/nas.db", data_root=tmp_path)
        with pytest.raises(UsageError, match="classifies graphs"):
            study.compare_sparse()

    @pytest.mark.parametrize("seeds", [1, 0])
    def test_too_few_seeds(self, tmp_path: Path, seeds: int) -> None:
        with pytest.raises(UsageError, match="at least 2"):
            compare_sparse("s", storage="sqlite://", data_root=tmp_path, seeds=seeds)


def test_the_study_that_is_shipped_runs(tmp_path: Path) -> None:
    """With few epochs and trials; its front has bytes of sparse networks."""
    made = tomllib.loads((ROOT / "studies" / "sparse_digits.toml").read_text())
    made["study"]["name"] = "sparse_digits"
    made["evaluator"]["epochs"] = 3
    made["extension"]["sparsity"]["over_epochs"] = [2]
    made["budget"]["trials"] = 4
    made["executor"] = {"name": "inline"}
    study = nas.search(made, storage=f"sqlite:///{tmp_path}/nas.db", data_root=tmp_path)
    assert [t.state for t in study.trials()] == 4 * ["complete"]
    assert all(t.metrics["model_bytes"] > 0 for t in study.front())
    decided = {name for t in study.trials() if t.architecture for name in t.architecture.choices}
    assert {"sparsity.method", "sparsity.weight_density", "layer0.operator"} <= decided
    assert Store(study.storage).status("sparse_digits").trials.complete == 4


def test_a_space_of_counts_is_a_value() -> None:
    """It travels to worker processes."""
    import pickle

    setup = set_up(spec_from_mapping(tables({"method": ["granet"], **HALVES})), Path())
    space = counted(setup.space, {"w": 3})
    again = pickle.loads(pickle.dumps(space))  # noqa: S301
    assert again.name == space.name == "gnn+sparsity+counted"
    assert again.extensions[-1].transform.args[0] == {"w": 3}
