"""Slices with their output fitted anew: a ridge regression of the training labels, in closed form.

The output of a supernet is what slices share most and agree about least: it has to map what each of
them makes of a node, and fits none. What a slice has to tell is in what its output reads; so that
is taken, as the output's operator propagates it, and mapped to the classes by

    B = (X' W X + s I)^-1 X' W Y

for standardized columns X [n, D] of the training units, one-hot labels Y, and weights W that sum to
1; the strength s, of a thousandth to 1, is that with the least squared error of training units that
were left out, each in turn (in closed form, too). Guillaume Alain, Yoshua Bengio: Understanding
Intermediate Layers Using Linear Classifier Probes (2017). With weights that were never trained this
is a measure, too, and ranks better than one expects: compare with it.

Limits: an operator that maps its input several times has a block of columns for each map; one whose
maps are behind a nonlinearity (gin) is read as if there were none. Attention is uniform.
"""

from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators._faults import CandidateError
from evaluators.slicing import Subnets
from evaluators.values import Failure
from search_spaces import Architecture
from search_spaces.elastic import Place
from search_spaces.slices import Weights
from search_spaces.supernet import Supernet, axes_of

_OUTPUT = "output."
_STRENGTHS = (0.001, 0.01, 0.1, 1.0)
# Columns that hardly vary on the training units are not to be blown up elsewhere.
_FLATTEST = 1e-3


class ReadOut:
    """Fits the outputs of a supernet's slices."""

    def __init__(self, subnets: Subnets) -> None:
        self._subnets = subnets
        dataset = subnets.batches.dataset
        self._train = (dataset.train & (dataset.y >= 0)).nonzero()[:, 0]
        self._wide = lru_cache(maxsize=64)(self._with_classes)

    def logits(self, weights: Weights, architecture: Architecture, units: Tensor) -> Tensor:
        """[U, C] of units, by the training labels alone.

        Raises:
            CandidateError: the network cannot be run, or its numbers are not finite.
        """
        dataset = self._subnets.batches.dataset
        x = self._read(weights, architecture, torch.cat([self._train, units])).double()
        if not bool(x.isfinite().all()):
            raise CandidateError(
                Failure("divergence", "what the slice makes of nodes is not finite")
            )
        train, others = x[: self._train.numel()], x[self._train.numel() :]
        y = dataset.y[self._train]
        return regressed(train, others, y, dataset.n_classes, dataset.class_weights)

    def _read(self, weights: Weights, architecture: Architecture, units: Tensor) -> Tensor:
        """[U, D] what the output reads of units, as its operator propagates it."""
        supernet = self._subnets.supernet
        output = next(p for p in supernet.places(architecture) if p.path.startswith(_OUTPUT))
        width = sum(read.width for read in output.reads)
        subnets = self._wide(width)
        own = supernet.weights(weights, architecture, without=_OUTPUT)
        blocks = [
            subnets.evaluated_with(own | passing, architecture, units)
            for passing in _passing(output, width, next(iter(own.values())).dtype)
        ]
        # A map that only attention reads passes nothing on.
        told = [block for block in blocks if bool(block.any())]
        return torch.cat(told or blocks[:1], dim=1)

    def _with_classes(self, width: int) -> Subnets:
        """The same slices with so many outputs."""
        supernet = self._subnets.supernet
        task = replace(supernet.task, n_classes=width)
        wide = Supernet(supernet.space, task, share_transforms=supernet.share_transforms)
        return Subnets(wide, self._subnets.batches)


def regressed(
    train: Tensor, others: Tensor, y: Tensor, n_classes: int, class_weights: Tensor | None
) -> Tensor:
    """[U, C] of others [U, D], by the regression of the labels y [n] of train [n, D]; all float64.

    Args:
        class_weights: [C], how much a unit of each class counts; None for alike.
    """
    spread = train.std(0, correction=0)
    scale = spread.clamp(min=max(float(spread.max()) * _FLATTEST, 1e-12))
    train, others = ((part - train.mean(0)) / scale for part in (train, others))
    share = torch.ones(len(y)) if class_weights is None else class_weights[y]
    coefficients = _ridge(train, F.one_hot(y, n_classes).double(), share.double())
    return F.pad(others, (0, 1), value=1.0) @ coefficients


def _passing(output: Place, width: int, dtype: torch.dtype) -> list[dict[str, Tensor]]:
    """Parameters of the output that pass its input on, unchanged, by one of its maps each."""
    kinds = {n: [axis.kind for axis in tensor.axes] for n, tensor in axes_of(output).items()}
    with torch.device("meta"):
        module = output.module(width, width)
    found = []
    for chosen in (name for name, kind in kinds.items() if "reads" in kind):
        parameters = {}
        for name, parameter in module.named_parameters():
            passes = name == chosen or kinds[name].count("writes") > 1
            made = torch.eye(width, dtype=dtype) if passes else torch.zeros((), dtype=dtype)
            shaped = made.reshape(parameter.shape) if passes else made.expand(parameter.shape)
            parameters[f"{output.path}.{name}"] = shaped
        found.append(parameters)
    return found


def _ridge(x: Tensor, y: Tensor, share: Tensor) -> Tensor:
    """[D + 1, C] the coefficients, the last row of which is of a column of ones."""
    x = F.pad(x, (0, 1), value=1.0)
    share = share / share.sum()
    spectrum, vectors = torch.linalg.eigh((x * share[:, None]).T @ x)
    turned = x @ vectors
    targets = (turned * share[:, None]).T @ y
    best: tuple[float, Tensor] | None = None
    for strength in _STRENGTHS:
        shrunk = 1 / (spectrum.clamp(min=0) + strength)
        leverage = (turned.square() @ shrunk) * share
        missed = (y - turned @ (targets * shrunk[:, None])) / (1 - leverage)[:, None]
        error = float((missed.square().sum(1) * share).sum())
        if best is None or error < best[0]:
            best = error, vectors @ (targets * shrunk[:, None])
    if best is None:
        raise ValueError("no strength to choose from")
    return best[1]
