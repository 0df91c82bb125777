"""Graphs that cannot be used: each has its message, with the numbers."""

import warnings
from dataclasses import replace

import pytest
import torch

from evaluators.datasets import DatasetError, preprocess
from evaluators.datasets._checks import DatasetWarning
from search_spaces.errors import UsageError


def changed(tensor, place, value):
    tensor = tensor.clone()
    tensor[place] = value
    return tensor


NODE = {
    "edge out of range": (
        lambda r: {"edge_index": changed(r.edge_index, (1, 3), 12)},
        r"1 entries outside the 10 nodes 0 to 9; the first is node 12, the target of edge 3",
    ),
    "negative edge": (
        lambda r: {"edge_index": changed(r.edge_index, (0, 0), -1)},
        r"the first is node -1, the source of edge 0",
    ),
    "transposed edges": (
        lambda r: {"edge_index": r.edge_index.T.contiguous()},
        r"two rows, source and target, got shape \[9, 2\]; is it transposed",
    ),
    "edges of floats": (
        lambda r: {"edge_index": r.edge_index.float()},
        r"edge_index must be int64 of shape \[2, E\], got float32",
    ),
    "x of doubles": (lambda r: {"x": r.x.double()}, r"x must be float32 .* got float64"),
    "x without columns": (lambda r: {"x": r.x[:, :0]}, r"x has no columns"),
    "nan": (
        lambda r: {"x": changed(r.x, ([2, 4], [1, 0]), torch.nan)},
        r"x has 2 values that are NaN or infinite, the first in row 2, column 1",
    ),
    "infinities of both signs": (
        lambda r: {"x": changed(changed(r.x, (3, 0), torch.inf), (5, 1), -torch.inf)},
        r"x has 2 values .* row 3, column 0",
    ),
    "labels of another length": (lambda r: {"y": r.y[:-1]}, r"9 labels, but x has 10 nodes"),
    "label too large": (
        lambda r: {"y": changed(r.y, 5, 2)},
        r"1 labels are outside the 2 classes 0 to 1, the first is 2 of node 5",
    ),
    "label too small": (lambda r: {"y": changed(r.y, 9, -7)}, r"the first is -7 of node 9"),
    "one class": (
        lambda r: {"y": r.y.clamp(max=0), "n_classes": 1},
        r"two classes or more, got 1",
    ),
    "classes with gaps": (
        lambda r: {"y": changed(r.y, 5, 10**12), "n_classes": 10**12 + 1},
        r"1000000000001 classes for 10 nodes; number the classes .* without gaps",
    ),
    "mask of integers": (
        lambda r: {"val": r.val.long()},
        r"the val mask must be bool .* got int64",
    ),
    "mask too short": (lambda r: {"test": r.test[:-2]}, r"the test mask has 8 entries for 10"),
    "overlap": (
        lambda r: {"test": changed(r.test, 5, True)},
        r"the val and test masks overlap in 1 nodes, the first is node 5",
    ),
    "train overlap": (
        lambda r: {"val": r.train},
        r"the train and val masks overlap in 4 nodes, the first is node 0",
    ),
    "empty train": (lambda r: {"train": r.train & False}, r"the train mask is empty"),
    "empty val": (lambda r: {"val": r.val & False}, r"the val mask is empty"),
    "training node without label": (
        lambda r: {"train": changed(r.train, 9, True)},
        r"1 nodes of the train mask have no label, the first is node 9",
    ),
    "graph_ids in a node task": (
        lambda r: {"graph_ids": torch.zeros_like(r.y)},
        r"node task has none, got node_classification with",
    ),
    "validation by one class": (
        lambda r: {"val": changed(r.val, 5, False)},
        r"the val mask has class 0 alone",
    ),
}
GRAPH = {
    "descending": (
        lambda r: {"graph_ids": changed(r.graph_ids, 4, 0)},
        r"must ascend .* node 4 is of graph 0 after one of graph 1",
    ),
    "more graphs than labels": (
        lambda r: {"graph_ids": changed(r.graph_ids, 11, 6)},
        r"reach from 0 to 6, but y has labels for the 6 graphs 0 to 5",
    ),
    "of another length": (
        lambda r: {"graph_ids": r.graph_ids[:-1]},
        r"11 entries, but x has 12 nodes",
    ),
    "edge between graphs": (
        lambda r: {"edge_index": changed(r.edge_index, (1, 2), 6)},
        r"1 edges join different graphs, the first is edge 2 from graph 2 to graph 3",
    ),
    "a node task": (
        lambda r: {"graph_ids": None, "y": r.y},
        r"got graph_classification without graph_ids",
    ),
}


@pytest.mark.parametrize("case", NODE)
def test_bad_node_tasks_are_refused(node_raw, case):
    """One message each, with the name of the dataset."""
    change, message = NODE[case]
    with pytest.raises(DatasetError, match=message) as caught:
        preprocess(replace(node_raw, **change(node_raw)))
    assert str(caught.value).startswith("path: ")
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize("case", GRAPH)
def test_bad_graph_tasks_are_refused(graph_raw, case):
    """One message each."""
    change, message = GRAPH[case]
    with pytest.raises(DatasetError, match=message):
        preprocess(replace(graph_raw, **change(graph_raw)))


def test_what_is_unusual_but_fine_passes(node_raw, graph_raw):
    """No edges, no test split, graphs without nodes; and the controls, without a warning."""
    none = torch.empty(2, 0, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preprocess(node_raw)
        preprocess(graph_raw)
        preprocess(replace(node_raw, edge_index=none, test=node_raw.test & False))
        nodes = torch.empty(0, dtype=torch.int64)
        preprocess(replace(graph_raw, x=torch.empty(0, 1), edge_index=none, graph_ids=nodes))


def test_a_class_without_training_example_is_a_warning(node_raw):
    """The search can go on."""
    train = node_raw.train & (node_raw.y == 0)
    with pytest.warns(DatasetWarning, match="1 of 2 classes have no training example: 1"):
        preprocess(replace(node_raw, train=train))
