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

import argparse
import importlib
from pathlib import Path

import torch
from reporting import Row, by_section, command_line

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("exact", "memory", "planted", "tas", "morphism", "searches")


def main() -> None:
    parser = command_line(__doc__, "few seeds, small graphs, Cora", DOCUMENT, SECTIONS)
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what each run found here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = " --data-root data"
    by_section(
        arguments, lambda name: _section(name, arguments), DOCUMENT, "Search by gradient", options
    )


def _section(name: str, arguments: argparse.Namespace) -> tuple[str, list[Row]]:
    # Each is read when it is its turn: one that cannot be leaves the others as they are.
    module = importlib.import_module(f"gradient_{name}")
    rows, text = module.rows(arguments.quick, arguments.data_root, arguments.keep)
    return text, rows


if __name__ == "__main__":
    main()
