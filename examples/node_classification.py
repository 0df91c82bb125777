"""Node classification under a latency bound: profile, search, confirm, export, use.

    python examples/node_classification.py                      # images of digits; no download
    python examples/node_classification.py --cora data          # Cora, downloaded into data/

The digits are scikit-learn's 1,797 images, each a node joined to its eight nearest; five of each
digit have a label. That is few, so the edges matter: neighbors are mostly the same digit.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nas
from evaluators.datasets import load
from nas.latency.measure import measure_bundle
from nas.latency.profiles import make_profile, study_plan
from nas.spec import spec_from_mapping
from nas.study import check
from search_spaces.plugins import Plugin

DIGITS = {"name": "digits_knn", "labels_per_class": 5}
CORA = {"name": "planetoid", "subset": "Cora", "normalize": "row"}


def study_of(dataset: dict[str, Any], trials: int) -> dict[str, Any]:
    """The tables of a study file, as Python: see docs/study_file.md for every key."""
    return {
        "study": {
            "name": "nodes",
            # The most important first. With two objectives the result is a front.
            "objectives": {"val_accuracy": "maximize", "latency_ms": "minimize"},
        },
        # What may be decided. A list is the choices of one decision.
        "space": {
            "name": "gnn",
            "depth": [1, 2, 3],
            "operators": ["gcn", "gat", "sage", "linear"],
            "width": [8, 16, 32, 64],
            "dropout": [0.2, 0.5],
        },
        "dataset": dataset,
        "strategy": {"name": "nsga2", "population": 8},
        "evaluator": {"name": "training", "epochs": 60, "lr": 0.01},
        # At 15 epochs one trial in two goes on: the others would not have become the best.
        "halving": {"epochs": [15], "reduction": 2},
        "budget": {"trials": trials},
    }


def profiled(tables: dict[str, Any], data_root: Path, folder: Path, seconds: float) -> Path:
    """Time networks of this space on this device, so that others can be predicted.

    A few seconds make a rough profile. For a device that matters: `nas latency profile`, ten
    minutes, with the machine idle.
    """
    # Without the metric that there is no profile for yet.
    known = {**tables, "study": {"name": "nodes"}}
    plan = study_plan(spec_from_mapping(known, "the example"), data_root)
    # On a slow or busy device the first seconds may be too few; the same call goes on.
    while not make_profile("here", plan=plan, minutes=seconds / 60, folder=folder).metrics:
        print("   too few samples yet: going on")
    return folder / "here.npz"


def half_of_all(tables: dict[str, Any], data_root: Path, storage: str) -> float:
    """The latency that half of the space's networks keep, in milliseconds, as predicted.

    Each prediction is an interval, and a bound is kept by its upper end: the rougher the profile,
    the more that leaves out.
    """
    setup = check(spec_from_mapping(tables, "the example"), storage=storage, data_root=data_root)
    rng = np.random.default_rng(0)
    drawn = [setup.facts(setup.space.sample(rng))["latency_high_ms"] for _ in range(50)]
    return statistics.median(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cora", type=Path, metavar="DIR", help="use Cora, from this data root")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--bound-ms", type=float, help="by default what half of the space keeps")
    parser.add_argument("--profile-seconds", type=float, default=8)
    parser.add_argument("--out", type=Path, help="a new folder; by default a temporary one")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="nodes-"))
    data_root, storage = options.cora or Path("data"), f"sqlite:///{out / 'nas.db'}"
    tables = study_of(CORA if options.cora else DIGITS, options.trials)

    print(f"1. Profile this device, {options.profile_seconds:.0f} s")
    out.mkdir(parents=True, exist_ok=True)
    profile = profiled(tables, data_root, out, options.profile_seconds)
    tables["latency"] = {"device": str(profile)}
    bound = options.bound_ms or half_of_all(tables, data_root, storage)
    # A bound on what is predicted is decided before training: what breaks it costs nothing.
    tables["study"]["constraints"] = [f"latency_ms <= {bound:.3f}"]

    print(f"2. Search networks that take at most {bound:.2f} ms, {options.trials} trials")
    study = nas.search(tables, storage=storage, data_root=data_root)
    counts = study.status().trials
    print(f"   {counts.complete} trained to the end, {counts.pruned} pruned by halving,")
    print(f"   {counts.infeasible} too slow, and so never trained")
    print("   The front (latency as measured, when the search had ended):")
    for trial in study.front():
        accuracy, latency = trial.settled["val_accuracy"], trial.settled["latency_ms"]
        print(f"   trial {trial.number:3}: validation accuracy {accuracy:.3f}, {latency:.2f} ms")
    if not study.front():
        print("   It is empty: nothing keeps the bound as measured. Try a larger --bound-ms.")
        return

    print("3. Confirm the best two on three fresh seeds; only now is test measured")
    best, *_ = study.confirm(top=2, seeds=3)
    test = best.metrics["test_accuracy"]
    print(f"   trial {best.trial}: test accuracy {test['mean']:.3f} +- {test['stderr']:.3f}")

    print("4. Export it: a program that needs torch alone, and prepares its features itself")
    study.export(out / "bundle", best.trial)
    (out / "network.svg").write_text(study.draw(best.trial), encoding="utf-8")
    bundle = nas.load_bundle(out / "bundle")
    (measured,) = measure_bundle(out / "bundle")
    print(f"   it takes {measured.timing.latency_ms:.2f} ms here, preparation included")

    print(
        "5. Use it, as any program could: raw features and edges in, one row of scores a node out"
    )
    own = {key: value for key, value in tables["dataset"].items() if key != "normalize"}
    data = load(Plugin(own.pop("name"), own), data_root)
    sure, predicted = bundle.probabilities(data.x, data.edge_index).max(dim=1)
    right = predicted[data.test] == data.y[data.test]
    print(
        f"   {int(right.sum())} of {len(right)} test nodes are right ({right.float().mean():.3f})."
    )
    certain = sure[data.test] > 0.9
    print(f"   Of the {int(certain.sum())} that it is at least 90 % sure of, ", end="")
    print(f"{int(right[certain].sum())} are right.")
    print(f"   everything is in {out}: nas.db, bundle/, network.svg, here.npz")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
