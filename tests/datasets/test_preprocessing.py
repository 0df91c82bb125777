"""Laws of the options that every dataset accepts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.datasets import DatasetError, RawDataset, load, preprocess, preprocess_graph
from search_spaces.errors import PluginError
from search_spaces.plugins import Plugin


@st.composite
def raws(draw) -> RawDataset:
    """Node tasks of 6 to 30 nodes with whole numbers as features, random edges and labels."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    nodes, edges = draw(st.integers(6, 30)), draw(st.integers(0, 60))
    split = torch.arange(nodes) % 3
    return RawDataset(
        name="random",
        kind="node_classification",
        x=torch.randint(10, (nodes, draw(st.integers(1, 5))), generator=generator).float(),
        edge_index=torch.randint(nodes, (2, edges), generator=generator),
        y=torch.arange(nodes) // 3 % 2,
        train=split == 0,
        val=split == 1,
        test=split == 2,
        n_classes=2,
    )


@settings(max_examples=40)
@given(raws())
def test_rows_sum_to_one(raw):
    """Each row is divided by its sum; a row of zeros stays."""
    raw.x[0] = 0
    x = preprocess(raw, normalize="row").x
    torch.testing.assert_close(x.sum(1), (raw.x.sum(1) > 0).float())
    assert (x[0] == 0).all()


@settings(max_examples=40)
@given(raws())
def test_training_nodes_are_standardized_and_no_others_looked_at(raw):
    """Mean 0, deviation 1 (0 if constant) in training; test features do not change the moments."""
    dataset = preprocess(raw, normalize="standardize")
    x = dataset.x[raw.train]
    torch.testing.assert_close(x.mean(0), torch.zeros(x.size(1)), atol=1e-4, rtol=0)
    varies = (raw.x[raw.train].std(0) > 0).float()
    torch.testing.assert_close(x.std(0, correction=0), varies, atol=1e-4, rtol=0)
    shifted = raw.x.clone()
    shifted[raw.test] += 100
    other = preprocess(replace(raw, x=shifted), normalize="standardize")
    assert torch.equal(other.preprocessing.mean, dataset.preprocessing.mean)
    assert torch.equal(other.preprocessing.std, dataset.preprocessing.std)


@settings(max_examples=40)
@given(raws())
def test_undirected_is_symmetric_and_idempotent(raw):
    """Each edge has its reverse, none is there twice, none is new; once more changes nothing."""
    dataset = preprocess(raw, undirected=True)
    edges = list(map(tuple, dataset.edge_index.T.tolist()))
    given_edges = set(map(tuple, raw.edge_index.T.tolist()))
    assert set(edges) == given_edges | {(b, a) for a, b in given_edges}
    assert len(edges) == len(set(edges))
    again = preprocess(replace(raw, edge_index=dataset.edge_index), undirected=True)
    assert torch.equal(again.edge_index, dataset.edge_index)


@settings(max_examples=20)
@given(raws(), st.sampled_from(["none", "row", "standardize"]), st.booleans())
def test_a_graph_to_predict_on_is_prepared_alike(raw, normalize, undirected):
    """The same graph, brought again, gives the same numbers."""
    dataset = preprocess(raw, normalize=normalize, undirected=undirected)
    x, edge_index = preprocess_graph(raw.x, raw.edge_index, dataset.preprocessing)
    assert torch.equal(x, dataset.x)
    assert torch.equal(edge_index, dataset.edge_index)


def test_edges_are_kept_as_they_are(node_raw):
    """Without `undirected`, doubles and self-loops stay."""
    edges = torch.tensor([[0, 0, 3], [1, 1, 3]])
    assert torch.equal(preprocess(replace(node_raw, edge_index=edges)).edge_index, edges)


def test_standardizing_a_constant_column_only_shifts_it(node_raw):
    """No division by zero."""
    x = torch.full_like(node_raw.x, 7.3)
    x[9] = 8.3
    prepared = preprocess(replace(node_raw, x=x), normalize="standardize").x
    torch.testing.assert_close(prepared[0], torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(prepared[9], torch.ones(2), atol=1e-5, rtol=0)


def test_standardize_of_a_graph_task_takes_the_nodes_of_training_graphs(graph_raw):
    """Nodes 0 to 3 are in the two training graphs."""
    preprocessing = preprocess(graph_raw, normalize="standardize").preprocessing
    assert preprocessing.mean.tolist() == [1.5]


def test_row_normalization_of_negative_features_is_refused(node_raw):
    """A sum near zero would blow up."""
    x = node_raw.x.clone()
    x[4, 1] = -1
    with pytest.raises(DatasetError, match=r"got -1\.0 in row 4, column 1; use normalize"):
        preprocess(replace(node_raw, x=x), normalize="row")


def test_another_number_of_features_is_refused(node_raw):
    """A graph to predict on has as many columns as the training graph."""
    preprocessing = preprocess(node_raw, normalize="standardize").preprocessing
    with pytest.raises(DatasetError, match="expected 2 features, got 3 columns"):
        preprocess_graph(torch.ones(4, 3), node_raw.edge_index[:, :0], preprocessing)


def test_class_weights_balance_the_training_labels(node_raw):
    """Each class weighs as much in all: 1 of class 1 counts as 3 of class 0."""
    train = node_raw.train.clone()
    train[1], train[3], train[8] = False, True, True
    raw = replace(node_raw, train=train, test=node_raw.test & ~train)
    dataset = preprocess(raw, class_weights=True)
    torch.testing.assert_close(dataset.class_weights, torch.tensor([4 / 6, 2.0]))
    assert preprocess(raw).class_weights is None


def test_each_option_is_in_the_fingerprint(node_raw):
    """Two preparations of one graph are two datasets."""
    options = [
        {},
        {"normalize": "row"},
        {"normalize": "standardize"},
        {"undirected": True},
        {"class_weights": True},
        {"metric": "macro_f1"},
    ]
    assert len({preprocess(node_raw, **o).fingerprint for o in options}) == len(options)
    assert preprocess(node_raw, metric="accuracy").fingerprint == preprocess(node_raw).fingerprint


def test_an_unknown_option_is_refused():
    """With the nearest one, be it the plug-in's own or a common one."""
    with pytest.raises(PluginError, match='no option "normalise"; did you mean "normalize"'):
        load(Plugin("digits_knn", {"normalise": "row"}), Path())
    with pytest.raises(PluginError, match='did you mean "neighbors"'):
        load(Plugin("digits_knn", {"neighbours": 3}), Path())
