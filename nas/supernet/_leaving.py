"""Winners leave: as bundles, with their slices' weights or trained alone, or as a study file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evaluators import FORESEEN, Artifact, Evaluation, Job
from evaluators.checkpoint import best_metrics, best_weights
from evaluators.executors import inline
from evaluators.inherited import Inherited, Trained, of_job
from evaluators.metrics import split_metrics
from nas.executing import executed
from nas.export._folder import check_free, new_folder
from nas.export._manifest import Provenance
from nas.export._programs import planned
from nas.export.bundle import write_bundle
from nas.retraining import ConfirmError
from nas.setup import Setup
from nas.spec import StudySpec
from nas.study_file import check_new, text_of, write_new
from nas.supernet._problem import SpecialiseError
from nas.supernet._searching import Searching, Voice
from nas.supernet._winners import Winner
from search_spaces import Architecture
from search_spaces.frozen import FrozenMapping

if TYPE_CHECKING:
    from torch import nn

# By how much a slice may reach less than is foreseen without a word.
_LESS = 0.02
# The search is over: what it needed is left out.
_LEFT_OUT = ("halving", "executor", "strategy", "budget")


@dataclass(frozen=True)
class Leaving:
    """Where winners go; by default nowhere.

    Attributes:
        out: a folder to make, with a bundle for each bound: 2ms, 5ms, ...
        retrain: whether they are trained alone for it, from new weights.
        formats: the plug-ins that write their programs.
        write_study: a study file to write, which begins with them and trains them.
    """

    out: Path | None = None
    retrain: bool = False
    formats: tuple[str, ...] = ()
    write_study: Path | None = None

    def check(self) -> None:
        """Refuse places where something is.

        Raises:
            UsageError: there is; or an option that would do nothing, or no such exporter.
        """
        if self.retrain and self.out is None:
            raise SpecialiseError("retrain: is done for bundles; name a folder for them: --out DIR")
        planned(self.formats)
        if self.out is not None:
            check_free(self.out)
        if self.write_study is not None:
            check_new(self.write_study)


def leave(
    search: Searching, winners: Sequence[Winner], leaving: Leaving, voice: Voice
) -> list[Winner]:
    """Write what is to be written; the winners with what was.

    Raises:
        UsageError: something is there, or a network cannot be exported faithfully.
        ConfirmError: one could not be trained alone.
    """
    each = {w.architecture.key: w.architecture for w in winners if w.architecture is not None}
    left, architectures = list(winners), list(each.values())
    if leaving.out is not None and each:
        networks = _networks(search, architectures, leaving, voice)
        bundles = {
            w.bound_ms: networks[w.architecture.key] for w in winners if w.architecture is not None
        }
        write_bundles(search.setup, leaving.out, bundles, leaving.formats)
        left = [_with_bundle(winner, leaving.out, bundles) for winner in winners]
        _tell_slices(left, bundles, f"val_{search.setup.task.metric}", voice)
    if leaving.write_study is not None and each:
        name = search.setup.spec.study.name
        said = f"Specialised from the supernet of the study {name}."
        write_new(leaving.write_study, study_text(search.setup, architectures, said))
    return left


def folder_of(bound_ms: float) -> str:
    """The name of the bundle for a bound."""
    return f"{bound_ms:.15g}ms"


def _with_bundle(winner: Winner, out: Path, bundles: "Mapping[float, Network]") -> Winner:
    if winner.bound_ms not in bundles:
        return winner
    exported = FrozenMapping(bundles[winner.bound_ms].metrics)
    return replace(winner, bundle=out / folder_of(winner.bound_ms), exported=exported)


def _tell_slices(
    winners: Sequence[Winner], bundles: "Mapping[float, Network]", metric: str, voice: Voice
) -> None:
    """Slices are chosen by what they would reach alone; what they reach as they are may be less."""
    less = [
        f"{winner.bound_ms:g} ms: {winner.exported[metric]:.3f} of {foreseen:.3f}"
        for winner in winners
        if winner.bound_ms in bundles and bundles[winner.bound_ms].is_slice
        if (foreseen := winner.metrics[metric + FORESEEN]) - winner.exported[metric] > _LESS
    ]
    if less:
        voice.say(
            f"warning: exported slices reach less {metric} than is foreseen of the same networks "
            f"when they are trained alone ({'; '.join(less)}): export with --retrain, or "
            '--fine-tune-epochs N, or train the supernet with rule = "sandwich"'
        )


@dataclass(frozen=True, eq=False)
class Network:
    """A network with its weights, and what they reach on validation.

    Attributes:
        is_slice: whether they are the supernet's as they are; retrained: whether they are new.
    """

    architecture: Architecture
    module: "nn.Module"
    metrics: Mapping[str, float]
    is_slice: bool = False
    retrained: bool = False


def _networks(
    search: Searching, architectures: Sequence[Architecture], leaving: Leaving, voice: Voice
) -> dict[str, Network]:
    """By the keys of their architectures."""
    if leaving.retrain:
        number = len(architectures)
        voice.say(f"training {number} network{'s' * (number != 1)} alone")
        made = trained_alone(search, architectures)
    else:
        evaluations = search.evaluated(architectures)
        pairs = zip(architectures, evaluations, strict=True)
        made = [with_weights(search.setup, search.job(a), e) for a, e in pairs]
    return {network.architecture.key: network for network in made}


def supernet_of(setup: Setup, job: Job) -> Trained:
    """The trained supernet of a study.

    Raises:
        SpecialiseError: the evaluator has none.
        ArtifactError: it is missing or damaged.
    """
    if not isinstance(setup.evaluator, Inherited):
        raise SpecialiseError(
            f'the evaluator "{setup.spec.evaluator.name}" has no slices of a supernet; expected '
            '[evaluator] name = "inherited"'
        )
    share = setup.evaluator.preparation.plugin.options["share_transforms"]
    return of_job(job, share_transforms=bool(share))


def with_weights(setup: Setup, job: Job, evaluation: Evaluation) -> Network:
    """The network of a candidate with its slice's weights.

    Args:
        job: its own; `evaluation`: what became of it, whose fine-tuned weights count, if any.
    """
    if evaluation.artifact is not None:
        return _loaded(setup, job.architecture, evaluation.artifact)
    net = supernet_of(setup, job)
    network = net.subnets.network(net.weights, job.architecture)
    metrics = split_metrics(network, net.subnets.batches.dataset, "val")
    named = {f"val_{name}": value for name, value in metrics.items()}
    return Network(job.architecture, network, named, is_slice=True)


def trained_alone(search: Searching, architectures: Sequence[Architecture]) -> list[Network]:
    """The networks, trained from new weights.

    Raises:
        ConfirmError: one fails.
    """
    setup, alone = search.setup, search.setup.alone
    epochs = alone.evaluator.epochs
    jobs = [alone.job(a, search.dataset, search.store, epochs) for a in architectures]
    jobs = [replace(job, may_be_pruned=False) for job in jobs]
    [(_, evaluations)] = executed(inline.build(), [(None, jobs)])
    networks = []
    for architecture, evaluation in zip(architectures, evaluations, strict=True):
        if evaluation.failure is not None or evaluation.artifact is None:
            said = evaluation.failure.message if evaluation.failure else "it left no weights"
            raise ConfirmError(f"training {architecture.key[:12]} alone failed: {said}")
        network = _loaded(setup, architecture, evaluation.artifact)
        networks.append(replace(network, retrained=True))
    return networks


def _loaded(setup: Setup, architecture: Architecture, artifact: Artifact) -> Network:
    network = setup.space.network(architecture, setup.task)
    network.load_state_dict(best_weights(artifact))
    return Network(architecture, network.eval(), best_metrics(artifact))


def write_bundles(
    setup: Setup, out: Path, networks: Mapping[float, Network], formats: Sequence[str]
) -> None:
    """Write a folder with a bundle for each bound in ms; it appears whole or not at all.

    Raises:
        ExportError: something is there, or a network cannot be exported faithfully.
    """
    dataset = setup.dataset
    if dataset is None:
        raise ValueError("a supernet has a dataset")
    study, latency, export = setup.spec.study, setup.latency, setup.spec.export
    formats = formats or (export.targets if export is not None else ())
    device = None if latency is None else latency.profile.name
    with new_folder(out) as folder:
        for bound, network in networks.items():
            write_bundle(
                folder / folder_of(bound),
                network=network.module,
                architecture=network.architecture,
                task=setup.task,
                preprocessing=dataset.preprocessing,
                class_names=dataset.class_names,
                provenance=Provenance(
                    study=study.name,
                    seed=study.seed,
                    retrained=network.retrained,
                    slice=network.is_slice,
                    latency_bound_ms=bound,
                    device=device,
                ),
                metrics=network.metrics,
                dataset=dataset,
                formats=formats,
            )


def study_text(setup: Setup, architectures: Sequence[Architecture], said: str) -> str:
    """The TOML of a study that trains the winners, to begin with and, by its budget, alone."""
    spec: StudySpec = setup.alone.spec
    value = spec.to_json()
    tables = {name: table for name, table in value.items() if name not in _LEFT_OUT}
    starts = [dict(architecture.choices) for architecture in architectures]
    once = list({json.dumps(start, sort_keys=True): start for start in starts}.values())
    tables["study"] = {
        "seed": spec.study.seed,
        "objectives": {f"val_{setup.task.metric}": "maximize", "latency_ms": "minimize"},
        "constraints": list(spec.study.constraints),
        "start": once,
    }
    tables["strategy"] = {"name": "nsga2"}
    tables["budget"] = {"trials": len(once)}
    return text_of(tables, said)
