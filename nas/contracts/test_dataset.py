"""What every dataset keeps: splits apart, a fingerprint of the content, test labels that go."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from evaluators import artifacts
from evaluators.datasets import (
    COMMON,
    DatasetError,
    RawDataset,
    load,
    load_sealed,
    preprocess,
    save_graph,
    save_sealed,
)
from nas.contracts import _offline, _signature, graphs
from search_spaces import plugins
from search_spaces.plugins import Plugin

KIND = "dataset"
TENSORS = ("x", "edge_index", "y", "train", "val", "test", "graph_ids", "class_weights")
# A graph in which nodes lack a label, or a split is small, is told of, and used.
pytestmark = pytest.mark.filterwarnings("ignore::evaluators.datasets._checks.DatasetWarning")


@pytest.fixture(scope="module")
def chosen(plugin: Plugin, tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    """The plug-in; that of files has one to read."""
    if plugin.name != "graph_file" or plugin.options:
        return plugin
    place = tmp_path_factory.mktemp("own") / "graph.npz"
    save_graph(place, graphs.path())
    return Plugin("graph_file", {"path": str(place)})


@pytest.fixture(scope="module")
def root(
    plugin: Plugin, data_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Links to the raw files, so that none can be changed; those of ours download nothing here."""
    made = tmp_path_factory.mktemp("root")
    for family in data_root.iterdir() if data_root.is_dir() else ():
        if family.is_dir():
            (made / family.name).symlink_to(family.resolve())
    if plugin.name in plugins.names(KIND):
        with _offline.offline():
            yield made
    else:
        yield made


@pytest.fixture(scope="module")
def raw(chosen: Plugin, root: Path) -> RawDataset:
    try:
        built: RawDataset = plugins.load(KIND, chosen.name).build(root, **chosen.options)
    except DatasetError as error:
        if "is not there" in str(error):
            pytest.skip(f"the raw files here have no {chosen.name}")
        raise
    return built


def test_it_is_called_as_datasets_are(plugin: Plugin) -> None:
    """`build(root, *, ...)`; options have defaults, and names that no other table's key has."""
    _signature.check(KIND, plugin)
    own = plugins.options(KIND, plugin.name)
    assert not set(own) & set(COMMON), "every dataset has these options already"


def test_it_says_what_its_data_is_under(plugin: Plugin) -> None:
    """`LICENSE`, one sentence for bundles, may be left out; only who owns the data can know more.

    Those that come with the program have one, unless an option of theirs says it.
    """
    said = getattr(plugins.load(KIND, plugin.name), "LICENSE", "")
    assert isinstance(said, str)
    assert "\n" not in said
    if plugin.name in plugins.names(KIND) and "license" not in plugins.options(KIND, plugin.name):
        assert said.strip(), "a bundle says what data is under, or that nobody states it"


def test_it_is_what_the_program_takes(raw: RawDataset) -> None:
    """Types and shapes of its tensors, and the checks that loading makes."""
    assert isinstance(raw, RawDataset)
    units = raw.y.numel()
    assert raw.x.dtype == torch.float32
    assert raw.edge_index.dtype == raw.y.dtype == torch.int64
    assert raw.edge_index.size(0) == 2
    assert all(m.dtype == torch.bool and m.numel() == units for m in _masks(raw))
    assert (raw.graph_ids is None) == (raw.unit == "node")
    preprocess(raw)


def _masks(raw: RawDataset) -> tuple[torch.Tensor, ...]:
    return raw.train, raw.val, raw.test


def test_splits_are_disjoint_and_labeled(raw: RawDataset) -> None:
    """No node or graph is in two splits, and all in one have a label of the classes."""
    total = raw.train.int() + raw.val.int() + raw.test.int()
    assert int(total.max()) == 1
    assert raw.train.any()
    assert raw.val.any()
    labels = raw.y[total.bool()]
    assert 0 <= int(labels.min()) <= int(labels.max()) < raw.n_classes


def test_the_fingerprint_is_of_the_content(chosen: Plugin, root: Path, raw: RawDataset) -> None:
    """Equal for two loads, another one when a label, an edge, a feature or a mask changes."""
    loaded = load(chosen, root)
    assert loaded.fingerprint == preprocess(raw).fingerprint
    unit = int(raw.train.nonzero()[0])
    for change in ("y", "x", "edge_index", "train"):
        changed = getattr(raw, change).clone()
        if change == "y":
            changed[unit] = (changed[unit] + 1) % raw.n_classes
        elif change == "train":
            changed[unit] = False
        elif change == "x":
            changed[-1, -1] += 1
        else:
            changed = changed[:, :-1]
        assert preprocess(replace(raw, **{change: changed})).fingerprint != loaded.fingerprint, (
            change
        )


def test_the_seal_takes_the_test_labels_and_nothing_else(raw: RawDataset) -> None:
    """After sealing the test labels are -1; all others, and the fingerprint, are as before."""
    dataset = preprocess(raw)
    sealed = dataset.seal()
    assert (sealed.y[raw.test] == -1).all()
    assert torch.equal(sealed.y[~raw.test], raw.y[~raw.test])
    assert sealed.task == dataset.task
    assert torch.equal(dataset.y, raw.y), "the dataset that is sealed keeps its own labels"


def test_a_prepared_file_holds_the_sealed_dataset(raw: RawDataset, store: str) -> None:
    """Reading gives what was written; test labels are neither in the file nor change its bytes."""
    dataset = preprocess(raw, normalize="standardize", class_weights=True)
    with pytest.raises(ValueError, match="sealed"):
        save_sealed(dataset, store)
    sealed = dataset.seal()
    artifact = save_sealed(sealed, store)
    read = load_sealed(artifact)
    for name in TENSORS:
        one, other = getattr(sealed, name), getattr(read, name)
        assert one is other is None or torch.equal(one, other), name
    for name in ("mean", "std"):
        written = getattr(sealed.preprocessing, name)
        assert torch.equal(getattr(read.preprocessing, name), written), name
    assert read.task == sealed.task
    assert read.sealed
    assert (load_file(artifacts.path(artifact))["y"][raw.test] == -1).all()
    if not raw.test.any():
        return
    y = raw.y.clone()
    y[raw.test] = (y[raw.test] + 1) % raw.n_classes
    other = preprocess(replace(raw, y=y), normalize="standardize", class_weights=True)
    assert other.fingerprint != sealed.fingerprint
    same_name = replace(other.seal(), fingerprint=sealed.fingerprint)
    assert save_sealed(same_name, store).sha256 == artifact.sha256
