"""`nas predict`: a bundle on a graph in a file, and on a dataset."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.datasets import load
from nas.export._manifest import Provenance
from nas.export.bundle import write_bundle
from nas.export.load import load_bundle
from nas.predict import predict
from search_spaces import Architecture, UsageError
from search_spaces.plugins import Plugin


def _graph(path: Path, **changed: Any) -> Path:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.random((5, 6)), "edge_index": np.array([[0, 1, 3, 0], [1, 2, 4, 1]])}
    np.savez(path, **(arrays | changed))
    return path


def test_a_graph_from_a_file(node_bundle: Path, tmp_path: Path) -> None:
    """Types are converted, edges mirrored and made unique, labels not needed."""
    path = _graph(tmp_path / "graph.npz")
    rows = predict(node_bundle, input=path, data_root=tmp_path).rows()
    x = torch.from_numpy(np.load(path)["x"]).float()
    edge_index = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
    expected = load_bundle(node_bundle).probabilities(x, edge_index)
    assert [row["node"] for row in rows] == list(range(5))
    assert [row["prediction"] for row in rows] == expected.argmax(1).tolist()
    got = torch.tensor([[row[f"probability_{c}"] for c in range(3)] for row in rows])
    torch.testing.assert_close(got, expected)


def test_graphs_from_a_file(graph_bundle: Path, tmp_path: Path) -> None:
    """One row for each graph, and the CSV says the same as the rows."""
    path = _graph(tmp_path / "graphs.npz", graph_ids=np.array([0, 0, 0, 2, 2]))
    predictions = predict(graph_bundle, input=path, data_root=tmp_path)
    rows = predictions.rows()
    assert [row["graph"] for row in rows] == [0, 1, 2]
    read = list(csv.DictReader(io.StringIO(predictions.to_csv())))
    assert list(read[0]) == list(rows[0])
    assert [int(row["prediction"]) for row in read] == [row["prediction"] for row in rows]
    assert float(read[2]["probability_1"]) == pytest.approx(rows[2]["probability_1"], rel=1e-5)


def test_what_cannot_be_predicted_is_refused(
    node_bundle: Path, graph_bundle: Path, tmp_path: Path
) -> None:
    """Files and graphs that do not fit, and a question without a graph."""
    good = _graph(tmp_path / "good.npz")
    (tmp_path / "text.npz").write_text("x")
    for bundle, path, reason in [
        (node_bundle, tmp_path / "absent.npz", "absent"),
        (node_bundle, tmp_path / "text.npz", "text.npz"),
        (node_bundle, _graph(tmp_path / "few.npz", x=np.zeros((5, 4))), "expected 6 features"),
        (node_bundle, _graph(tmp_path / "far.npz", edge_index=np.array([[0], [9]])), "outside"),
        (node_bundle, _graph(tmp_path / "o.npz", x=np.array([[object()] * 6] * 5)), "o.npz"),
        (graph_bundle, good, "give graph_ids"),
        (tmp_path, good, "not a bundle"),
    ]:
        with pytest.raises(UsageError, match=reason):
            predict(bundle, input=path, data_root=tmp_path)
    for both in ({}, {"input": good, "dataset": Plugin("digits_knn")}):
        with pytest.raises(UsageError, match="expected either"):
            predict(node_bundle, **both, data_root=tmp_path)


class Linear(nn.Module):
    """Looks at neighbors once, so that missing directions of edges would show."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, n_classes)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        hidden = self.linear(x)
        return hidden.index_add(0, edge_index[1], hidden[edge_index[0]])


@pytest.mark.parametrize("normalize", ["row", "standardize"])
def test_a_dataset_is_prepared_by_the_bundle_alone(normalize: str, tmp_path: Path) -> None:
    """Whatever its own options say, predictions are those of the network on the prepared graph."""
    options = {"normalize": normalize, "undirected": True}
    dataset = load(Plugin("digits_knn", options), tmp_path)
    network = Linear(dataset.task.n_features, dataset.task.n_classes)
    write_bundle(
        tmp_path / "bundle",
        network=network,
        architecture=Architecture("made", {"depth": 1}),
        task=dataset.task,
        preprocessing=dataset.preprocessing,
        provenance=Provenance(),
    )
    expected = network(dataset.x, dataset.edge_index).softmax(1)
    for plugin in (Plugin("digits_knn"), Plugin("digits_knn", options)):
        got = predict(tmp_path / "bundle", dataset=plugin, data_root=tmp_path)
        torch.testing.assert_close(got.probabilities, expected, atol=1e-4, rtol=0)


def test_a_dataset_of_another_kind_is_refused(graph_bundle: Path, tmp_path: Path) -> None:
    """A bundle for graphs cannot say anything about nodes."""
    with pytest.raises(UsageError, match="is for graph_classification"):
        predict(graph_bundle, dataset=Plugin("digits_knn"), data_root=tmp_path)
