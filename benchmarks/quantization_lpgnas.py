"""What `lpgnas` finds: smaller networks where bytes cost more, and a front beside its rivals'.

Three questions, on Cora and CiteSeer.

1. Does the size of the most probable network fall as the weight of the cost rises?
2. Is the front of accuracy against bytes larger than those of random search with W8A8, with W4A8,
   and with random bits of each layer? All have as many trials; the preparation of `lpgnas` is
   charged as trials, by the passes that it makes. Validation chooses each front; its members are
   trained again on fresh seeds, and what counts is their test.
3. Is there a network at least 1.3 times smaller than W8A8 of the best full-precision architecture
   of random search, and not worse by more than 0.4 points? Of all that `lpgnas` has tried and that
   is small enough, the sixteen that are best in the search are trained on fresh seeds, and that is
   taken which has the best validation there; W8A8 has the same seeds.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

from gradient_keeping import kept
from quantization_accuracy import interval
from quantization_searching import BITS, Member, Searcher, volume
from reporting import Row, bounded, row, table, told

from evaluators import Preparation, PreparationJob
from evaluators.artifacts import store_url
from evaluators.facts import facts
from evaluators.preparing import prepare
from nas.setting_up import set_up
from nas.strategies._learned import most_probable
from search_spaces.plugins import Plugin

# {what it is called here: the strategy, and its bits}
RIVALS: Mapping[str, tuple[str, str]] = {
    "uniform W8A8": ("random", "W8A8"),
    "uniform W4A8": ("random", "W4A8"),
    "random bits": ("random", "searched"),
}
SMALLER, WITHIN = 1.3, 0.004
# Of what is small enough, so many are confirmed.
CONFIRMED = 16


@dataclass(frozen=True)
class Size:
    """How much is searched.

    Attributes:
        seeds: of the sizes by the weight of the cost.
        searches: seeds of the fronts; `lpgnas` was made on others, from 0 to 3.
        fresh: seeds of a member of a front, for its test.
        paired: seeds of the smaller network and its rival.
    """

    graphs: tuple[str, ...]
    betas: tuple[float, ...]
    seeds: range
    searches: range
    relaxed: int
    epochs: int
    trials: int
    fresh: int
    paired: int

    @property
    def lpgnas(self) -> str:
        # Few steps, so larger ones.
        given = options(self.relaxed)
        return ":".join(["lpgnas", *(f"{name}={value:g}" for name, value in given.items())])


def options(epochs: int) -> dict[str, float]:
    """Of the preparation."""
    half = epochs // 2
    return {
        "epochs": epochs,
        "steps": 8,
        "lr": 0.03,
        "warm_up_epochs": half - half // 5,
        "bits_warm_up_epochs": half,
        "architecture_lr": 0.1,
        "entropy_weight": 0,
    }


FULL = Size(("Cora", "CiteSeer"), (0.0, 0.3, 3.0), range(3), range(4, 12), 30, 100, 16, 2, 10)
QUICK = Size(("Cora",), (0.0, 3.0), range(1), range(1), 2, 10, 8, 1, 2)


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    size = QUICK if quick else FULL
    found, texts = list[Row](), list[str]()
    for graph in size.graphs:
        searcher = Searcher(graph, size.epochs, size.trials, size.fresh, data_root, keep)
        for measured, text in (
            _sizes(size, searcher),
            _fronts(size, searcher),
            _smaller(size, searcher),
        ):
            found += measured
            texts.append(text)
    return found, "\n".join(texts)


def _sizes(size: Size, searcher: Searcher) -> tuple[list[Row], str]:
    """Bytes of the most probable network, by the weight of the cost."""
    made, lines, medians = list[Row](), {}, list[float]()
    for beta in size.betas:
        each = [_most_probable_bytes(size, searcher, beta, seed) for seed in size.seeds]
        medians.append(median(each))
        shown = ", ".join(f"{bytes_:,.0f}" for bytes_ in each)
        lines[f"{beta:g}"] = [f"{median(each):,.0f}", shown]
        case = f"{searcher.graph}, weight of the cost {beta:g}"
        made.append(row(case, "model_bytes of the most probable, median", median(each)))
    for i, (before, after) in enumerate(pairwise(medians), start=1):
        case = f"{searcher.graph}, from {size.betas[i - 1]:g} to {size.betas[i]:g}"
        made.append(bounded(row(case, "median bytes, ratio", after, before), "<=", 1.0))
    ratio = row(f"{searcher.graph}, all weights", "last of first", medians[-1], medians[0])
    made.append(bounded(ratio, "<", 1.0))
    columns = ("weight of the cost", "median bytes", f"of each of {len(size.seeds)} seeds")
    return made, table(f"{searcher.graph}: bytes of the most probable network", columns, lines)


def _most_probable_bytes(size: Size, searcher: Searcher, beta: float, seed: int) -> float:
    spec = searcher.spec("searched")
    # Half the epochs: many are made here, and what is asked is the direction.
    epochs = max(2, size.relaxed // 2)
    given = {**options(epochs), "cost": "model_bytes", "cost_weight": beta}
    recipe: dict[str, Any] = {"study": spec.to_json(), "options": given, "seed": seed}

    def make() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            setup = set_up(spec, searcher.data_root)
            sealed = setup.sealed(store_url(Path(folder) / "dataset"))
            if sealed is None:
                raise SystemExit("expected a dataset")
            preparation = Preparation(Plugin("lpgnas", given), epochs, 1.0)
            job = PreparationJob(
                preparation, setup.space, sealed, store_url(Path(folder)), seed, epochs
            )
            advance = prepare(job)
            if advance.failure is not None:
                raise SystemExit(f"{job.label} failed: {advance.failure}")
            distribution = advance.epochs[-1].distribution
            found = most_probable(setup.space, distribution)
            return {"bytes": facts(setup.space, found, setup.task)["model_bytes"]}

    name = f"{searcher.graph}-beta-{beta:g}-{seed}"
    found = float(kept(searcher.keep, name, recipe, make)["bytes"])
    told(f"{searcher.graph}, weight of the cost {beta:g}, seed {seed}: {found:,.0f} bytes")
    return found


def _fronts(size: Size, searcher: Searcher) -> tuple[list[Row], str]:
    """Hypervolumes, paired by the seed of the search."""
    ends = searcher.ends()
    ways = {"lpgnas": (size.lpgnas, "searched"), **RIVALS}
    volumes = {
        label: [volume(searcher.members(*way, seed), *ends) for seed in size.searches]
        for label, way in ways.items()
    }
    made, lines = list[Row](), {}
    for label, values in volumes.items():
        case = f"{searcher.graph}, {label}"
        made.append(row(case, "hypervolume of the front", fmean(values)))
        lines[label] = [f"{fmean(values):.4f}", ", ".join(f"{v:.3f}" for v in values), ""]
        if label == "lpgnas":
            continue
        more = [a - b for a, b in zip(volumes["lpgnas"], values, strict=True)]
        if len(more) < 2:
            made.append(row(case, "lpgnas more than it", fmean(more)))
            continue
        low, high = interval(more, 0.05)
        lines[label][2] = f"{fmean(more):+.4f} ({low:+.4f} to {high:+.4f})"
        made.append(bounded(row(case, "lpgnas more than it, lower end", low), ">", 0.0))
    title = (
        f"{searcher.graph}: hypervolume of test accuracy above 0.5 and the logarithm of bytes, "
        f"{size.trials} trials, {len(size.searches)} searches"
    )
    return made, table(title, ("", "mean", "of each", "lpgnas more, 95 % interval"), lines)


def _smaller(size: Size, searcher: Searcher) -> tuple[list[Row], str]:
    """One that was chosen on validation, beside W8A8 of the best in full precision."""
    best = max(_all(size, searcher, "random", "full"), key=lambda member: member.val)
    uniform = searcher.spec("W8A8")
    setup = set_up(uniform, searcher.data_root)
    whole = setup.space.fill(lambda d: d.choices[0], dict(best.choices))
    bytes_ = facts(setup.space, whole, setup.task)["model_bytes"]
    tried = _all(size, searcher, size.lpgnas, "searched")
    small = [member for member in tried if member.model_bytes * SMALLER <= bytes_]
    if not small:
        raise SystemExit(f"{searcher.graph}: lpgnas tried nothing {SMALLER} times smaller")
    paired = replace(searcher, fresh=size.paired)
    # As `nas confirm` does: the first few by the search, ranked by the validation of fresh seeds.
    once = {str(member.choices): member for member in sorted(small, key=lambda m: m.val)}
    likely = sorted(once.values(), key=lambda member: -member.val)[:CONFIRMED]
    each = [
        (member, *paired.confirmed("searched", member.choices, f"smaller-lpgnas-{i}"))
        for i, member in enumerate(likely)
    ]
    chosen, _, of_chosen = max(each, key=lambda one: fmean(one[1]))
    _, of_whole = paired.confirmed("W8A8", whole.choices, "smaller-W8A8")
    less = [a - b for a, b in zip(of_chosen, of_whole, strict=True)]
    low, high = interval(less, 0.05)
    case = f"{searcher.graph}, chosen on validation"
    made = [
        bounded(row(case, "times smaller", bytes_ / chosen.model_bytes), ">=", SMALLER),
        bounded(row(case, "test accuracy, less W8A8", fmean(less)), ">=", -WITHIN),
    ]
    lines = {
        "W8A8 of the best": [f"{bytes_:,.0f}", f"{fmean(of_whole):.4f}", ""],
        "lpgnas": [
            f"{chosen.model_bytes:,.0f}",
            f"{fmean(of_chosen):.4f}",
            f"{fmean(less):+.4f} ({low:+.4f} to {high:+.4f})",
        ],
    }
    title = f"{searcher.graph}: a smaller network, {size.paired} fresh seeds"
    return made, table(title, ("", "bytes", "test", "less, 95 % interval"), lines)


def _all(size: Size, searcher: Searcher, strategy: str, bits: str) -> list[Member]:
    if bits not in BITS:
        raise ValueError(f"expected bits of {', '.join(BITS)}, got {bits}")
    return [member for seed in size.searches for member in searcher.members(strategy, bits, seed)]
