"""Takes whole layers out before training: those that the flow of gradients needs least.

The score of a layer is the sum of the GraSP scores of its weights. Of residual networks alone, and
of these the layers whose input is as wide as their output: the rest of the network is as it was
without them. Edges go as with `grasp`. Artur Jordao, George de Araujo, Helena de Almeida Maia,
Helio Pedrini: When Layers Play the Lottery, all Tickets Win at Initialization (2023).
"""

from search_spaces.sparsity.methods.grasp import change, epochs, scores
from search_spaces.sparsity.planning import Structure

__all__ = ["OPTIONS", "STRUCTURES", "TRAINS_EDGES", "change", "epochs", "scores"]

TRAINS_EDGES = False
STRUCTURES: tuple[Structure, ...] = ("layers",)
OPTIONS: tuple[str, ...] = ()
