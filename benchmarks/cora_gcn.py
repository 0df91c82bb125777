"""Does a search on Cora end at something that is not worse than a two-layer GCN?

Runs studies/cora.toml (validation only), retrains its best trials and its first trial, which is a
two-layer GCN, on fresh seeds, chooses by fresh validation, and compares test accuracy seed by seed.
A trial of median validation is the control: it must not pass for the winner.

    python benchmarks/cora_gcn.py --data-root data [--quick] [--json FILE] [--storage URL]
"""

import argparse
import json
import math
import statistics
from pathlib import Path

from scipy.stats import t as student

import nas
from nas.record import Confirmation
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
    half = student.ppf(0.975, n - 1) * statistics.stdev(differences) / math.sqrt(n)
    return mean, mean - half, mean + half


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
    median = complete[len(complete) // 2].number
    confirmed = {c.trial: c for c in study.confirm(trials=[*{*best, GCN, median}], seeds=seeds)}
    winner = min(({*best, GCN} & {*confirmed}), key=lambda number: confirmed[number].rank)

    rows = []
    print(
        f"| case | trial | val_accuracy | test_accuracy | minus GCN, {seeds} paired seeds | 95 % |"
    )
    print("|---|---|---|---|---|---|")
    cases = [("winner", winner), ("two-layer GCN", GCN), ("control: median trial", median)]
    for case, number in cases:
        one = confirmed[number]
        mean, low, high = difference(one, confirmed[GCN])
        shown = [one.metrics[m] for m in ("val_accuracy", "test_accuracy")]
        cells = " | ".join(f"{m['mean']:.4f} ± {m['stderr']:.4f}" for m in shown)
        print(f"| {case} | {number} | {cells} | {mean:+.4f} | [{low:+.4f}, {high:+.4f}] |")
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
                "target": 0.0 if case == "winner" else None,
                "ok": mean >= 0 if case == "winner" else None,
            }
        )
    print(f"\nwinner: {confirmed[winner].decisions}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
