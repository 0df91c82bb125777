"""A trained trial in few bits, without training it again: what `nas quantize` does."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from evaluators._batches import Batches
from evaluators.metrics import split_metrics
from evaluators.post_training import STEPS, flex_round, round_to_nearest
from nas.candidate import Candidate, candidate
from nas.export._background import Background
from nas.export._folder import check_free
from nas.export._graph import facts_left
from nas.export._manifest import PostTraining, Provenance
from nas.export._programs import planned
from nas.export.bundle import write_bundle
from search_spaces import Architecture, SearchSpace, UsageError
from search_spaces.decision import Choice
from search_spaces.errors import did_you_mean
from search_spaces.quantization.deciding import ALL, START, named, options, precision
from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.layers import settled
from search_spaces.quantization.quantizers import Granularity, Scheme
from search_spaces.quantization.ranges import Observer
from search_spaces.sparsity.storage import leaving_bytes

if TYPE_CHECKING:
    from torch import nn

    from evaluators.datasets._base import Dataset

Method: TypeAlias = Literal["flexround", "nearest"]
# Graphs at a time.
_BATCH = 128
# So many that no number costs another one its precision.
_MANY_BITS = 16
# What is the same for a network whatever its bits.
_SAME = ("params", "macs")


class QuantizingError(UsageError):
    """A trial that is not to be quantized, or a way that does not go."""


@dataclass(frozen=True)
class Manner:
    """How a network is brought to few bits.

    Attributes:
        weight_bits, activation_bits: names of number formats: "8", "4", "binary", ...
        method: flexround, or nearest: see `evaluators.post_training`.
        scheme, granularity: see `search_spaces.quantization.quantizers`.
        observer: of ranges of activations, see `search_spaces.quantization.ranges`. With few bits
            the outermost numbers cost all others their precision, and percentiles leave them out:
            what is done by default, where activations have fewer than 16.
        steps: of flexround, for each block.

    Raises:
        QuantizingError: there is no such format, or flexround does not go with it.
    """

    weight_bits: str = "8"
    activation_bits: str = "8"
    method: Method = "flexround"
    scheme: Scheme = "affine"
    granularity: Granularity = "channel"
    observer: Observer | None = None
    steps: int = STEPS

    def __post_init__(self) -> None:
        bits = {"weight bits": self.weight_bits, "activation bits": self.activation_bits}
        for what, name in bits.items():
            if name not in FORMATS:
                raise QuantizingError(f'{what}: "{name}" are none; {did_you_mean(name, FORMATS)}')
        if all(FORMATS[name].is_float for name in bits.values()):
            raise QuantizingError(
                "weight bits and activation bits: 32 both, so nothing is left to do; nas export "
                "writes the network as it is"
            )
        if self.method == "flexround" and not FORMATS[self.weight_bits].is_uniform:
            raise QuantizingError(
                f'weight bits: flexround learns the rounding of 2 to 16, got "{self.weight_bits}"; '
                "use the method nearest"
            )

    @property
    def choices(self) -> Mapping[str, Choice]:
        """As the extension `quantization` would have decided."""
        names = ("weight_bits", "activation_bits", "scheme", "granularity")
        few = FORMATS[self.activation_bits].bits < _MANY_BITS
        observer = self.observer or ("percentile" if few else "minmax")
        return {**{named(name): getattr(self, name) for name in names}, named("observer"): observer}


@dataclass(frozen=True)
class Quantized:
    """What became of a trial.

    Attributes:
        manifest: of the bundle.
        before, after: metrics of the validation split, and `model_bytes`: what the weights take.
    """

    manifest: dict[str, Any]
    before: Mapping[str, float]
    after: Mapping[str, float]


_USUAL = Manner()


def quantize_trial(
    name: str,
    trial: int | Literal["best"],
    to: Path,
    manner: Manner = _USUAL,
    *,
    storage: str,
    data_root: Path,
    space: SearchSpace | None = None,
    formats: Sequence[str] = (),
    told: Callable[[str], None] = lambda _: None,
) -> Quantized:
    """Quantize a trained trial on its dataset's graph, and write the bundle.

    Labels of the validation split measure it, before and after; those of the test split stay
    sealed, and none is read to quantize it.

    Args:
        name: of the study.
        trial: its number, or "best".
        to: the folder to make.
        manner: how.
        storage, data_root, space, formats: as for `nas.export.bundle.export_trial`.
        told: what is being done.

    Raises:
        QuantizingError: its bits are decided by the extension quantization.
        ExportError: `to` is there already, or the network cannot be exported faithfully.
        UsageError: there is no such study, trial or exporter.
    """
    check_free(to)
    planned(formats)
    chosen = candidate(name, trial, storage=storage, data_root=data_root, space=space)
    if any(decision.startswith(f"{START}.") for decision in chosen.architecture.choices):
        raise QuantizingError(
            f'trial {chosen.trial} of study "{name}" has its bits decided already, 32 or fewer, by '
            f"[extension.quantization]; leave with it as it is: nas export {name} --trial "
            f"{chosen.trial} --to {to}, or quantize a trial of a study without that table"
        )
    return quantize_candidate(to, chosen, manner, formats, told)


def quantize_candidate(
    to: Path,
    chosen: Candidate,
    manner: Manner = _USUAL,
    formats: Sequence[str] = (),
    told: Callable[[str], None] = lambda _: None,
) -> Quantized:
    """Quantize a trained network, and write the bundle; see `quantize_trial`."""
    network = chosen.network()
    told(f"rounding the weights of trial {chosen.trial}")
    quantized = quantized_network(network, chosen.dataset, manner)
    told("measuring it on validation, before and after")
    before, after = (measured(each, chosen.dataset) for each in (network, quantized))
    told("writing the bundle")
    written = formats or chosen.targets
    manifest = _written(to, chosen, quantized, manner, (before, after), written)
    return Quantized(manifest, before, after)


def quantized_network(network: "nn.Module", dataset: "Dataset", manner: Manner) -> "nn.Module":
    """A copy in few bits of a trained network.

    It is calibrated on the graph of a node task, or on the training graphs of a graph task.
    """
    units = dataset.train.nonzero()[:, 0]
    batches = [batch.inputs for batch in Batches(dataset).split(units, _BATCH)]
    formats, how = precision(manner.choices, ALL), options(manner.choices)
    if manner.method == "nearest":
        return round_to_nearest(network, formats, how, batches)
    return flex_round(network, formats, how, batches, steps=manner.steps)


def measured(network: "nn.Module", dataset: "Dataset") -> dict[str, float]:
    """Of the validation split, by name of the metric, and what the weights take."""
    values = split_metrics(network, dataset, "val")
    return {
        **{f"val_{name}": value for name, value in values.items()},
        "model_bytes": leaving_bytes(network),
    }


def _written(
    to: Path,
    chosen: Candidate,
    network: "nn.Module",
    manner: Manner,
    measured_: tuple[Mapping[str, float], Mapping[str, float]],
    formats: Sequence[str],
) -> dict[str, Any]:
    """The manifest of the bundle that was written; what was measured is before and after."""
    before, after = measured_
    known = {**chosen.metrics, **facts_left(chosen, network)}
    same = {name: known[name] for name in _SAME if name in known}
    architecture = Architecture(
        f"{chosen.architecture.space}+{START}", {**chosen.architecture.choices, **manner.choices}
    )
    return write_bundle(
        to,
        network=network,
        leaving=settled(chosen.space.deployed(copy.deepcopy(network), chosen.architecture)),
        architecture=architecture,
        task=chosen.task,
        preprocessing=chosen.dataset.preprocessing,
        class_names=chosen.dataset.class_names,
        provenance=Provenance(
            study=chosen.study,
            trial=chosen.trial,
            seed=chosen.seed,
            retrained=chosen.retrained,
            post_training=PostTraining(method=manner.method, before=dict(before)),
        ),
        metrics={**same, **after},
        dataset=chosen.dataset,
        formats=formats,
        background=_background(chosen, manner),
    )


def _background(chosen: Candidate, manner: Manner) -> Background:
    """With how it was quantized; what it took on a device was before that."""
    known, recipe = chosen.background, chosen.background.recipe
    if recipe is not None:
        recipe = recipe.model_copy(update={"quantized": asdict(manner)})
    return replace(known, recipe=recipe, latency=())
