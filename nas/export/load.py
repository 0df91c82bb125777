"""Reading a bundle back: `load_bundle(folder).predict(x, edge_index)`.

What is read: `manifest.json`, the bytes of the files that it lists, and of those only the program
is opened, and the graph where there is one. Each file is compared with its size and hash first;
nothing is unpickled. The hashes show damage, not authorship: a program from a stranger stays a
stranger's program.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.utils import to_undirected

from evaluators.artifacts import sha256_of
from nas.export._base import BundleError, Exporter, Runnable, shown
from nas.export._graph import PrunedGraph, read_graph
from nas.export._inputs import check_inputs
from nas.export._manifest import NAME, WEIGHTS, FileEntry, Manifest
from nas.export._reading import read_manifest
from nas.export._weights import numbers
from search_spaces import plugins


@dataclass(frozen=True)
class Contents:
    """What a bundle holds besides its program, which has not been opened.

    Attributes:
        folder: where it is.
        manifest: what it holds, takes and gives.
        graph: of a network whose edges were pruned, what is left of its graph; else None.
    """

    folder: Path
    manifest: Manifest
    graph: PrunedGraph | None = None

    def edges(self, edge_index: Tensor, n_nodes: int) -> Tensor:
        """What is left [2, e] of the graph that edges were pruned of; any other graph as it is.

        Args:
            edge_index: [2, E], in any order; of an undirected graph in one direction or both.
            n_nodes: N.
        """
        if self.graph is None:
            return edge_index
        whole = edge_index
        if self.manifest.contract.edges != "directed":
            whole = to_undirected(edge_index, num_nodes=n_nodes)
        return self.graph.edge_index if self.graph.is_of(whole, n_nodes) else edge_index


@dataclass(frozen=True)
class Bundle(Contents):
    """An exported network; make one with `load_bundle`.

    Attributes:
        program: what computes.
    """

    program: Runnable = field(repr=False, kw_only=True)

    def predict(
        self,
        x: Tensor,
        edge_index: Tensor,
        graph_ids: Tensor | None = None,
        *,
        graphs: int | None = None,
    ) -> Tensor:
        """Logits [N, C], or [B, C] for a graph task, on the edges that are given.

        A network whose edges were pruned is to be given those of `graph`, or what `edges` gives.

        Args:
            x: [N, F] float32, raw features.
            edge_index: [2, E] int64; both directions of each edge where the contract says so.
            graph_ids: [N] int64, ascending from 0, for a graph task.
            graphs: B; needed only when the last graphs have no nodes.

        Raises:
            UsageError: an input breaks the contract; the message says which and how.
        """
        count = check_inputs(self.manifest.contract, x, edge_index, graph_ids, graphs)
        with torch.inference_mode():
            if graph_ids is None:
                return self.program(x, edge_index)
            counted = torch.zeros(count, dtype=torch.int64)
            return self.program(x, edge_index, graph_ids, counted)

    def probabilities(
        self,
        x: Tensor,
        edge_index: Tensor,
        graph_ids: Tensor | None = None,
        *,
        graphs: int | None = None,
    ) -> Tensor:
        """The softmax of `predict`: [N, C] or [B, C], each row sums to 1."""
        return self.predict(x, edge_index, graph_ids, graphs=graphs).softmax(dim=-1)


def load_bundle(folder: Path | str, exporter: str | None = None) -> Bundle:
    """Read a bundle that `nas export` wrote.

    Args:
        folder: of the bundle.
        exporter: whose program to open, where it is not the first. One that did not come with this
            program must be named: it is code that runs here, so a bundle cannot ask for it itself.

    Raises:
        BundleError: a file is missing, damaged or not a plain file in the folder; the manifest is
            of another version; the program holds a pickle; or no such exporter wrote one.
    """
    contents, reader = _read(Path(folder), exporter)
    return Bundle(**vars(contents), program=reader.open(contents.folder))


def read_contents(folder: Path, exporter: str | None = None) -> Contents:
    """Read a bundle without its program: nothing of it runs. See `load_bundle`."""
    return _read(folder, exporter)[0]


def _read(folder: Path, exporter: str | None) -> tuple[Contents, Exporter]:
    manifest = check_files(folder)
    reader = exporter_of(folder, manifest, exporter)
    graph = None if manifest.graph is None else read_graph(folder, manifest.graph)
    return Contents(folder, manifest, graph), reader


def check_files(folder: Path) -> Manifest:
    """The manifest of a bundle, each of whose files has been compared with its size and hash.

    Raises:
        BundleError: a file is missing, damaged or not a plain file in the folder; or the manifest
            is of another version.
    """
    manifest = read_manifest(folder)
    for name, entry in manifest.files.items():
        check_file(folder / name, entry)
    return manifest


def load_weights(folder: Path | str) -> dict[str, Tensor]:
    """The weights of a bundle as floating-point numbers, by name; its program is not opened.

    Integers are multiplied by their scales: what is given is what the network computes with.

    Raises:
        BundleError: a file is missing or damaged; see `load_bundle`.
    """
    folder = Path(folder)
    check_file(folder / WEIGHTS, read_manifest(folder).files[WEIGHTS])
    return numbers(folder / WEIGHTS)


def exporter_of(folder: Path, manifest: Manifest, given: str | None) -> Exporter:
    """The exporter to read with.

    Raises:
        BundleError: the one given wrote none of the programs, or none was given for one from
            elsewhere; or its file is called otherwise.
        PluginError: it cannot be imported.
    """
    files = {program.exporter: program.file for program in manifest.programs}
    if given is not None and given not in files:
        raise BundleError(
            f"{folder}: its programs were written by {', '.join(map(_name, files))}, none by "
            f'"{given}"'
        )
    wrote = given or next(iter(files))
    if given is None and wrote not in plugins.names("exporter"):
        raise BundleError(
            f"{folder / NAME}: its program was written by {shown(wrote)}, which did not come with "
            f"this program; where you trust it, name it: nas predict ... --exporter {shown(wrote)},"
            f" in Python load_bundle(folder, exporter={shown(wrote)})"
        )
    exporter: Exporter = plugins.load("exporter", wrote).build()
    if exporter.file != files[wrote]:
        raise BundleError(
            f"{folder / NAME}: {wrote} writes {exporter.file}, not {files[wrote]}; export it again"
        )
    return exporter


def _name(exporter: str) -> str:
    return exporter if exporter.replace(".", "").isidentifier() else shown(exporter)


def check_file(path: Path, entry: FileEntry) -> None:
    """Compare a file with its size and hash.

    Raises:
        BundleError: it is no plain file, or another one.
    """
    if path.is_symlink() or not path.is_file():
        raise BundleError(
            f"{path} is listed in the manifest but is not a plain file there; copy the whole bundle"
        )
    try:
        size = path.stat().st_size
        # Of a file of another size nothing is read.
        found = sha256_of(path) if size == entry.bytes else ""
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    if size != entry.bytes:
        raise BundleError(
            f"{path} is damaged: it has {size} bytes, the manifest says {entry.bytes}; "
            "copy it again"
        )
    if found != entry.sha256:
        raise BundleError(
            f"{path} is damaged or was changed: its SHA-256 is {found[:12]}..., the manifest says "
            f"{entry.sha256[:12]}...; copy the bundle again"
        )
