"""Your own graph as two CSV files: search, confirm, export, and predict what has no label.

    python examples/own_csv_graph.py                            # needs no download

The table is scikit-learn's breast cancer data: 569 tumors, 30 measurements of each, benign or
malignant. It is written as a graph: tumors are nodes, each joined to those most like it. Three
in ten get no label, as if their diagnosis were not known yet.
"""

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import StandardScaler

import nas
from nas.predict import predict
from search_spaces.plugins import Plugin

NEIGHBORS, UNKNOWN = 6, 0.3


def write_graph(folder: Path) -> dict[str, str]:
    """nodes.csv and edges.csv; returns {id: name of the class} of the nodes without a label.

    This is the part to replace: any program that writes these two files will do.
    """
    table = load_breast_cancer()
    names = [str(table.target_names[kind]) for kind in table.target]
    unknown = np.random.default_rng(0).random(len(names)) < UNKNOWN
    columns = [name.replace(" ", "_") for name in table.feature_names]
    with (folder / "nodes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", *columns])
        for i, row in enumerate(table.data):
            writer.writerow([f"tumor{i}", "" if unknown[i] else names[i], *map(float, row)])
    near = kneighbors_graph(StandardScaler().fit_transform(table.data), NEIGHBORS).tocoo()
    with (folder / "edges.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "target"])
        writer.writerows(
            (f"tumor{i}", f"tumor{j}") for i, j in zip(near.row, near.col, strict=True)
        )
    return {f"tumor{i}": names[i] for i in np.flatnonzero(unknown)}


def study_of(folder: Path, trials: int) -> dict[str, Any]:
    """The tables of a study file, as Python: see studies/own_graph.toml for the same as a file."""
    return {
        "study": {
            "name": "tumors",
            "objectives": {"val_macro_f1": "maximize", "params": "minimize"},
        },
        "space": {
            "name": "gnn",
            "depth": [1, 2],
            # `linear` ignores the edges. If it wins, the graph does not help.
            "operators": ["gcn", "gat", "sage", "linear"],
            "width": [8, 16, 32],
            "dropout": [0.2, 0.5],
        },
        "dataset": {
            "name": "graph_file",
            "nodes": str(folder / "nodes.csv"),
            "edges": str(folder / "edges.csv"),
            # The labeled nodes are split at random, as the files say nothing of a split.
            "train_ratio": 0.5,
            "val_ratio": 0.25,
            "normalize": "standardize",
            "undirected": True,
            "metric": "macro_f1",
            "license": "CC BY 4.0 (UCI Machine Learning Repository, Breast Cancer Wisconsin)",
        },
        "strategy": {"name": "nsga2", "population": 8},
        "evaluator": {"name": "training", "epochs": 60, "patience": 20},
        "budget": {"trials": trials},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--out", type=Path, help="a new folder; by default a temporary one")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="tumors-"))
    out.mkdir(parents=True, exist_ok=True)

    print("1. Write the graph")
    truth = write_graph(out)
    print(f"   {out}/nodes.csv, edges.csv; {len(truth)} tumors have no label")

    print(f"2. Search, {options.trials} trials: good in macro F1, and small")
    tables = study_of(out, options.trials)
    study = nas.search(tables, storage=f"sqlite:///{out / 'nas.db'}")
    for trial in study.front():
        f1, params = trial.metrics["val_macro_f1"], trial.metrics["params"]
        choices = trial.to_json()["decisions"]
        layers = [str(choices[f"layer{i}.operator"]) for i in range(int(choices["depth"]))]
        print(
            f"   trial {trial.number:3}: {f1:.3f}, {params:6,.0f} parameters, {' -> '.join(layers)}"
        )

    print("3. Confirm the best three on five fresh seeds; only now is test measured")
    best, *_ = study.confirm(top=3, seeds=5)
    value = best.metrics["test_macro_f1"]
    print(f"   trial {best.trial}: test macro F1 {value['mean']:.3f} +- {value['stderr']:.3f}")

    print("4. Export it, and predict what has no label, from the same two files")
    study.export(out / "bundle", best.trial)
    (out / "network.svg").write_text(study.draw(best.trial), encoding="utf-8")
    graph = {name: tables["dataset"][name] for name in ("nodes", "edges")}
    predictions = predict(
        out / "bundle", dataset=Plugin("graph_file", graph), data_root=Path("data")
    )
    said = [predictions.classes[column] for column in predictions.probabilities.argmax(dim=1)]
    # Rows are in the order of nodes.csv.
    right = sum(said[int(name.removeprefix("tumor"))] == kind for name, kind in truth.items())
    print(f"   {right} of {len(truth)} diagnoses are right ({right / len(truth):.3f}); the same as")
    print(f"   nas predict {out}/bundle --dataset ... (see nas predict --help)")
    print(f"   everything is in {out}: nas.db, bundle/, network.svg")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
