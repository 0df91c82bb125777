"""Your own graph: an .npz file, or a CSV file of nodes and one of edges.

`path = "graph.npz"` has the arrays x [N, F], edge_index [2, E] and y [N] (-1 for no label), and
optionally train_mask, val_mask and test_mask [N]. With an array graph_ids [N] it is a graph task,
and y and the masks are [B].

`nodes = "nodes.csv"` has a column `label` (class numbers, or names that are numbered in sorted
order; empty for no label), optionally `id` and `split` (train, val, test or empty), and numbers as
features in all other columns; `edges = "edges.csv"` has the columns `source` and `target`, which
hold ids, or row numbers from 0 where there is no column `id`.

Without masks or a split column the nodes are split at random, stratified by class. Every edge is
kept as it stands; `undirected = true` gives each its reverse. `license = "..."` says what the data
is under, for bundles of networks that were trained on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from evaluators.datasets import _csv
from evaluators.datasets._base import DatasetError
from evaluators.datasets._npz import read_dataset
from evaluators.datasets._pyg import n_classes
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Ratio, Seed, by_ratio

# What it is under is known to its owner alone; the option `license` says it.
LICENSE = ""


def build(
    root: Path,  # noqa: ARG001  (a user's own graph is no part of the data root)
    *,
    path: str | None = None,
    nodes: str | None = None,
    edges: str | None = None,
    id: str = "id",  # noqa: A002  (the name of the option is the name of the column)
    label: str = "label",
    split: str = "split",
    source: str = "source",
    target: str = "target",
    classes: Annotated[int, Ge(2)] | None = None,
    train_ratio: Ratio = 0.6,
    val_ratio: Ratio = 0.2,
    seed: Seed = 0,
    license: str = "",  # noqa: A002, ARG001  (for whoever exports a network that was trained on it)
) -> RawDataset:
    """Read a graph.

    Args:
        root: not used; paths are absolute or from the working folder.
        path: an .npz file; or
        nodes, edges: two CSV files.
        id, label, split: what the columns of `nodes` are called.
        source, target: what the columns of `edges` are called.
        classes: how many there are, if more than the labels name.
        train_ratio, val_ratio, seed: of a random split; the rest is test.
        license: what the data is under, in words; bundles say it.

    Raises:
        DatasetError: a file that is missing or of another form.
    """
    if path is not None and nodes is None and edges is None:
        with _named("path"):
            return read_dataset(
                Path(path),
                classes=classes,
                train_ratio=train_ratio,
                val_ratio=val_ratio,
                seed=seed,
            )
    if path is not None or nodes is None or edges is None:
        given = {"path": path, "nodes": nodes, "edges": edges}
        named = ", ".join(option for option, value in given.items() if value is not None)
        raise DatasetError(
            "path: expected either path, or nodes and edges together, got "
            f"{named or 'none of them'}"
        )
    columns = _csv.Columns(id, label, split, source, target)
    with _named("nodes"):
        table = _csv.read_table(Path(nodes))
        y = _csv.labels(table, columns)
        masks = _csv.split_masks(table, columns)
        numbers = _csv.node_numbers(table, columns)
        names = _csv.class_names(table, columns)
        x = _csv.features(table, columns)
    with _named("edges"):
        edge_index = _csv.edge_index(_csv.read_table(Path(edges)), columns, numbers)
    if masks is None:
        masks = by_ratio(y, train_ratio=train_ratio, val_ratio=val_ratio, seed=seed)
    return RawDataset(
        name=Path(nodes).name,
        kind="node_classification",
        x=x,
        edge_index=edge_index,
        y=y,
        train=masks.train,
        val=masks.val,
        test=masks.test,
        n_classes=classes or n_classes(y),
        class_names=names if classes in (None, len(names or ())) else None,
    )


@contextmanager
def _named(option: str) -> Iterator[None]:
    """Begin what is wrong with a file with the option that names it."""
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{option}: {error}") from error
