"""Graph classification: search on molecules, confirm, export, and ask about a new molecule.

    python examples/graph_classification.py --data-root data    # MUTAG, downloaded into data/

MUTAG is 188 molecules, mutagenic or not (Debnath et al., 1991): atoms are nodes, bonds are edges,
hydrogen is left out. So few graphs are noisy: every number here has a wide interval.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import nas

# What the columns of x stand for, as the collection has them: one is 1 in each row.
ATOMS = ("C", "N", "O", "F", "I", "Cl", "Br")
# Bonds of rings of carbon: one ring, and three of them side by side.
BENZENE = [(i, (i + 1) % 6) for i in range(6)]
ANTHRACENE = [*((i, (i + 1) % 14) for i in range(14)), (0, 5), (7, 12)]


def study_of(trials: int) -> dict[str, Any]:
    """The tables of a study file, as Python: see docs/study_file.md for every key."""
    return {
        "study": {"name": "graphs", "objectives": {"val_accuracy": "maximize"}},
        "space": {
            "name": "gnn",
            "depth": [2, 3],
            "operators": ["gin", "gcn", "sage"],
            "width": [16, 32],
            "activation": ["relu"],
            # How the nodes of a graph become one row: it can matter more than the operator.
            "readout": ["sum", "mean", "max"],
        },
        # Raw files are read from DATA_ROOT/TUDataset/MUTAG/raw; what is missing is downloaded.
        "dataset": {"name": "tu", "subset": "MUTAG"},
        "strategy": {"name": "evolution", "population": 6, "sample": 3},
        # Each trial is the mean of three folds: one split of 188 graphs says little.
        "evaluator": {"name": "training", "epochs": 30, "folds": 3, "dropout": 0.2},
        "budget": {"trials": trials},
    }


def molecule(atoms: str, bonds: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """x [atoms, 7] and edge_index [2, 2 bonds]: each bond in both directions."""
    x = torch.zeros(len(atoms), len(ATOMS))
    x[range(len(atoms)), [ATOMS.index(atom) for atom in atoms]] = 1
    pairs = [*bonds, *((b, a) for a, b in bonds)]
    return x, torch.tensor(pairs).T.contiguous()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--out", type=Path, help="a new folder; by default a temporary one")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="graphs-"))
    out.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{out / 'nas.db'}"

    print(f"1. Search, {options.trials} trials")
    study = nas.search(study_of(options.trials), storage=storage, data_root=options.data_root)
    (best, *_) = study.front()
    decisions = best.to_json()["decisions"]
    print(f"   best validation accuracy {best.metrics['val_accuracy']:.3f}, mean of three folds:")
    print(f"   {decisions['depth']} layers, readout {decisions['readout']}")

    print("2. Confirm the best two on three fresh seeds; only now is test measured")
    first, *_ = study.confirm(top=2, seeds=3)
    for split in ("val", "test"):
        value = first.metrics[f"{split}_accuracy"]
        print(f"   {split:4} accuracy {value['mean']:.3f} +- {value['stderr']:.3f}")
    print("   Quote the second: the first is what it was chosen by.")

    print("3. Export it, and load what was exported")
    study.export(out / "bundle", first.trial)
    (out / "network.svg").write_text(study.draw(first.trial), encoding="utf-8")
    bundle = nas.load_bundle(out / "bundle")

    print("4. Ask about molecules that it has not seen")
    # A nitro group on one ring, and on three: the more rings, the more of them are mutagenic.
    asked = {
        "nitrobenzene": molecule("CCCCCCNOO", [*BENZENE, (2, 6), (6, 7), (6, 8)]),
        "2-nitroanthracene": molecule(
            "CCCCCCCCCCCCCCNOO", [*ANTHRACENE, (2, 14), (14, 15), (14, 16)]
        ),
    }
    xs, edges = zip(*asked.values(), strict=True)
    # Graphs go in side by side: nodes below each other, edges by the row numbers that these have.
    graph_ids = torch.repeat_interleave(torch.arange(len(xs)), torch.tensor([len(x) for x in xs]))
    starts = [0, len(xs[0])]
    edge_index = torch.cat([e + start for e, start in zip(edges, starts, strict=True)], dim=1)
    answers = bundle.probabilities(torch.cat(xs), edge_index, graph_ids)
    for name, answer in zip(asked, answers, strict=True):
        # Class 1 is "mutagenic".
        print(f"   {name:17}: mutagenic with probability {answer[1]:.2f}")
    print(f"   everything is in {out}: nas.db, bundle/, network.svg")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
