"""What a network learns of another one besides the labels: its predictions, softened.

    loss = (1 - share) CE(labels, student) + share T^2 KL(teacher || student)

with both distributions at the temperature T: softmax(logits / T) (Geoffrey Hinton, Oriol Vinyals,
Jeff Dean: Distilling the Knowledge in a Neural Network, 2015). T^2 keeps the size of the second
term's gradients, whatever T is.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Lesson:
    """The predictions of a teacher, as constants; runs with one and the same train together.

    Attributes:
        logits: [U, C] of the teacher, for every unit of the dataset.
        share: how much they count, and not the labels; in (0, 1].
        temperature: T, above 0.
        everywhere: whether they are learned at all nodes of a graph, with a label or without; else
            at the training units alone.
    """

    logits: Tensor
    share: float
    temperature: float
    everywhere: bool

    def units(self, train: Tensor) -> Tensor:
        """Those that a loss over these training units sees [U']."""
        return torch.arange(self.logits.size(0)) if self.everywhere else train

    def targets(self, units: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
        """[U', C] the logarithms of the softened predictions for units."""
        # No gradient goes to the teacher.
        taught = (self.logits[units].detach() / self.temperature).log_softmax(-1)
        return taught.to(device=device, dtype=dtype)

    def losses(self, of_labels: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """The losses of K runs [K].

        Args:
            of_labels: [K] the cross entropy of each.
            logits: [K, U', C] of the students.
            targets: [U', C] as `targets` gives them.
        """
        learned = (logits / self.temperature).log_softmax(-1)
        apart = (targets.exp() * (targets - learned)).sum(-1).mean(-1)
        return (1 - self.share) * of_labels + self.share * self.temperature**2 * apart
