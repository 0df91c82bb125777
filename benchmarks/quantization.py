"""Are numbers of few bits what they say, what do they cost in accuracy, and what do they save?

`exact`: benchmarks/quantization_exact.py: values, integers and files against their definitions.
`accuracy`: benchmarks/quantization_accuracy.py: W8A8 and W4A8 beside full precision.
`degree`: benchmarks/quantization_degree.py: nodes that are spared, on graphs with and without hubs.
`after`: benchmarks/quantization_after.py: rounded after training, to nearest and by FlexRound.
`lpgnas`: benchmarks/quantization_lpgnas.py: architecture and bits searched together.
`compiled`: benchmarks/quantization_compiled.py: int8 as it runs when it has left.

    python benchmarks/quantization.py [--quick] [--json FILE] [--data-root DIR] [--write]
                                      [--keep DIR]
                                      [--only exact,accuracy,degree,after,lpgnas,compiled]
"""

from pathlib import Path

import torch
from reporting import by_module

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("exact", "accuracy", "degree", "after", "lpgnas", "compiled")


def main() -> None:
    torch.set_num_threads(1)
    by_module(__doc__, "few seeds, Cora", DOCUMENT, "Low precision", SECTIONS)


if __name__ == "__main__":
    main()
