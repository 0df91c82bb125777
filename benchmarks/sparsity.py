"""Are subnetworks what they say, what do they cost in accuracy, and what do they save?

`exact`: benchmarks/sparsity_exact.py: what must hold of every method.
`accuracy`: benchmarks/sparsity_accuracy.py: each method beside the dense network and chance.
`structured`: benchmarks/sparsity_structured.py: half the units and half the edges, as they run.
`study`: benchmarks/sparsity_study.py: architecture, densities and bits searched together.
`zero_cost`: benchmarks/sparsity_zero_cost.py: scores of untrained networks beside trained accuracy.

    python benchmarks/sparsity.py [--quick] [--json FILE] [--data-root DIR] [--write] [--keep DIR]
                                  [--only exact,accuracy,structured,study,zero_cost]
"""

from pathlib import Path

import torch
from reporting import by_module

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("exact", "accuracy", "structured", "study", "zero_cost")


def main() -> None:
    torch.set_num_threads(1)
    by_module(__doc__, "few seeds, Cora", DOCUMENT, "Sparse subnetworks", SECTIONS)


if __name__ == "__main__":
    main()
