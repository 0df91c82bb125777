"""Bundles: a trained network as a folder that runs without this program (docs/bundles.md)."""

import hashlib
import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from evaluators.datasets._base import Dataset, Preprocessing
from nas import __version__
from nas.export._base import Contract, Exporter, ExportError
from nas.export._deployed import deployed
from nas.export._manifest import (
    ARCHITECTURE,
    NAME,
    README,
    WEIGHTS,
    Confirmed,
    Description,
    FileEntry,
    Manifest,
    Metric,
    Parity,
    Provenance,
    split_of,
)
from nas.export._parity import compare
from nas.export._readme import readme
from nas.export._sample import SIZES, like_task, made_up
from search_spaces import Architecture, SearchSpace, Task, plugins
from search_spaces.canonical import canonical_json


def export_trial(
    name: str,
    trial: int | Literal["best"],
    to: Path,
    *,
    storage: str,
    data_root: Path,
    space: SearchSpace | None = None,
    exporter: str = "pt2",
) -> dict[str, Any]:
    """Write the bundle of one trial of a study and return its manifest.

    Args:
        name: of the study.
        trial: its number, or "best": the first of the study's front.
        to: the folder to make.
        storage: URL of the study's database.
        data_root: where raw datasets lie.
        space: made in Python, in place of the one that the study names.
        exporter: the plug-in that writes the program.

    Raises:
        ExportError: `to` is there already, or the network cannot be exported faithfully.
        UsageError: there is no such study, trial or exporter.
    """
    from nas.candidate import candidate

    check_free(to)
    plugins.load("exporter", exporter)
    chosen = candidate(name, trial, storage=storage, data_root=data_root, space=space)
    network = chosen.space.network(chosen.architecture, chosen.task)
    network.load_state_dict(chosen.weights)
    return write_bundle(
        to,
        network=network,
        leaving=chosen.space.deployed(network.eval(), chosen.architecture),
        architecture=chosen.architecture,
        task=chosen.task,
        preprocessing=chosen.dataset.preprocessing,
        class_names=chosen.dataset.class_names,
        provenance=Provenance(
            study=chosen.study,
            trial=chosen.trial,
            seed=chosen.seed,
            retrained=chosen.retrained,
        ),
        metrics=chosen.metrics,
        confirmed=chosen.confirmed,
        sample=inputs_of(chosen.dataset),
        exporter=exporter,
    )


def write_bundle(
    to: Path,
    *,
    network: nn.Module,
    leaving: nn.Module | None = None,
    architecture: Architecture,
    task: Task,
    preprocessing: Preprocessing,
    class_names: tuple[str, ...] | None = None,
    provenance: Provenance,
    metrics: Mapping[str, float] | None = None,
    confirmed: Mapping[str, Mapping[str, float | None]] | None = None,
    sample: tuple[Tensor, ...] | None = None,
    exporter: str = "pt2",
) -> dict[str, Any]:
    """Export a trained network, run it again from the file, and return the manifest.

    The folder appears whole or not at all.

    Args:
        to: the folder to make; an empty one may be there.
        network: with its weights.
        leaving: what is written in its place, and must give the same outputs: where extensions of
            the space make of it what they have for deployment.
        architecture, task: what it is and what it was trained on.
        preprocessing: what was done to the features and edges that it was trained on.
        class_names: [C], what the classes are called, where they are not called 0, 1, 2, ...
        provenance: where it comes from.
        metrics: measured with these weights; `val_...`, `test_...` and `train_...` name the split.
        confirmed: {metric: {"mean", "stderr", "n"}} over fresh seeds.
        sample: inputs of a real graph to compare program and network on; without it one as large
            as the task's is made up.
        exporter: the plug-in that writes the program.

    Raises:
        ExportError: `to` is there already; the network cannot be exported for all sizes of graph;
            or the exported program differs from it by more than 1e-5 * max(1, max|y|).
    """
    contract = Contract.of(task, preprocessing, class_names)
    module = deployed(network, preprocessing, contract)
    leaves = module if leaving is None else deployed(leaving, preprocessing, contract)
    writer: Exporter = plugins.load("exporter", exporter).build()
    with new_folder(to) as folder:
        files = writer.write(leaves, contract, folder)
        description = Description(
            exporter=exporter,
            contract=contract,
            inputs=contract.inputs,
            outputs=(contract.output,),
            architecture=architecture.key,
            provenance=provenance,
            metrics=_metrics(metrics or {}),
            confirmed=_confirmed(confirmed or {}),
            parity=_run_again(writer, folder, module, contract, task, sample),
            versions=_versions(),
        )
        (folder / WEIGHTS).write_bytes(_weights(leaves))
        (folder / ARCHITECTURE).write_text(_text(architecture.to_json()), "utf-8")
        (folder / README).write_text(readme(description, writer), "utf-8")
        return _completed(folder, files, description)


