"""Sections on what was measured: how good, how fast, and how close programs are."""

from nas.cards._escaped import code, table
from nas.cards._facts import Facts, Value
from nas.cards._numbers import number
from nas.cards._section import Section

_BY = {
    "program": "this network, by its program",
    "training": "this network, before export",
    "weights": "this network",
}
# By less than this, relative, training and program say the same.
_SAME = 1e-6
_SPLITS = ("test", "validation", "train")


def measured(facts: Facts) -> Section:
    """Values of each split, and facts of the network."""
    split = [value for value in facts.values if value.split is not None]
    split = [value for value in split if not _repeats(value, split)]
    split.sort(key=lambda value: _SPLITS.index(value.split or "train"))
    known = [value for value in facts.values if value.split is None]
    lines = ["Nothing was measured."] if not facts.values else []
    if split:
        head = ["metric", "split", ">value", "95 % interval", "of what"]
        lines += [*table(head, [_row(value) for value in split]), ""]
    lines += [*_said(facts), ""]
    if known:
        rows = [[code(value.metric), number(value.value)] for value in known]
        lines += [*table(["of this network", ">value"], rows)]
    return Section("How good it is", lines)


def _repeats(value: Value, among: list[Value]) -> bool:
    """Whether it is what training measured where the program measured the same."""
    same = [v for v in among if v.metric == value.metric and v.by == "program"]
    if value.by != "training" or not same:
        return False
    return abs(same[0].value - value.value) <= _SAME * max(1.0, abs(value.value))


def _row(value: Value) -> list[str]:
    shown, interval, what = number(value.value), "-", _BY.get(value.by, "")
    if value.by == "seeds":
        what = f"mean of {value.n} fresh seeds" if value.n != 1 else "one fresh seed"
    if value.stderr is not None:
        shown += f" ± {value.stderr:.2g}"
    if value.interval is not None:
        interval = f"{number(value.interval[0])} to {number(value.interval[1])}"
    if value.optimistic:
        what += "; optimistic"
    return [code(value.metric), value.split or "-", shown, interval, what]


def _said(facts: Facts) -> list[str]:
    lines = []
    if any(value.optimistic for value in facts.values):
        lines.append(
            "- Values of validation of this network are optimistic: the search chose it by them."
        )
    if any(value.by == "seeds" for value in facts.values):
        lines.append(
            "- For fresh seeds the architecture was trained anew: these values are not of these "
            "weights. Behind ± stands the standard error; the interval is of the mean, by "
            "Student's t."
        )
    if not facts.is_tested:
        lines.append(
            "- It was never measured on the test split. `nas confirm` trains the architecture anew "
            "on fresh seeds, and measures test."
        )
    return lines


def latency(facts: Facts) -> Section:
    """By device, predicted or measured."""
    found = facts.manifest.latency
    if not found:
        lines = ["Latency was neither predicted nor measured: the study named no device."]
        return Section("How fast it is", lines)
    rows = [[code(one.device), number(one.latency_ms), one.by] for one in found]
    return Section(
        "How fast it is",
        [
            *table(["device", ">ms", "how"], rows),
            "",
            "Of one inference of the network in torch on the study's graph, without what prepares "
            "its inputs. Compiled programs are faster, others may be slower.",
        ],
    )


def parity(facts: Facts) -> Section:
    """By how much each program differed from the network, run from its file."""
    rows = []
    for program in facts.manifest.programs:
        parity = program.parity
        mean = parity.mean_difference
        largest = f"{parity.largest_difference:.2g}"
        bound = f"{parity.tolerance:.2g} {'of the largest' if mean is None else 'in the mean'}"
        rows.append(
            [
                code(program.file),
                code(program.exporter),
                largest,
                "-" if mean is None else f"{mean:.2g}",
                bound,
                str(len(parity.graphs)),
            ]
        )
    head = ["program", "exporter", ">largest", ">mean", "allowed", ">graphs"]
    return Section(
        "How close its programs are",
        [
            *table(head, rows),
            "",
            "Differences of logits between a program, run from its file, and the network that was "
            "trained; the bound is multiplied by the largest logit where that is more than 1.",
        ],
    )
