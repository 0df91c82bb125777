"""Sparse trials, held against what they have to beat.

Three arms always: the dense parent, the network that was searched, and one with exactly as much
left of each tensor, chosen by chance: what Hamed Farahani and others, "Random search as a baseline
for sparse neural network architecture search" (2024), ask of everyone. See docs/sparsity.md.
"""

from nas.sparse.arms import Arm, Difference, SparseComparison, Trained, UnequalArmsError
from nas.sparse.comparing import compare_sparse
from nas.sparse.training import SparseTrainingError

__all__ = [
    "Arm",
    "Difference",
    "SparseComparison",
    "SparseTrainingError",
    "Trained",
    "UnequalArmsError",
    "compare_sparse",
]
