"""What a card tells, read from a bundle without opening a program."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nas.cards._escaped import in_one_line
from nas.export._architecture import architecture_of
from nas.export._base import Exporter
from nas.export._compiled import Compiled
from nas.export._manifest import (
    Confirmed,
    Manifest,
    Metric,
    Peer,
    Program,
    Split,
)
from nas.export._recipe import RECIPE, Recipe, read_recipe
from nas.export.load import check_files
from nas.intervals import ends_of, interval
from search_spaces import plugins

By = Literal["program", "training", "weights", "seeds"]


@dataclass(frozen=True)
class Opening:
    """How a program is opened without this one.

    Attributes:
        exporter: the plug-in that wrote it; file: its name in the bundle.
        needs: what runs it; empty where its exporter did not come with this program, which is not
            imported for a card.
        code: lines of Python, after which `logits` are what it says of a graph of three nodes.
        native: whether opening it runs machine code; None where that is not known.
    """

    exporter: str
    file: str
    needs: str = ""
    code: tuple[str, ...] = ()
    native: bool | None = None


@dataclass(frozen=True)
class Value:
    """One number that is known.

    Attributes:
        metric: its name.
        split: train, validation or test; None for a fact, such as `params`.
        value: of the network, or the mean over seeds.
        by: what measured it: the first program; training; weights (a fact of the network); seeds
            (networks of the architecture that were trained anew).
        stderr, n: of the mean, and how many seeds.
        interval: of the mean, 95 %, by Student's t, as far as the metric goes; None for fewer than
            two seeds.
        optimistic: whether the search chose this very network by values of this split.
    """

    metric: str
    split: Split | None
    value: float
    by: By
    stderr: float | None = None
    n: int | None = None
    interval: tuple[float, float] | None = None
    optimistic: bool = False


@dataclass(frozen=True)
class Facts:
    """All that a card tells.

    Attributes:
        folder: of the bundle, as it was named.
        manifest: of the bundle.
        choices: the decisions that the network was built from.
        openings: of its programs, in their order.
        values: of all metrics.
        recipe: how it was trained; None where the bundle does not say.
    """

    folder: Path
    manifest: Manifest
    choices: Mapping[str, Any]
    openings: tuple[Opening, ...]
    values: tuple[Value, ...]
    recipe: Recipe | None

    @property
    def is_tested(self) -> bool:
        """Whether anything was measured on the test split."""
        return any(value.split == "test" for value in self.values)

    @property
    def name_in_shell(self) -> str:
        """The last name of the folder, for a command; where it lies is nobody else's matter."""
        return shlex.quote(in_one_line(self.folder.resolve().name))

    @property
    def objectives(self) -> list[str]:
        """Of its study, the most important first where that is known."""
        names = list(self.manifest.directions)
        asked = [] if self.recipe is None else [name for name, _ in self.recipe.objectives]
        return asked if sorted(asked) == sorted(names) else names

    def is_this(self, peer: Peer) -> bool:
        """Whether a trial of the front is the one that was exported."""
        origin = self.manifest.provenance
        return peer.trial == origin.trial and peer.architecture == self.manifest.architecture

    def to_json(self) -> dict[str, Any]:
        """The manifest, with what follows from it, and the recipe."""
        told = self.manifest.to_json()
        for name in ("metrics", "training", "confirmed"):
            del told[name]
        for program, opening in zip(told["programs"], self.openings, strict=True):
            program |= {k: v for k, v in asdict(opening).items() if k not in program}
        for peer, row in zip(self.manifest.front, told["front"], strict=True):
            row["this"] = self.is_this(peer)
        recipe = None if self.recipe is None else self.recipe.model_dump(mode="json")
        values = [asdict(value) for value in self.values]
        return told | {"choices": dict(self.choices), "values": values, "recipe": recipe}


def facts_of(folder: Path) -> Facts:
    """Read them from a bundle, each of whose files is compared with its hash.

    Raises:
        BundleError: a file is missing or damaged, the manifest is of another version, or its
            architecture is another one.
    """
    manifest = check_files(folder)
    return Facts(
        folder=folder,
        manifest=manifest,
        choices=architecture_of(folder, manifest).choices,
        openings=tuple(_opening(manifest, program) for program in manifest.programs),
        values=(*_tested(manifest), *_known(manifest)),
        recipe=read_recipe(folder) if RECIPE in manifest.files else None,
    )


def _opening(manifest: Manifest, program: Program) -> Opening:
    if program.exporter not in plugins.names("exporter"):
        return Opening(program.exporter, program.file)
    exporter: Exporter = plugins.load("exporter", program.exporter).build()
    if exporter.file != program.file:
        return Opening(program.exporter, program.file)
    native = isinstance(exporter, Compiled)
    code = (*exporter.reading.splitlines(), *_run(manifest, exporter))
    return Opening(program.exporter, program.file, exporter.needs, code, native)


def _run(manifest: Manifest, exporter: Exporter) -> list[str]:
    """Of three nodes in a row, of which the graph of a graph task consists."""
    features, edges = manifest.contract.n_features, "[[0, 1, 1, 2], [1, 0, 2, 1]]"
    x, array = f"torch.rand(3, {features})", "torch.tensor"
    graphs = "torch.zeros(1, dtype=torch.int64)"
    if getattr(exporter, "arrays", "torch") == "numpy":
        x, array = f"np.random.rand(3, {features}).astype(np.float32)", "np.array"
        graphs = "np.zeros(1, dtype=np.int64)"
    lines = [f"x, edge_index = {x}, {array}({edges})"]
    if not manifest.contract.is_graph_task:
        return [*lines, "logits = network(x, edge_index)"]
    return [
        *lines,
        f"graph_ids, graphs = {array}([0, 0, 0]), {graphs}",
        "logits = network(x, edge_index, graph_ids, graphs)",
    ]


def _tested(manifest: Manifest) -> list[Value]:
    """What is known by fresh seeds, test first."""
    named = sorted(manifest.confirmed.items(), key=lambda item: (item[1].split or "", item[0]))
    return [_confirmed(name, confirmed) for name, confirmed in named]


def _confirmed(name: str, confirmed: Confirmed) -> Value:
    between = None
    if confirmed.n > 1 and confirmed.stderr is not None:
        ends = ends_of(name, [confirmed.mean])
        between = interval(confirmed.mean, confirmed.stderr, confirmed.n, ends)
    return Value(
        name, confirmed.split, confirmed.mean, "seeds", confirmed.stderr, confirmed.n, between
    )


def _known(manifest: Manifest) -> list[Value]:
    """Of this very network."""

    def value(name: str, metric: Metric, by: By) -> Value:
        chosen = metric.split == "validation" and manifest.provenance.trial is not None
        return Value(name, metric.split, metric.value, metric.by or by, optimistic=chosen)

    return [
        *(value(name, metric, "weights") for name, metric in sorted(manifest.metrics.items())),
        *(value(name, metric, "training") for name, metric in sorted(manifest.training.items())),
    ]
