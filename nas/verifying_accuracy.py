"""The metrics of a bundle, measured again on its dataset's validation split."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from evaluators.datasets import load
from evaluators.datasets._base import Dataset
from nas.export._base import Runnable, shown
from nas.export._graph import read_graph, with_graph
from nas.export._manifest import Manifest
from nas.export._measured import measured, sample_of
from nas.export._recipe import RECIPE, read_recipe
from search_spaces import UsageError
from search_spaces.plugins import Plugin

Row = tuple[Any, ...]
_SAME = 1e-6
# Of losses, which depend on every logit.
_SAME_LOSS = 1e-4
_UNIT = (
    "one of {:,} units may be classified otherwise: sums in another order turn what lies between "
    "two classes"
)


@dataclass(frozen=True)
class Data:
    """The dataset of a bundle.

    Attributes:
        dataset: sealed; None where it is not here.
        is_own: whether it is the one that the network was trained on, split alike.
        why_not: why there is none, or it is another one.
    """

    dataset: Dataset | None = None
    is_own: bool = False
    why_not: str = ""

    @property
    def sample(self) -> tuple[Tensor, ...] | None:
        """Raw inputs, where it is the bundle's own."""
        return sample_of(self.dataset) if self.dataset is not None and self.is_own else None


def data_for(
    folder: Path,
    manifest: Manifest,
    given: Plugin | None,
    data_root: Path,
    told: Callable[[str], None],
) -> Data:
    """The dataset that is given or that the recipe names, compared by its fingerprint."""
    recipe = None
    try:
        if RECIPE in manifest.files:
            recipe = read_recipe(folder)
        plugin = given
        if plugin is None:
            if recipe is None:
                return Data(why_not="the bundle does not say its dataset; name one: --dataset")
            name = str(recipe.dataset["name"])
            if name in recipe.strangers:
                return Data(
                    why_not=f"dataset {shown(name)} did not come with this program; name it: "
                    "--dataset"
                )
            options = {name: v for name, v in recipe.dataset.items() if name != "name"}
            plugin = Plugin(name, options)
        told(f"loading {plugin.name}")
        dataset = load(plugin, data_root).seal()
    except UsageError as error:
        return Data(why_not=f"its data are not here: {error}")
    contract = manifest.contract
    if (dataset.kind, dataset.x.size(1)) != (contract.kind, contract.n_features):
        return Data(why_not=f"{dataset.name} has other inputs than the program takes")
    if manifest.graph is not None:
        dataset = with_graph(dataset, read_graph(folder, manifest.graph))
    known = None if manifest.data is None else manifest.data.fingerprint
    if known is None or dataset.fingerprint != known:
        why = "it is not known to be the data that it was trained on: its fingerprint is "
        return Data(dataset, why_not=f"{why}{dataset.fingerprint[:12]}, the manifest has {known}")
    if recipe is not None and recipe.evaluator.get("folds"):
        return Data(dataset, why_not="it was validated on one of several folds, which is not known")
    return Data(dataset, is_own=True)


def accuracy(
    manifest: Manifest, program: Runnable | None, data: Data, told: Callable[[str], None]
) -> Iterator[Row]:
    """A row for each metric that the first program reached; a fact on other data."""
    first = manifest.programs[0].exporter
    claimed = {n: m.value for n, m in manifest.metrics.items() if m.by == "program"}
    if program is None or data.dataset is None or not claimed:
        why = data.why_not or "the manifest has no metric of its program"
        if program is None:
            why = "its program does not run here"
        yield "accuracy", first, None, None, None, f"skipped: {why}"
        return
    dataset = data.dataset
    told(f"measuring {first} on the validation split of {dataset.name}")
    units = int((dataset.val & (dataset.y >= 0)).sum())
    try:
        found = measured(program, dataset)
    except Exception as error:  # a fault boundary: a program of a stranger runs
        said = f"it fails on {dataset.name}: {type(error).__name__}: {error}"[:300]
        yield "accuracy", first, data.is_own is False and None, None, None, said
        return
    for name, value in claimed.items():
        if name in found:
            yield _compared(first, name, found[name], value, units, data)


def _compared(first: str, name: str, found: float, claimed: float, units: int, data: Data) -> Row:
    if not data.is_own:
        return "accuracy", first, None, found, claimed, f"{name}: a fact; {data.why_not}"
    off = abs(found - claimed)
    if name.endswith("loss"):
        ok = off <= _SAME_LOSS * max(1.0, abs(claimed))
        return "accuracy", first, ok, found, claimed, f"{name}, within {_SAME_LOSS:g}"
    ok = off <= max(_SAME, (1 + _SAME) / max(units, 1))
    detail = name if off <= _SAME else f"{name}: {_UNIT.format(units)}"
    return "accuracy", first, ok, found, claimed, detail
