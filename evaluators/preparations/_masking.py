"""Training a supernet without labels: what neighbors tell of nodes whose features are hidden.

After Rui Wang et al., LightHuBERT: Lightweight and Configurable Speech Representation Learning with
Once-for-All Hidden-Unit BERT (2022), in two stages: first the largest network, then, from the very
weights that it ends with, slices that are dealt. Both learn, at the nodes that are hidden, what a
frozen teacher makes of the graph in which nothing is hidden. Ours has no weights: it is the nodes'
own features, propagated twice and projected at random (Felix Wu et al., Simplifying Graph
Convolutional Networks, 2019), with columns of mean 0 and variance 1. No label is read.

The weights that come out are those of all tensors but the output's, which maps to the teacher's
columns here, and begins anew for the classes.

Limits: node tasks.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import SGConv

from evaluators._batches import Batch, Batches
from evaluators.preparations._sampling import Decks, anything, largest_architecture
from evaluators.slicing import Subnets
from search_spaces import Architecture
from search_spaces.supernet import Supernet

COLUMNS = 64
HIDDEN = 0.5
_HOPS = 2
# The tensors of the output are named so.
_OUTPUT = "output"


class Masking:
    """The task without labels.

    Args:
        subnets: of the supernet that is to begin with what is learned.
        seed: of the study.
        epochs: of both stages together.
    """

    def __init__(self, subnets: Subnets, seed: int, epochs: int) -> None:
        supernet, self.epochs = subnets.supernet, epochs
        task = replace(supernet.task, n_classes=COLUMNS)
        own = Supernet(supernet.space, task, share_transforms=supernet.share_transforms)
        self.subnets = Subnets(own, subnets.batches, subnets.dropout, by_modules=True)
        self._seed = seed

    @cached_property
    def _taught(self) -> Tensor:
        return taught(self.subnets.batches, self._seed)

    def is_first_stage(self, number: int) -> bool:
        """Whether in epoch `number`, from 1, the largest network alone is trained."""
        return number <= -(-self.epochs // 2)

    def drawn(self, number: int, decks: Decks, count: int) -> list[Architecture]:
        """The architectures of a step."""
        if self.is_first_stage(number):
            return [largest_architecture(self.subnets.supernet.space)]
        return [decks.deal(anything) for _ in range(count)]

    def batch(self, rng: np.random.Generator) -> Batch:
        """The whole graph with half of the nodes hidden, which are those that count."""
        dataset = self.subnets.batches.dataset
        hidden = torch.from_numpy(rng.random(dataset.x.size(0)) < HIDDEN)
        x = dataset.x * ~hidden[:, None]
        rows = hidden.nonzero()[:, 0]
        whole = self.subnets.batches.of(rows)
        shape = (whole.shape[0], COLUMNS)
        return replace(whole, inputs=(x, *whole.inputs[1:]), shape=shape)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean squared error [] at the nodes that are hidden."""
        return F.mse_loss(outputs, self._taught[batch.rows])

    def handed_on(
        self, weights: Mapping[str, Tensor], new: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The weights to begin with: what was learned, and the output as it is in `new`."""
        return {
            name: (tensor if name.startswith(_OUTPUT) else weights[name]).detach().clone()
            for name, tensor in new.items()
        }


def taught(batches: Batches, seed: int) -> Tensor:
    """[N, columns] what the frozen teacher says of each node."""
    x = batches.dataset.x
    rng = np.random.default_rng([seed, 0])
    directions = rng.standard_normal((x.size(1), COLUMNS)) / np.sqrt(x.size(1))
    smooth = SGConv(x.size(1), COLUMNS, K=_HOPS, bias=False)
    with torch.no_grad():
        smooth.lin.weight.copy_(torch.from_numpy(directions.T))
        latent: Tensor = smooth(x, batches.dataset.edge_index)
    return (latent - latent.mean(0)) / latent.std(0).clamp(min=1e-6)
