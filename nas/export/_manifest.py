"""The manifest of a bundle: what it holds, where it comes from, what it takes and gives."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from nas.export._base import Contract, Strict, TensorSpec, shown
from search_spaces.canonical import canonical_json

FORMAT = "gnn-nas bundle"
VERSION = 2
NAME = "manifest.json"
WEIGHTS = "weights.safetensors"
ARCHITECTURE = "architecture.json"
README = "README.md"
GRAPH: Final = "graph.safetensors"
REQUIRED = (WEIGHTS, ARCHITECTURE, README)
LONGEST_NAME = 100
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")

Split = Literal["train", "validation", "test"]
_PREFIXES: Mapping[str, Split] = {"train": "train", "val": "validation", "test": "test"}


def _inside(name: str) -> str:
    if len(name) > LONGEST_NAME or not FILE_NAME.fullmatch(name) or name == NAME:
        raise ValueError(f"{shown(name)} is not the plain name of a file in the bundle")
    return name


FileName = Annotated[str, AfterValidator(_inside)]


class FileEntry(Strict):
    """One file of the bundle."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0, lt=2**63)]


class Metric(Strict):
    """A number that is known of this very network, and what measured it; None for a fact."""

    value: float
    split: Split | None
    by: Literal["program", "training"] | None = None


class Confirmed(Strict):
    """The mean over fresh seeds, for each of which the architecture was trained anew."""

    mean: float
    stderr: float | None
    n: int
    split: Split | None


class Parity(Strict):
    """By how much the saved program and its network differed, and on which graphs.

    Attributes:
        mean_difference: where the tolerance is of the mean; None where it is of the largest.
    """

    largest_difference: float
    mean_difference: float | None = None
    tolerance: float
    graphs: tuple[dict[str, int], ...]


class Program(Strict):
    """One program of a bundle: which plug-in wrote it, where it is, and how close it was."""

    exporter: str
    file: FileName
    parity: Parity


class PostTraining(Strict):
    """How a network that was trained in full precision was brought to few bits.

    Attributes:
        method: flexround or nearest.
        before: what was measured of it in full precision: metrics of validation, `model_bytes`.
    """

    method: str
    before: dict[str, float]


class Provenance(Strict):
    """Where a network comes from.

    Attributes:
        study, trial: which trial of which study; None for a network that no search made.
        seed: of its training.
        retrained: whether there was no checkpoint of it, and it was trained for this bundle.
        slice: whether its weights are a part of a supernet's, trained together with all others.
        latency_bound_ms, device: what it was chosen for, where that was asked.
        post_training: how it was brought to few bits after its training, where it was.
    """

    study: str | None = None
    trial: int | None = None
    seed: int | None = None
    retrained: bool = False
    slice: bool = False
    latency_bound_ms: float | None = None
    device: str | None = None
    post_training: PostTraining | None = None


class Data(Strict):
    """What it was trained on.

    Attributes:
        name: for people.
        fingerprint: of the dataset with its labels.
        license: of the data, as far as its publishers say; empty where nothing is known of it.
        n_train, n_val, n_test: labeled nodes or graphs of each split.
    """

    name: str
    fingerprint: str
    license: str
    n_train: int
    n_val: int
    n_test: int


class Latency(Strict):
    """How long an inference takes on a device, on the study's graph.

    Attributes:
        device: the name of its profile.
        latency_ms: of the network in torch, without what prepares its inputs.
        by: predicted from the profile, or measured on the device.
    """

    device: str
    latency_ms: float
    by: Literal["predicted", "measured"]


class Peer(Strict):
    """A trial of the front that a network came from, and its objectives there."""

    trial: int
    architecture: str
    objectives: dict[str, float]


class GraphEntry(Strict):
    """What is left of the graph that a network with an edge ticket was found on.

    Attributes:
        file: has `edge_index` [2, edges], int64.
        n_nodes: of the graph.
        edges, edges_before: how many are left, and were there, both directions counted.
        digest_before: of the graph before (see docs/bundles.md).
    """

    file: Literal["graph.safetensors"] = GRAPH
    n_nodes: PositiveInt
    edges: Annotated[int, Field(ge=0)]
    edges_before: Annotated[int, Field(ge=0)]
    digest_before: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Description(Strict):
    """All that is said about a bundle but the list of its files.

    Attributes:
        programs: what was written of the network; the first is the one that was asked for first.
        metrics: of the first program; `training`: what training measured of what that measured.
        notes: sentences for whoever deploys it.
        data: what it was trained on; None where that is not known.
        latency: by device, where the study predicted or measured it.
        front: of its study when it was exported, at most 50 trials; its objectives are named in
            their order.
        directions: {objective: maximize or minimize}.
        graph: where edges were pruned, the graph that it is for; a manifest without one has no such
            key.
    """

    format: Literal["gnn-nas bundle"] = "gnn-nas bundle"
    version: Literal[2] = 2
    programs: Annotated[tuple[Program, ...], Field(min_length=1)]
    contract: Contract
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    architecture: str
    provenance: Provenance
    metrics: dict[str, Metric]
    training: dict[str, Metric] = Field(default_factory=dict)
    confirmed: dict[str, Confirmed]
    notes: tuple[str, ...] = ()
    data: Data | None = None
    latency: tuple[Latency, ...] = ()
    front: tuple[Peer, ...] = ()
    directions: dict[str, str] = Field(default_factory=dict)
    graph: GraphEntry | None = None
    versions: dict[str, str]

    @model_validator(mode="after")
    def _follows(self) -> Self:
        if self.inputs != self.contract.inputs or self.outputs != (self.contract.output,):
            raise ValueError("inputs or outputs do not follow from the contract")
        return self


class Manifest(Description):
    """`manifest.json`; see docs/bundles.md."""

    files: dict[FileName, FileEntry]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        wanted = (*REQUIRED, *(program.file for program in self.programs))
        missing = [name for name in wanted if name not in self.files]
        if missing:
            raise ValueError(f"files does not list {', '.join(missing)}")
        if (self.graph is not None) != (GRAPH in self.files):
            raise ValueError(f"graph and files do not agree whether there is a {GRAPH}")
        return self

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        value = self.model_dump(mode="json", exclude={"digest"})
        if self.graph is None:
            del value["graph"]
        return {**value, "digest": manifest_digest(value)}


def manifest_digest(value: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest as canonical JSON without its own `digest`: it stands for all files."""
    said = {key: item for key, item in value.items() if key != "digest"}
    return hashlib.sha256(canonical_json(said).encode()).hexdigest()


def text_of(value: Any) -> str:
    """Indented, with sorted keys: the same bytes for the same value."""
    return json.dumps(json.loads(canonical_json(value)), indent=2, sort_keys=True) + "\n"


def split_of(metric: str) -> Split | None:
    """The split that a metric comes from by its name: `val_accuracy` from validation."""
    # How long training took is a fact, not a value of the training split.
    return None if metric.endswith("_seconds") else _PREFIXES.get(metric.partition("_")[0])
