"""Are numbers of few bits what they say, what do they cost in accuracy, and what do they save?

`exact`: benchmarks/quantization_exact.py: values, integers and files against their definitions.
`accuracy`: benchmarks/quantization_accuracy.py: W8A8 and W4A8 beside full precision.
`degree`: benchmarks/quantization_degree.py: nodes that are spared, on graphs with and without hubs.
`lpgnas`: benchmarks/quantization_lpgnas.py: architecture and bits searched together.
`compiled`: benchmarks/quantization_compiled.py: int8 as it runs when it has left.

    python benchmarks/quantization.py [--quick] [--json FILE] [--data-root DIR] [--write]
                                      [--keep DIR] [--only exact,accuracy,degree,lpgnas,compiled]
"""

import argparse
import importlib
from pathlib import Path

import torch
from reporting import Row, by_section, command_line

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("exact", "accuracy", "degree", "lpgnas", "compiled")


def main() -> None:
    parser = command_line(__doc__, "few seeds, Cora", DOCUMENT, SECTIONS)
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what each run found here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = " --data-root data"
    by_section(
        arguments, lambda name: _section(name, arguments), DOCUMENT, "Low precision", options
    )


def _section(name: str, arguments: argparse.Namespace) -> tuple[str, list[Row]]:
    # Each is read when it is its turn: one that cannot be leaves the others as they are.
    module = importlib.import_module(f"quantization_{name}")
    rows, text = module.rows(arguments.quick, arguments.data_root, arguments.keep)
    return text, rows


if __name__ == "__main__":
    main()
