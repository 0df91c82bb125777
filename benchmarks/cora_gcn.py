"""Does a search on Cora end at something that is not worse than a two-layer GCN?

Runs studies/cora.toml (validation only), retrains its best trials and its first trial, which is a
two-layer GCN with the textbook recipe, on fresh seeds, chooses by fresh validation, and compares
test accuracy seed by seed; also with a GCN that has the winner's learning rate, decay and dropout.
The trial of median validation shows what the choice is worth; the worst trial is the control, for
which the comparison must fail.

    python benchmarks/cora_gcn.py --data-root data [--quick] [--json FILE] [--storage URL]
"""

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

from scipy.stats import t as student

import nas
from nas.record import Confirmation
from nas.spec import load_spec
from nas.store import Store

GCN = 0  # `[study] start` of studies/cora.toml
STUDY = Path(__file__).parent.parent / "studies" / "cora.toml"


def difference(one: Confirmation, other: Confirmation) -> tuple[float, float, float]:
    """Mean of the paired differences in test accuracy, with its 95 % interval (Student's t)."""
    pairs = zip(one.values["test_accuracy"], other.values["test_accuracy"], strict=True)
    differences = [a - b for a, b in pairs]
    mean = statistics.fmean(differences)
    if len(differences) < 2 or len(set(differences)) == 1:
        return mean, mean, mean
    n = len(differences)
    half = float(student.ppf(0.975, n - 1)) * statistics.stdev(differences) / math.sqrt(n)
    return mean, mean - half, mean + half


def gcn_with_recipe(winner: Confirmation, seeds: int, place: dict[str, Any]) -> Confirmation:
    """The two-layer GCN with another trial's recipe, as a study of one trial, confirmed."""
    name = f"cora-gcn-{winner.architecture[:8]}"
    if any(status.name == name for status in Store(place["storage"]).studies()):
        study = nas.Study(name, **place)
    else:
        recipe = {n: c for n, c in winner.decisions.items() if n.startswith("train.")}
        start = {**load_spec(STUDY).study.start[0], **recipe}
        table = ", ".join(f"{json.dumps(n)} = {json.dumps(c)}" for n, c in start.items())
        overrides = [f"study.name={name}", f"study.start=[{{ {table} }}]", "budget.trials=1"]
        study = nas.search(STUDY, overrides=overrides, **place)
    return study.confirm(trials=[0], seeds=seeds)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="8 trials and 4 seeds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument(
        "--storage", default="sqlite:///cora_gcn.db", help="a study there is resumed"
    )
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    trials, seeds = (8, 4) if arguments.quick else (50, 30)

    place = {"storage": arguments.storage, "data_root": arguments.data_root}
    if any(status.name == "cora" for status in Store(arguments.storage).studies()):
        study = nas.Study("cora", **place)
        study.resume(trials=trials)
    else:
        study = nas.search(STUDY, overrides=[f"budget.trials={trials}"], **place)

    complete = sorted(
        (t for t in study.trials() if t.state == "complete"),
        key=lambda t: (-t.metrics["val_accuracy"], t.number),
    )
    best = [t.number for t in complete[:3]]
    median, worst = complete[len(complete) // 2].number, complete[-1].number
    confirmed = {
        c.trial: c for c in study.confirm(trials=[*{*best, GCN, median, worst}], seeds=seeds)
    }
    winner = min(({*best, GCN} & {*confirmed}), key=lambda number: confirmed[number].rank)

    tuned = gcn_with_recipe(confirmed[winner], seeds, place)
    rows: list[dict[str, Any]] = []
    print(
        f"| case | trial | val_accuracy | test_accuracy | minus GCN, {seeds} paired seeds | 95 % |"
    )
    print("|---|---|---|---|---|---|")
    cases = [
        ("winner", confirmed[winner]),
        ("two-layer GCN", confirmed[GCN]),
        ("two-layer GCN, the winner's recipe", tuned),
        ("median trial", confirmed[median]),
        ("control: worst trial", confirmed[worst]),
    ]
    for case, one in cases:
        mean, low, high = difference(one, confirmed[GCN])
        shown = [one.metrics[m] for m in ("val_accuracy", "test_accuracy")]
        cells = " | ".join(f"{m['mean']:.4f} ± {m['stderr']:.4f}" for m in shown)
        print(f"| {case} | {one.trial} | {cells} | {mean:+.4f} | [{low:+.4f}, {high:+.4f}] |")
        baseline = confirmed[GCN].metrics["test_accuracy"]["mean"]
        rows.append(
            {
                "case": case,
                "measure": "test_accuracy",
                "value": shown[1]["mean"],
                "baseline": baseline,
                "ratio": shown[1]["mean"] / baseline,
                "difference": mean,
                "interval": [low, high],
                "target": {"winner": ">= 0", "control: worst trial": "< 0"}.get(case),
                "ok": {"winner": mean >= 0, "control: worst trial": high < 0}.get(case),
            }
        )
    mean, low, high = difference(confirmed[winner], tuned)
    print(f"\nwinner minus GCN with its recipe: {mean:+.4f} [{low:+.4f}, {high:+.4f}]")
    print(f"winner: {confirmed[winner].decisions}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