def _completed(folder: Path, files: list[Path], description: Description) -> dict[str, Any]:
    """Write the manifest, of all that is there by now, and return it."""
    names = [*(file.name for file in files), WEIGHTS, ARCHITECTURE, README]
    entries = {name: _entry(folder / name) for name in names}
    manifest = Manifest(**dict(description), files=entries).model_dump(mode="json")
    (folder / NAME).write_text(_text(manifest), "utf-8")
    return manifest


def check_free(to: Path) -> None:
    """Refuse a place where something is.

    Raises:
        ExportError: `to` is a file, or a folder that is not empty.
    """
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise ExportError(f"{to} is there already and is no folder; choose another place")
    if to.is_dir() and any(to.iterdir()):
        raise ExportError(f"{to} is there already and is not empty; choose another folder")


@contextmanager
def new_folder(to: Path) -> Iterator[Path]:
    """A new folder beside `to` that takes its place at the end, or vanishes after an error.

    Raises:
        ExportError: something is there.
    """
    check_free(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.parent / f".{to.name}.partial-{uuid.uuid4().hex}"
    partial.mkdir()
    try:
        yield partial
        for file in filter(Path.is_file, partial.rglob("*")):
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        check_free(to)
        if to.is_dir():
            to.rmdir()
        partial.rename(to)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _run_again(
    exporter: Exporter,
    folder: Path,
    module: nn.Module,
    contract: Contract,
    task: Task,
    sample: tuple[Tensor, ...] | None,
) -> Parity:
    size = like_task(task.n_features, task.n_nodes, task.n_edges, task.n_graphs)
    first = sample if sample is not None else made_up(contract, size)
    graphs = [first, *(made_up(contract, size) for size in SIZES)]
    return compare(exporter.open(folder), module, contract, graphs)


def inputs_of(dataset: Dataset) -> tuple[Tensor, ...]:
    """The graph of a dataset as inputs of a program."""
    if dataset.graph_ids is None:
        return dataset.x, dataset.edge_index
    graphs = torch.zeros(dataset.task.n_graphs, dtype=torch.int64)
    return dataset.x, dataset.edge_index, dataset.graph_ids, graphs


def _weights(module: nn.Module) -> bytes:
    return save({n: t.detach().clone().contiguous() for n, t in module.state_dict().items()})


def _metrics(metrics: Mapping[str, float]) -> dict[str, Metric]:
    return {name: Metric(value=value, split=split_of(name)) for name, value in metrics.items()}


def _confirmed(confirmed: Mapping[str, Mapping[str, float | None]]) -> dict[str, Confirmed]:
    return {
        name: Confirmed.model_validate({**summary, "split": split_of(name)})
        for name, summary in confirmed.items()
    }


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "torch_geometric": version("torch_geometric"),
        "gnn-nas": __version__,
    }


def _entry(path: Path) -> FileEntry:
    content = path.read_bytes()
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def _text(value: Any) -> str:
    """Indented, with sorted keys: the same bytes for the same value."""
    return json.dumps(json.loads(canonical_json(value)), indent=2, sort_keys=True) + "\n"
