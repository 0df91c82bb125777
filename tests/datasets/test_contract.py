"""What every dataset plug-in keeps, found with the program's own function."""

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from evaluators import artifacts
from evaluators.datasets import (
    DatasetError,
    RawDataset,
    load,
    load_prepared,
    prepare,
    save_graph,
    save_prepared,
)
from evaluators.datasets._load import COMMON
from search_spaces import plugins
from search_spaces.plugins import Plugin

EMBEDDED = {"digits_knn", "digits_pixels", "graph_file"}
TENSORS = ("x", "edge_index", "y", "train", "val", "test", "graph_ids", "class_weights")


@pytest.fixture(scope="module", params=plugins.names("dataset"))
def plugin(request, tmp_path_factory, node_raw) -> Plugin:
    if request.param != "graph_file":
        return Plugin(request.param)
    place = tmp_path_factory.mktemp("own") / "graph.npz"
    save_graph(place, node_raw)
    return Plugin("graph_file", {"path": str(place)})


@pytest.fixture(scope="module")
def root(request, plugin):
    return Path("nowhere") if plugin.name in EMBEDDED else request.getfixturevalue("linked_root")


@pytest.fixture(scope="module")
def raw(plugin, root) -> RawDataset:
    try:
        return plugins.load("dataset", plugin.name).build(root, **plugin.options)
    except DatasetError as error:
        if "is not there" in str(error):
            pytest.skip(f"the public graphs here have no {plugin.name}")
        raise


def test_a_plugin_takes_the_root_and_documents_its_options(plugin):
    """One positional parameter; options typed, documented, and apart from the common ones."""
    build = plugins.load("dataset", plugin.name).build
    first, *_ = inspect.signature(build).parameters.values()
    assert first.name == "root"
    own = plugins.options("dataset", plugin.name)
    assert not set(own) & set(COMMON)
    for name, option in own.items():
        assert option.annotation is not inspect.Parameter.empty
        assert option.default is not inspect.Parameter.empty
        assert name in build.__doc__
    assert plugins.summary("dataset", plugin.name).endswith((".", "?", ")"))


def test_splits_are_disjoint_and_labeled(raw):
    """No node or graph is in two splits, and all in one have a label of the classes."""
    total = raw.train.int() + raw.val.int() + raw.test.int()
    assert int(total.max()) == 1
    assert raw.train.any()
    assert raw.val.any()
    labels = raw.y[total.bool()]
    assert 0 <= int(labels.min()) <= int(labels.max()) < raw.n_classes


@pytest.mark.filterwarnings("ignore::evaluators.datasets._checks.DatasetWarning")
def test_the_fingerprint_is_of_the_content(plugin, root, raw):
    """Equal for two loads, another one when a label, an edge, a feature or a mask changes."""
    loaded = load(plugin, root)
    assert loaded.fingerprint == prepare(raw).fingerprint
    unit = int(raw.test.nonzero()[0])
    for change in ("y", "x", "edge_index", "test"):
        changed = getattr(raw, change).clone()
        if change == "y":
            changed[unit] = (changed[unit] + 1) % raw.n_classes
        elif change == "test":
            changed[unit] = False
        elif change == "x":
            changed[-1, -1] += 1
        else:
            changed = changed[:, :-1]
        assert prepare(replace(raw, **{change: changed})).fingerprint != loaded.fingerprint, change


@pytest.mark.filterwarnings("ignore::evaluators.datasets._checks.DatasetWarning")
def test_the_seal_takes_the_test_labels_and_nothing_else(raw):
    """After sealing the test labels are -1; all others, and the fingerprint, are as before."""
    dataset = prepare(raw)
    sealed = dataset.seal()
    assert (sealed.y[raw.test] == -1).all()
    assert torch.equal(sealed.y[~raw.test], raw.y[~raw.test])
    assert sealed.task == dataset.task
    assert torch.equal(dataset.y, raw.y), "the dataset that is sealed keeps its own labels"


@pytest.mark.filterwarnings("ignore::evaluators.datasets._checks.DatasetWarning")
def test_a_prepared_file_holds_the_sealed_dataset(raw, tmp_path):
    """Reading gives what was written; test labels are neither in the file nor change its bytes."""
    store = artifacts.store_url(tmp_path / "store")
    dataset = prepare(raw, normalize="standardize", class_weights=True)
    with pytest.raises(ValueError, match="sealed"):
        save_prepared(dataset, store)
    sealed = dataset.seal()
    artifact = save_prepared(sealed, store)
    read = load_prepared(artifact)
    for name in TENSORS:
        one, other = getattr(sealed, name), getattr(read, name)
        assert one is other is None or torch.equal(one, other), name
    assert torch.equal(read.preparation.mean, sealed.preparation.mean)
    assert torch.equal(read.preparation.std, sealed.preparation.std)
    assert read.task == sealed.task
    assert read.sealed
    assert (load_file(artifacts.path(artifact))["y"][raw.test] == -1).all()
    y = raw.y.clone()
    y[raw.test] = (y[raw.test] + 1) % raw.n_classes
    other = prepare(replace(raw, y=y), normalize="standardize", class_weights=True)
    assert other.fingerprint != sealed.fingerprint
    same_name = replace(other.seal(), fingerprint=sealed.fingerprint)
    assert save_prepared(same_name, store).sha256 == artifact.sha256


def test_importing_the_package_does_not_import_torch():
    """The command line lists studies without waiting for torch."""
    code = "import sys, evaluators, evaluators.datasets; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
