"""Whether children compute what their parents do, and what that is worth in training.

Exactness: random parents of each operator and each connectivity, with random weights, grown by
some steps (layers wider, layers added) and compared on a random graph, in single precision;
control: the same child with weights of its own.

Worth: on real graphs, a parent is trained until it has learned; its child, wider and deeper, is
trained for few epochs from the parent's weights and from weights of its own, in pairs of one seed.
The parent's epochs come on top: what they would have been worth to the child alone, and what a
parent is worth that was never trained, stand beside.
"""

import tempfile
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from gradient_keeping import configured, kept
from gradient_morphism_exact import exact_rows
from reporting import Row, bounded, row, table, told
from scipy.stats import t as student
from supernet_parts import Ground

from evaluators import Artifact, Inheritance, Job
from search_spaces import Architecture, plugins
from search_spaces.plugins import Plugin

# Of the pairs on real graphs: of the children, and of their parents before.
EPOCHS, PARENT_EPOCHS = 20, 100
# Pairs; few of them show large differences only, and are not judged.
SEEDS, QUICK = 30, 4
PAIR: Mapping[str, Any] = {
    "depth": (1, 2),
    "operators": ("sage",),
    "width": (16, 64),
    "aggregation": ("mean",),
    "activation": ("relu",),
    "normalization": ("none",),
    "connectivity": ("plain",),
    "pre_layers": (0,),
    "post_layers": (0,),
    "output": ("linear",),
}
ARMS = (
    "inherits",
    "own weights",
    "own weights, the parent's epochs more",
    "of an untrained parent",
)


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and tables.

    Args:
        quick: fewer pairs, 4 seeds on Cora alone.
        data_root: of the public graphs.
        keep: a folder for what each pair found; None keeps nothing.
    """
    made, text = exact_rows(1 if quick else 6)
    graphs, seeds = (("Cora",), QUICK) if quick else (("Cora", "Photo"), SEEDS)
    lines = {}
    for graph in graphs:
        found = worth(graph, range(seeds), data_root, keep)
        more, cells = _worth_rows(graph, found)
        made += more
        lines[graph] = cells
    columns = ("", *ARMS, "inherits less own weights (95 % interval)")
    title = f"Validation accuracy, {EPOCHS} epochs, parents {PARENT_EPOCHS}, mean of {seeds} seeds"
    return made, f"{text}\n{table(title, columns, lines)}"


def worth(
    graph: str, seeds: Sequence[int], data_root: Path, keep: Path | None
) -> list[Mapping[str, float]]:
    """Validation accuracies of each seed: of the parent, and of the child by `ARMS`."""
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground.of(graph, data_root, Path(folder).as_uri(), PAIR)
        found = []
        for seed in seeds:
            recipe = {
                "graph": ground.dataset.fingerprint,
                "space": ground.space.to_json(),
                "epochs": [PARENT_EPOCHS, EPOCHS],
                "seed": seed,
                "evaluator": configured("evaluator", Plugin("training")),
                "inheritance": configured("inheritance", Plugin("morphism")),
            }
            pair = _Pair(ground, seed)
            found.append(kept(keep and keep / "morphism", f"{graph}-{seed}", recipe, pair.measured))
            told(
                f"{graph}, seed {seed}: " + ", ".join(f"{n} {v:.3f}" for n, v in found[-1].items())
            )
    return found


class _Pair:
    """A parent of one layer, 16 wide, and a child of two, 64 wide, of one seed."""

    def __init__(self, ground: Ground, seed: int) -> None:
        self._ground, self._seed = ground, seed
        self._parent, self._child = (
            ground.space.fill(
                lambda d: d.choices[0],
                {"depth": depth, **{f"layer{i}.width": width for i in range(depth)}},
            )
            for depth, width in ((1, 16), (2, 64))
        )

    def measured(self) -> dict[str, float]:
        parent, artifact = self._trained(self._parent, PARENT_EPOCHS)
        _, untrained = self._trained(self._parent, 1, lr=0.0, weight_decay=0.0)
        arms = (
            self._trained(self._child, EPOCHS, artifact),
            self._trained(self._child, EPOCHS),
            self._trained(self._child, PARENT_EPOCHS + EPOCHS),
            self._trained(self._child, EPOCHS, untrained),
        )
        return {"parent": parent, **dict(zip(ARMS, (value for value, _ in arms), strict=True))}

    def _trained(
        self,
        architecture: Architecture,
        epochs: int,
        inherited: Artifact | None = None,
        **options: float,
    ) -> tuple[float, Artifact]:
        """Its validation accuracy at its best epoch, and its weights there."""
        ground, plugin = self._ground, Plugin("training", {"epochs": epochs, **options})
        inherit = inherited and Inheritance(inherited, self._parent, "morphism")
        job = Job(
            architecture,
            ground.space,
            plugin,
            ground.sealed,
            ground.store,
            self._seed,
            epochs,
            inherit=inherit,
        )
        evaluator = plugins.load("evaluator", "training").build(
            ground.dataset.task, **plugin.options
        )
        (evaluation,) = evaluator.evaluate([job])
        if evaluation.failure is not None or evaluation.artifact is None:
            raise SystemExit(f"a network of {ground.name} failed: {evaluation.failure}")
        return evaluation.metrics["val_accuracy"], evaluation.artifact


def _worth_rows(
    graph: str, found: Sequence[Mapping[str, float]]
) -> tuple[list[Row], Sequence[str]]:
    means = [fmean(pair[arm] for pair in found) for arm in ARMS]
    made, cells = list[Row](), [f"{mean:.4f}" for mean in means]
    for other in ARMS[1:]:
        mean, half = interval([pair[ARMS[0]] - pair[other] for pair in found])
        one = row(graph, f"{ARMS[0]} less {other}: mean difference", mean)
        low = row(graph, f"{ARMS[0]} less {other}: low end of its interval", mean - half)
        is_judged = other == ARMS[1] and len(found) >= SEEDS
        made += [one, bounded(low, ">", 0 if is_judged else None)]
        if other == ARMS[1]:
            cells.append(f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]")
    return made, cells


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """The mean, and half of its 95 % interval by Student's t."""
    count = len(differences)
    half = float(student.ppf(0.975, count - 1)) * stdev(differences) / sqrt(count)
    return fmean(differences), half
