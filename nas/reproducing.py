"""Training a bundle's network again, and comparing: what `nas reproduce` does."""

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluators import Artifact, Inheritance
from evaluators.checkpoint import best_metrics, best_weights
from evaluators.executors import inline
from nas.candidate import Candidate, as_validated
from nas.executing import executed
from nas.export._background import Background
from nas.export._followed import check_options, unfit
from nas.export._manifest import ARCHITECTURE, WEIGHTS, Manifest
from nas.export._recipe import RECIPE, Recipe, Step, read_recipe, refuse_foreign
from nas.export.bundle import export_candidate, versions
from nas.export.load import check_files, load_weights
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import spec_from_mapping
from search_spaces import Architecture, SearchSpace, UsageError
from search_spaces.plugins import Plugin


class ReproduceError(UsageError):
    """A bundle whose network cannot be trained again here, or another dataset."""


@dataclass(frozen=True)
class Reproduced:
    """How a network that was trained again compares with the bundle's.

    Attributes:
        is_same: whether architecture and weights are the same files, byte for byte.
        weights: the largest difference of two weights; None where shapes differ.
        metrics: {name: (the bundle's, the new one's)}, of the validation split by the program.
        versions: {what: (then, now)}, of what is not the same.
    """

    is_same: bool
    weights: float | None
    metrics: Mapping[str, tuple[float, float]]
    versions: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def largest(self) -> float:
        """Of the differences of metrics."""
        return max((abs(one - other) for one, other in self.metrics.values()), default=0.0)


def reproduce(
    folder: Path,
    *,
    data_root: Path,
    dataset: Plugin | None = None,
    space: SearchSpace | None = None,
    allowed: Collection[str] = (),
    out: Path | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Reproduced:
    """Train the network of a bundle from nothing, export it, and compare.

    With the same versions on a machine of the same kind all is the same, bit for bit.

    Args:
        folder: of the bundle.
        data_root: where raw datasets lie.
        dataset: a copy of the dataset, in place of the one that the bundle names; of a graph of
            your own, which the bundle names without its folder.
        space: made in Python, where it was so when the study began.
        allowed: names of modules from elsewhere, plug-ins of the study, that may be imported.
        out: a folder to make, for the new bundle; by default it is thrown away.
        told: what is being done.

    Raises:
        ReproduceError: it says why it cannot be trained again; the dataset is another one.
        BundleError: the bundle is damaged, or does not say how it was trained.
    """
    manifest = check_files(folder)
    recipe = read_recipe(folder)
    refuse_foreign(recipe, folder, allowed)
    if recipe.obstacle:
        raise ReproduceError(f"{folder}: {recipe.obstacle}; nothing can train it again from this")
    setup = _setup(folder, recipe, dataset, data_root, space)
    with tempfile.TemporaryDirectory() as scratch:
        artifact = _trained(setup, recipe, (Path(scratch) / "artifacts").as_uri(), told)
        to = Path(scratch) / "bundle" if out is None else out
        again = _exported(to, setup, recipe, artifact, manifest)
        return _compared(folder, to, manifest, again)


def _setup(
    folder: Path,
    recipe: Recipe,
    dataset: Plugin | None,
    data_root: Path,
    space: SearchSpace | None,
) -> Setup:
    given = None if dataset is None else {"name": dataset.name, **dataset.options}
    where = str(folder / RECIPE)
    check_options(folder, recipe)
    try:
        spec = spec_from_mapping(recipe.tables("reproduced", given), where)
        setup = set_up(spec, data_root, space, where, with_latency=False)
    except UsageError as error:
        if str(error).startswith(f"{where}: [dataset]"):
            if dataset is not None:
                raise
            hint = "if its data lie elsewhere, name the study file that has them: --dataset"
            raise ReproduceError(f"{error}; {hint} study.toml") from error
        if space is not None or not recipe.is_own:
            raise
        raise unfit(folder, error) from error
    found, expected = setup.task.fingerprint, recipe.task["fingerprint"]
    if found != expected:
        raise ReproduceError(
            f"{folder}: its network was trained on data with the fingerprint {expected[:12]}..., "
            f"and that of these is {found[:12]}...; name the same dataset, prepared and split "
            "alike, by --dataset"
        )
    return setup


def _trained(setup: Setup, recipe: Recipe, store: str, told: Callable[[str], None]) -> Artifact:
    """The checkpoint of the last step; each begins with that of the one before, if it says so."""
    sealed = setup.sealed(store)
    before: tuple[Step, Artifact] | None = None
    for number, step in enumerate(recipe.steps, 1):
        told(f"training {number} of {len(recipe.steps)}: {step.epochs} epochs")
        job = setup.job(_architecture(setup, step), sealed, store, step.epochs)
        job = replace(job, may_be_pruned=False)
        if before is not None and step.inherit_by is not None:
            parent = _architecture(setup, before[0])
            job = replace(job, inherit=Inheritance(before[1], parent, step.inherit_by))
        [(_, [evaluation])] = executed(inline.build(), [(None, [job])])
        if evaluation.failure is not None or evaluation.artifact is None:
            why = "it leaves no checkpoint"
            if evaluation.failure is not None:
                why = f"{evaluation.failure.kind}: {evaluation.failure.message}"
            raise ReproduceError(f"training it again failed: {why}")
        before = step, evaluation.artifact
    if before is None:
        raise ValueError("a recipe has a step")
    return before[1]


def _architecture(setup: Setup, step: Step) -> Architecture:
    return setup.space.architecture(step.choices)


def _exported(
    to: Path, setup: Setup, recipe: Recipe, artifact: Artifact, manifest: Manifest
) -> dict[str, Any]:
    """The manifest of the new bundle, with the same programs."""
    if setup.dataset is None:
        raise ValueError("a recipe has a dataset")
    chosen = Candidate(
        study=manifest.provenance.study or "reproduced",
        trial=manifest.provenance.trial or 0,
        seed=recipe.seed,
        space=setup.space,
        architecture=_architecture(setup, recipe.steps[-1]),
        task=setup.task,
        dataset=as_validated(setup, setup.dataset, artifact),
        weights=best_weights(artifact),
        metrics=best_metrics(artifact),
        confirmed=None,
        retrained=True,
        background=Background(data=manifest.data, recipe=recipe),
    )
    formats = [program.exporter for program in manifest.programs]
    if recipe.quantized is not None:
        from nas.quantizing import Manner, quantize_candidate

        return quantize_candidate(to, chosen, Manner(**recipe.quantized), formats).manifest
    gives_both = manifest.contract.edges == "both_directions"
    return export_candidate(to, chosen, formats, gives_both=gives_both)


def _compared(folder: Path, to: Path, manifest: Manifest, again: Mapping[str, Any]) -> Reproduced:
    same = all(
        manifest.files[name].sha256 == again["files"][name]["sha256"]
        for name in (ARCHITECTURE, WEIGHTS)
    )
    metrics = {
        name: (metric.value, float(again["metrics"][name]["value"]))
        for name, metric in manifest.metrics.items()
        if metric.by == "program" and name in again["metrics"]
    }
    now = versions()
    changed = {
        what: (then, now.get(what, ""))
        for what, then in manifest.versions.items()
        if then != now.get(what)
    }
    return Reproduced(same, _largest(folder, to), metrics, changed)


def _largest(folder: Path, to: Path) -> float | None:
    one, other = load_weights(folder), load_weights(to)
    if {n: t.shape for n, t in one.items()} != {n: t.shape for n, t in other.items()}:
        return None
    differences = [(one[name] - other[name]).abs() for name in one if one[name].numel()]
    return max((float(d.max()) for d in differences), default=0.0)
