"""Is search by gradient, and by network transformation, what it says, and what does it find?

`exact`: benchmarks/gradient_exact.py: gradients, mixtures and channels against their definitions.
`memory`: benchmarks/gradient_memory.py: activations that PC-DARTS does not keep.
`planted`: benchmarks/gradient_planted.py: whether the operator that made the labels is found.
`tas`: benchmarks/gradient_tas.py: widths and depths under a target of macs.
`morphism`: benchmarks/gradient_morphism.py: children that begin as what their parent was.
`searches`: benchmarks/gradient_searches.py: what is found on real graphs, beside random search.

    python benchmarks/gradient.py [--quick] [--json FILE] [--data-root DIR] [--write] [--keep DIR]
                                  [--only exact,memory,planted,tas,morphism,searches]
"""

from pathlib import Path

import torch
from reporting import by_module

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("exact", "memory", "planted", "tas", "morphism", "searches")


def main() -> None:
    torch.set_num_threads(1)
    by_module(__doc__, "few seeds, small graphs, Cora", DOCUMENT, "Search by gradient", SECTIONS)


if __name__ == "__main__":
    main()
