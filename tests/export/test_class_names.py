"""Classes keep the names that they have in the user's files."""

import csv
import io
from pathlib import Path

import nas
from nas.predict import predict
from search_spaces.plugins import Plugin

NAMES = ("cat", "dog")


def _write_graph(folder: Path) -> Plugin:
    with (folder / "nodes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "split", "weight"])
        for node in range(30):
            split = ("train", "val", "test")[node % 3]
            writer.writerow([f"n{node}", NAMES[node % 2], split, 1.0 if node % 2 else -1.0])
    edges = "".join(f"n{node},n{node + 2}\n" for node in range(28))
    (folder / "edges.csv").write_text(f"source,target\n{edges}")
    files = {"nodes": str(folder / "nodes.csv"), "edges": str(folder / "edges.csv")}
    return Plugin("graph_file", files)


def test_predictions_are_called_what_the_labels_are(tmp_path: Path) -> None:
    dataset = _write_graph(tmp_path)
    study = nas.search(
        {
            "study": {"name": "pets"},
            "space": {"name": "gnn", "depth": [1], "operators": ["linear"], "width": [4]},
            "dataset": {"name": dataset.name, **dataset.options},
            "strategy": {"name": "random"},
            "evaluator": {"name": "training", "epochs": 40, "lr": 0.1, "dropout": 0.0},
            "budget": {"trials": 2},
        },
        storage=f"sqlite:///{tmp_path}/nas.db",
    )
    manifest = study.export(tmp_path / "bundle")
    assert manifest["contract"]["class_names"] == list(NAMES)
    assert "`cat`, `dog`" in (tmp_path / "bundle" / "README.md").read_text()
    found = predict(tmp_path / "bundle", dataset=dataset, data_root=tmp_path)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["prediction"] for row in rows] == [NAMES[node % 2] for node in range(30)]
    assert set(rows[0]) == {"node", "prediction", "probability_cat", "probability_dog"}
