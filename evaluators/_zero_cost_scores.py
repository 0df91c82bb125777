"""What an untrained network says of itself: scores of Zero-Cost Proxies for Lightweight NAS (2021).

Mohamed Abdelfattah, Abhinav Mehrotra, Lukasz Dudziak, Nicholas Lane. Of all its weights theta of
two dimensions or more (no biases, no normalization), by g = dL/dtheta and the second derivative H:

    snip           sum of abs(theta g)
    grasp          - sum of theta H g
    gradient_norm  sum over tensors of the Euclidean norm of g
    synflow        sum of theta dR/dtheta of the linear network, see `search_spaces.sparsity.scores`

Each is higher for what is thought to be better. A fifth is not theirs: `read_out`, of what the
network makes of units (`evaluators.reading_out`).
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluators import metrics
from evaluators._batches import Batch, batches_of
from evaluators._dropout import set_dropout
from evaluators._faults import CandidateError, network_fault
from evaluators._normalization import recalibrate
from evaluators._recipe import seed_torch
from evaluators.reading_out import regressed
from evaluators.values import Failure, Job
from search_spaces import ChangesInTraining
from search_spaces.sparsity.scores import gradients, synflow


class Untrained:
    """The network of a job as training begins with it: initial weights, changed for epoch 1.

    Attributes:
        network: in training mode, nothing dropped.
        batch: of training units: the whole graph, or as many graphs as go at a time, drawn.
    """

    def __init__(self, job: Job, index: int, batch_size: int, outputs: int | None = None) -> None:
        """Build it.

        Args:
            job: whose.
            index: which initial weights: those of the run of that number.
            batch_size: graphs at a time.
            outputs: in place of the classes; no fewer.

        Raises:
            CandidateError: it cannot be built.
        """
        self._batches, self._batch_size = batches_of(job.dataset), batch_size
        dataset = self._dataset = self._batches.dataset
        self._outputs = outputs or dataset.n_classes
        self._train = (dataset.train & (dataset.y >= 0)).nonzero()[:, 0]
        seed_torch(job.seed, index, 0)
        with network_fault("building the network"):
            task = replace(dataset.task, n_classes=self._outputs)
            self.network = job.space.network(job.architecture, task)
        set_dropout(self.network, 0.0, None)
        seed_torch(job.seed, index, 1)
        units = self._train
        if self._batches.by_graph:
            units = units[torch.randperm(units.numel())[:batch_size]]
        self.batch = self._as_wide(self._batches.of(units))
        self.network.train()
        with network_fault("beginning the first epoch"):
            for module in list(self.network.modules()):
                if isinstance(module, ChangesInTraining):
                    module.begin_epoch(1, self.loss)

    def loss(self) -> Tensor:
        """Of the batch."""
        logits = metrics.predict(self.network, self.batch)
        return F.cross_entropy(logits, self.batch.y, self._dataset.class_weights)

    def read_out(self, units: Tensor) -> Tensor:
        """[U, C] of units, by a regression of all training labels on the network's outputs.

        In evaluation mode, batch normalization recalibrated on the training units.

        Raises:
            CandidateError: its outputs are not finite, or not what was asked for.
        """
        with network_fault("reading the network out"), torch.no_grad():
            recalibrate(self.network, self._batches.split(self._train, self._batch_size))
            known, others = self._outputs_of(self._train), self._outputs_of(units)
        if not bool(known.isfinite().all() and others.isfinite().all()):
            raise CandidateError(Failure("divergence", "what the network gives is not finite"))
        y, dataset = self._dataset.y[self._train], self._dataset
        return regressed(known, others, y, dataset.n_classes, dataset.class_weights)

    def _outputs_of(self, units: Tensor) -> Tensor:
        batches = map(self._as_wide, self._batches.split(units, self._batch_size))
        return torch.cat([metrics.predict(self.network, batch) for batch in batches]).double()

    def _as_wide(self, batch: Batch) -> Batch:
        return replace(batch, shape=(batch.shape[0], self._outputs))


def of_loss(network: nn.Module, loss: Tensor) -> dict[str, float]:
    """`snip`, `grasp` and `gradient_norm`; each is 0 of a loss that depends on no weight.

    Args:
        network: whose weights.
        loss: is differentiated twice.
    """
    weights = _weights(network)
    if not weights or not loss.requires_grad:
        return {"snip": 0.0, "grasp": 0.0, "gradient_norm": 0.0}
    slopes = gradients(weights, loss, twice=True)
    # d(g . g) / dtheta = 2 H g, of which one g is held.
    flow = torch.stack([(slope.detach() * slope).sum() for slope in slopes.values()]).sum()
    curved = gradients(weights, flow) if flow.requires_grad else {}
    return {
        "snip": sum(float((slopes[n] * v).detach().abs().sum()) for n, v in weights.items()),
        "grasp": -sum(float((curved[n] * weights[n]).detach().sum()) for n in curved),
        "gradient_norm": sum(float(slope.detach().norm()) for slope in slopes.values()),
    }


def of_flow(network: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """`synflow`.

    Weights may be larger than float32 can add up, so the network has float64 from here on.
    """
    network.double()
    x, *rest = inputs
    found = synflow(network, _weights(network), (x.double(), *rest), steering=False)
    return sum(float(score.sum()) for score in found.values())


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {n: p for n, p in network.named_parameters() if p.requires_grad and p.dim() > 1}
