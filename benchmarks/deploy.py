"""Do bundles compute what their networks do, how fast, and what do they refuse?

`parity`: benchmarks/deploy_parity.py: all operators, tasks and formats, here and elsewhere.
`speed`: benchmarks/deploy_speed.py: compiled programs beside torch.
`serve`: benchmarks/deploy_serve.py: throughput over HTTP beside the bare forward.
`corrupt`: benchmarks/deploy_corrupt.py: a thousand spoilt bundles.

    python benchmarks/deploy.py [--quick] [--json FILE] [--data-root DIR] [--write] [--keep DIR]
                                [--only parity,speed,serve,corrupt]
"""

from pathlib import Path

import torch
from reporting import by_module

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("parity", "speed", "serve", "corrupt")


def main() -> None:
    torch.set_num_threads(1)
    by_module(__doc__, "few operators compiled", DOCUMENT, "Bundles", SECTIONS)


if __name__ == "__main__":
    main()
