"""Bundles: a trained network as a folder that runs without this program (docs/bundles.md)."""

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from evaluators.datasets._base import Dataset, Preprocessing
from nas import __version__
from nas._tables import STATE
from nas.export._background import Background
from nas.export._base import Contract, ExportError
from nas.export._compared import as_trained, graphs_of
from nas.export._deployed import deployed
from nas.export._folder import check_free, new_folder
from nas.export._graph import facts_left, graph_left, with_graph
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
    Provenance,
    split_of,
    text_of,
)
from nas.export._measured import measured
from nas.export._products import Rounds, timed_products
from nas.export._programs import planned, write_programs
from nas.export._readme import readme
from nas.export._state import check_state, write_state
from nas.export._weights import content, notes, stored, tensor_bytes, without_zeros
from search_spaces import Architecture, SearchSpace, Task
from search_spaces.sparsity.leaving import check_settled

if TYPE_CHECKING:
    from nas.candidate import Candidate


def export_trial(
    name: str,
    trial: int | Literal["best"],
    to: Path,
    *,
    storage: str,
    data_root: Path,
    space: SearchSpace | None = None,
    formats: Sequence[str] = (),
    gives_both: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write the bundle of one trial of a study and return its manifest.

    Args:
        name: of the study.
        trial: its number, or "best": the first of the study's front.
        to: the folder to make.
        storage: URL of the study's database.
        data_root: where raw datasets lie.
        space: made in Python, in place of the one that the study names.
        formats: the plug-ins that write programs; the first is the one that is measured. Without
            any, those of `[export]` in the study file, or pt2.
        gives_both, told: see `write_bundle`.

    Raises:
        ExportError: `to` is there already, or the network cannot be exported faithfully.
        UsageError: there is no such study, trial or exporter.
    """
    from nas.candidate import candidate

    check_free(to)
    planned([name for name in formats if name != STATE])
    chosen = candidate(name, trial, storage=storage, data_root=data_root, space=space)
    return export_candidate(to, chosen, formats, gives_both=gives_both, told=told)


def export_candidate(
    to: Path,
    chosen: "Candidate",
    formats: Sequence[str] = (),
    *,
    gives_both: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write the bundle of a trained network and return its manifest; see `write_bundle`."""
    network, formats = chosen.network(), formats or chosen.targets
    return write_bundle(
        to,
        network=network,
        leaving=chosen.space.deployed(network, chosen.architecture),
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
        metrics={**chosen.metrics, **facts_left(chosen, network)},
        confirmed=chosen.confirmed,
        dataset=chosen.dataset,
        formats=formats,
        gives_both=gives_both,
        background=chosen.background,
        told=told,
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
    dataset: Dataset | None = None,
    sample: tuple[Tensor, ...] | None = None,
    formats: Sequence[str] = (),
    gives_both: bool = False,
    background: Background | None = None,
    rounds: Rounds | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Export a trained network, run it again from the file, and return the manifest.

    The folder appears whole or not at all. A network with an edge ticket is written with what is
    left of its dataset's graph, and compared and measured on that.

    Args:
        to: the folder to make; an empty one may be there.
        network: with its weights.
        leaving: what is written in its place, and must give the same outputs: where extensions of
            the space make of it what they have for deployment.
        architecture, task: what it is and what it was trained on.
        preprocessing: what was done to the features and edges that it was trained on.
        class_names: [C], what the classes are called, where they are not called 0, 1, 2, ...
        provenance: where it comes from.
        metrics: facts of the network, and what training measured with these weights; `val_...`,
            `test_...` and `train_...` name the split.
        confirmed: {metric: {"mean", "stderr", "n"}} over fresh seeds.
        dataset: what it was trained on, prepared: its validation split is measured by the program.
        sample: raw inputs of a real graph, to compare program and network on and to choose ranges
            by; without it those of the dataset, without that a graph as large as the task's is made
            up.
        formats: the plug-ins that write programs; the first is the one that is measured, and a
            program of torch.export is always among them. And `state`, see `nas.export._state`.
        gives_both: whether callers give each edge of an undirected graph in both directions, once.
            Otherwise the program sees to it, which takes its time (docs/bundles.md).
        background: what else is known of it.
        rounds: times products with pruned weights (see `nas.export._products`).
        told: which file is being written.

    Raises:
        ExportError: `to` is there already; the network cannot be exported for all sizes of graph;
            the exported program differs from it by more than its exporter allows; or it has an edge
            ticket, and `dataset` is missing or another one.
    """
    contract = Contract.of(task, preprocessing, class_names, gives_both=gives_both)
    if gives_both and contract.edges == "directed":
        raise ExportError(
            "edges: the network was trained on directed edges, which are used as they come, so "
            "there are no both directions to give; leave --edges out"
        )
    module = deployed(network, preprocessing, contract)
    leaves = module if leaving is None else deployed(leaving, preprocessing, contract)
    known = background or Background()
    exporters = planned([name for name in formats if name != STATE])
    if STATE in formats:
        check_state(known)
    check_settled(module)
    graph = graph_left(module, dataset)
    whole = None if dataset is None else dataset.edge_index
    if graph is not None and dataset is not None:
        dataset, sample = with_graph(dataset, graph), None
    searched = as_trained(module, whole, graph)
    graphs = graphs_of(contract, task, dataset, sample)
    products = timed_products(module, leaves, next(iter(exporters)), graphs[0][0].size(0), rounds)
    with new_folder(to) as folder:
        programs = write_programs(
            folder, exporters, leaves, products, contract, searched, graphs, told
        )
        tensors, how = stored(module, leaves, programs.codes)
        tensors, left = without_zeros(module, tensors, how)
        weights = content(tensors, how, left)
        (folder / WEIGHTS).write_bytes(weights)
        files = [*programs.files, *([] if graph is None else [graph.write(folder)])]
        files += [] if known.recipe is None else [known.recipe.write(folder)]
        files += [write_state(network, folder)] if STATE in formats else []
        (folder / ARCHITECTURE).write_text(text_of(architecture.to_json()), "utf-8")
        reached = {} if dataset is None else measured(programs.first, dataset)
        given = {**(metrics or {}), "model_bytes": tensor_bytes(weights)}
        description = Description(
            programs=programs.entries,
            contract=contract,
            inputs=contract.inputs,
            outputs=(contract.output,),
            architecture=architecture.key,
            provenance=provenance,
            metrics=_metrics(given) | _metrics(reached, "program"),
            training=_metrics({n: given[n] for n in reached if n in given}, "training"),
            confirmed=_confirmed(confirmed or {}),
            notes=(
                *programs.notes,
                *notes(how, left, programs.codes),
                *products.notes,
                *([] if graph is None else [graph.note]),
            ),
            data=known.data,
            latency=known.latency,
            front=known.front,
            directions=known.directions,
            graph=None if graph is None else graph.entry,
            versions=versions(),
        )
        (folder / README).write_text(readme(description, exporters), "utf-8")
        return _completed(folder, files, description)


def _completed(folder: Path, files: list[Path], description: Description) -> dict[str, Any]:
    """Write the manifest, of all that is there by now, and return it."""
    names = [*(file.name for file in files), WEIGHTS, ARCHITECTURE, README]
    entries = {name: _entry(folder / name) for name in names}
    manifest = Manifest(**dict(description), files=entries).to_json()
    (folder / NAME).write_text(text_of(manifest), "utf-8")
    return manifest


def _metrics(
    metrics: Mapping[str, float], by: Literal["program", "training"] | None = None
) -> dict[str, Metric]:
    return {name: Metric(value=v, split=split_of(name), by=by) for name, v in metrics.items()}


def _confirmed(confirmed: Mapping[str, Mapping[str, float | None]]) -> dict[str, Confirmed]:
    return {
        name: Confirmed.model_validate({**summary, "split": split_of(name)})
        for name, summary in confirmed.items()
    }


def versions() -> dict[str, str]:
    """Of what writes bundles, here."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "torch_geometric": version("torch_geometric"),
        "gnn-nas": __version__,
    }


def _entry(path: Path) -> FileEntry:
    content = path.read_bytes()
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
