"""Does a search on Cora end at something that is not worse than a two-layer GCN?

Runs studies/cora.toml (validation only), retrains its best trials and a two-layer GCN with the
textbook recipe, which its first trial is, on fresh seeds, chooses by fresh validation, and compares
test accuracy seed by seed; also with a GCN that has the winner's learning rate, decay and dropout.
The trial of median validation at the first rung shows what the choice is worth; the worst one there
is the control, for which the comparison must fail. What halving has pruned is trained to the end
as a study of its own.

    python benchmarks/cora_gcn.py --data-root data [--quick] [--json FILE] [--storage URL]
"""

import hashlib
import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reporting import Row, command_line, report, row, table
from scipy.stats import t as student

import nas
from nas.record import Confirmation, TrialRecord
from nas.spec import load_spec
from nas.store import Store

STUDY = Path(__file__).parent.parent / "studies" / "cora.toml"
GCN = "two-layer GCN"
TUNED = "two-layer GCN, the winner's recipe"
WORST = "control: worst trial"


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


def alone(choices: Mapping[str, Any], seeds: int, place: dict[str, Any]) -> Confirmation:
    """An architecture as a study of one trial, which halving does not prune, confirmed."""
    table = ", ".join(f"{json.dumps(n)} = {json.dumps(c)}" for n, c in choices.items())
    name = f"cora-{hashlib.sha256(table.encode()).hexdigest()[:8]}"
    if any(status.name == name for status in Store(place["storage"]).studies()):
        study = nas.Study(name, **place)
    else:
        overrides = [f"study.name={name}", f"study.start=[{{ {table} }}]", "budget.trials=1"]
        study = nas.search(STUDY, overrides=overrides, **place)
    return study.confirm(trials=[0], seeds=seeds)[0]


def by_first_rung(study: nas.Study) -> list[TrialRecord]:
    """The trials that were trained, by their validation accuracy at the first rung, best first."""
    store = Store(study.storage)
    values = {}
    for trial in study.trials():
        rungs = store.evaluations(study.name, trial.number)
        if rungs:
            values[trial.number] = rungs[0]["metrics"]["val_accuracy"]
    return [study.trial(n) for n in sorted(values, key=lambda n: (-values[n], n))]


def main() -> None:
    parser = command_line(__doc__, "8 trials and 4 seeds")
    parser.add_argument(
        "--storage", default="sqlite:///cora_gcn.db", help="a study there is resumed"
    )
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    trials, seeds = (8, 4) if arguments.quick else (100, 30)
    place = {"storage": arguments.storage, "data_root": arguments.data_root}
    cases = confirmed(searched(trials, place), seeds, place)
    rows = compared(cases, seeds)
    mean, low, high = difference(cases["winner"], cases[TUNED])
    print(f"\nwinner minus GCN with its recipe: {mean:+.4f} [{low:+.4f}, {high:+.4f}]")
    print(f"winner: {dict(cases['winner'].decisions)}")
    report(rows, arguments.json)


def searched(trials: int, place: dict[str, Any]) -> nas.Study:
    if any(status.name == "cora" for status in Store(place["storage"]).studies()):
        study = nas.Study("cora", **place)
        study.resume(trials=trials)
        return study
    return nas.search(STUDY, overrides=[f"budget.trials={trials}"], **place)


def confirmed(study: nas.Study, seeds: int, place: dict[str, Any]) -> dict[str, Confirmation]:
    """What is compared, by its name in the table, all on the same fresh seeds."""
    top = [t.number for t in Store(study.storage).fronts("cora")[:3]]
    best = [c for c in study.confirm(trials=top, seeds=seeds) if c.trial in top]
    ranked = [dict(t.architecture.choices) for t in by_first_rung(study) if t.architecture]
    textbook = load_spec(STUDY).study.start[0]
    if isinstance(textbook, str):
        raise SystemExit(f"{STUDY} does not start with a GCN, but with {textbook}")
    gcn = alone(textbook, seeds, place)
    winner = max([*best, gcn], key=lambda c: c.metrics["val_accuracy"]["mean"] or 0.0)
    recipe = {n: c for n, c in winner.decisions.items() if n.startswith("train.")}
    return {
        "winner": winner,
        GCN: gcn,
        TUNED: alone({**textbook, **recipe}, seeds, place),
        "median trial": alone(ranked[len(ranked) // 2], seeds, place),
        WORST: alone(ranked[-1], seeds, place),
    }


def compared(cases: Mapping[str, Confirmation], seeds: int) -> list[Row]:
    """Each against the GCN, seed by seed: printed, and as rows."""
    rows, lines = [], {}
    baseline = cases[GCN].metrics["test_accuracy"]["mean"]
    for case, one in cases.items():
        mean, low, high = difference(one, cases[GCN])
        shown = [one.metrics[m] for m in ("val_accuracy", "test_accuracy")]
        lines[case] = [f"{m['mean']:.4f} ± {m['stderr']:.4f}" for m in shown]
        lines[case] += [f"{mean:+.4f}", f"[{low:+.4f}, {high:+.4f}]"]
        target, ok = {"winner": (">= 0", mean >= 0), WORST: ("< 0", high < 0)}.get(
            case, (None, None)
        )
        found = row(case, "test_accuracy", shown[1]["mean"], baseline, target, ok)
        rows.append(found | {"difference": mean, "interval": [low, high]})
    columns = ["case", "val_accuracy", "test_accuracy", f"minus GCN, {seeds} paired seeds", "95 %"]
    print(table("The winner beside a two-layer GCN", columns, lines))
    return rows


if __name__ == "__main__":
    main()
