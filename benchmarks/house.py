"""How does the house stand, beside an earlier revision?

`code`: files, lines, functions that fit no screen, assert in the place of raise, imports against
the arrows and in cycles, six lines of code or more that stand in several places. `plugins`: lines
of code of one plug-in of each kind outside of the package, as in examples/plugins. `share`: of a
whole `nas search` on Cora with the random strategy, which share of its CPU time is not training
(see benchmarks/search_share.py; only with --data-root). The earlier revision is measured in a copy
of its own; the working tree as it is. See benchmarks/house.md.

    python benchmarks/house.py [--before 9c84eb5] [--quick] [--json FILE] [--write] [--verbose]
                               [--only code,plugins,share] [--data-root DIR]
"""

import ast
import io
import statistics
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import house_code as code
import house_imports as imports
from reporting import Row, by_section, command_line, row, table

DOCUMENT = Path(__file__).with_suffix(".md")
ROOT = Path(__file__).resolve().parent.parent
SECTIONS = {
    "code": "The code",
    "plugins": "Lines of code of a plug-in outside of the package, a file each",
    "share": "What of a search is not training",
}
# Tests that plug-ins of others can be put to come with the program.
TESTS = ("tests", "nas/contracts")
FOLDERS = {"source": imports.PACKAGES, "tests": TESTS, "benchmarks": ("benchmarks",)}
PLUGINS = Path("examples", "plugins")
KINDS = (
    "operator",
    "dataset",
    "strategy",
    "preparing_strategy",
    "evaluator",
    "exporter",
    "extension",
)
LONG = f"functions over {code.MOST_LINES} lines"
TWICE = f"runs of {code.WINDOW} lines or more in several places"
OUTSIDE = "share of CPU time outside training"
AT_MOST = {"assert": 0.0, "imports against the arrows": 0.0, "cycles of imports": 0.0, OUTSIDE: 0.1}
# No more than before.
NO_MORE = {("source", LONG), ("source", TWICE), ("benchmarks", LONG), ("benchmarks", TWICE)}


class Figure(NamedTuple):
    """What was counted; None where there is nothing to count.

    Attributes:
        note: in the table, behind the value.
        found: one by one, for --verbose.
    """

    value: float | None
    note: str = ""
    found: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        shown = f"{self.value:,.0f}" if self.value == int(self.value) else f"{self.value:.3g}"
        return f"{shown}{self.note}"


# {(case, measure): figure}
Figures: TypeAlias = Mapping[tuple[str, str], Figure]


def found(places: Iterable[object]) -> Figure:
    """As many as there are."""
    every = tuple(str(place) for place in places)
    return Figure(len(every), found=every)


def of_code(tree: Path) -> Figures:
    files = {case: code.sources(tree, folders) for case, folders in FOLDERS.items()}
    files["source"] = [one for one in files["source"] if not one.name.startswith(TESTS)]
    lines = {case: sum(len(one.lines) for one in sources) for case, sources in files.items()}
    figures: dict[str, Mapping[str, Figure]] = {c: of_files(files[c]) for c in files}
    figures["source"] = {**figures["source"], **of_source(files["source"])}
    every = {(case, what): one for case, them in figures.items() for what, one in them.items()}
    return every | {("tests", "lines a line of source"): Figure(lines["tests"] / lines["source"])}


def of_source(files: Sequence[code.Source]) -> Mapping[str, Figure]:
    """What is asked of the program alone."""
    raised, asserted = (sum(one.count(kind) for one in files) for kind in (ast.Raise, ast.Assert))
    links = imports.links(files)
    return {
        "assert": Figure(asserted, f" beside {raised} raise"),
        "imports between modules": Figure(sum(map(len, links.values()))),
        "imports against the arrows": found(imports.back_arrows(files)),
        "cycles of imports": found(map(" <-> ".join, imports.cycles(links))),
    }


def of_files(files: Sequence[code.Source]) -> Mapping[str, Figure]:
    lines = {one.name: len(one.lines) for one in files}
    largest = max(lines, key=lines.__getitem__)
    long = (f"{place} {name}" for one in files for place, name in code.long_functions(one))
    return {
        "files": Figure(len(files)),
        "lines": Figure(sum(lines.values())),
        "lines of the median file": Figure(statistics.median(lines.values())),
        "lines of the largest file": Figure(lines[largest], f" ({largest})"),
        LONG: found(long),
        TWICE: found(" = ".join(map(str, places)) for places in code.repeated(files)),
    }


def of_plugins(tree: Path) -> Figures:
    """Lines of code of each, with its imports; docstrings and comments are for people."""
    figures = {}
    for kind in KINDS:
        path = tree / PLUGINS / f"{kind}.py"
        lines = None
        if path.exists():
            lines = len(code.Source(path.name, path.read_text(encoding="utf-8")).code)
        figures["plug-in", kind] = Figure(lines)
    return figures


def of_search(trees: Mapping[str, Path], data_root: Path, *, quick: bool) -> Mapping[str, Figures]:
    """{Name of a tree: figures}; they take turns."""
    import search_share

    trials = search_share.QUICK_TRIALS if quick else search_share.TRIALS
    figures: dict[str, dict[tuple[str, str], Figure]] = {name: {} for name in trees}
    for executor in search_share.EXECUTORS:
        rounds = 1 if quick else 3
        medians = search_share.measured(trees, data_root, trials, executor, rounds)
        for name, one in medians.items():
            case = f"Cora, {trials} trials, {executor}"
            # Starting weighs too much on few trials to be judged, and each worker starts.
            is_judged = executor == "inline" and not quick
            measure = OUTSIDE if is_judged else f"{OUTSIDE}, not judged"
            figures[name][case, measure] = Figure(one["share_outside"])
            figures[name][case, "CPU seconds outside training"] = Figure(one["outside_seconds"])
    return figures


def judged(case: str, measure: str, now: Figure, before: Figure | None) -> Row:
    """A row; what is to be nothing is judged by itself, whatever it was before."""
    baseline = before and before.value
    limit = AT_MOST.get(measure)
    target = None if limit is None else f"<= {limit:g}"
    if (case, measure) in NO_MORE and baseline is not None:
        limit, target = baseline, "no more than before"
    ok = None if limit is None else now.value is not None and now.value <= limit
    return row(case, measure, now.value, baseline, target, ok)


def compared(title: str, sides: Mapping[str, Figures], *, verbose: bool) -> tuple[str, list[Row]]:
    """The last side is judged, beside the first where there are two."""
    *earlier, now = sides.values()
    before = earlier[0] if earlier else {}
    rows = [judged(*which, figure, before.get(which)) for which, figure in now.items()]
    lines = {}
    for (case, measure), one in zip(now, rows, strict=True):
        cells = [str(side[case, measure]) for side in sides.values()]
        lines[f"{case}: {measure}"] = [*cells, one["target"] or ""]
    text = table(title, ["", *sides, "target"], lines)
    if verbose:
        text += "".join(map(listed, now, now.values()))
    return text, rows


def listed(which: tuple[str, str], figure: Figure) -> str:
    if not figure.found:
        return ""
    return "\n".join([f"\n{': '.join(which)}\n", *(f"- {one}" for one in figure.found), ""])


@contextmanager
def tree_of(revision: str) -> Iterator[Path]:
    """The files of a revision, in a folder that lasts as long."""
    command = ["git", "-C", str(ROOT), "archive", revision]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - git's own check
    if done.returncode:
        raise SystemExit(f"--before {revision}: {done.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="house-") as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


def main() -> None:
    parser = command_line(__doc__, "a search of 10 trials, one round", DOCUMENT, [*SECTIONS])
    parser.add_argument("--before", metavar="REV", help="a revision to compare with, as 9c84eb5")
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="with Cora: measure the share"
    )
    parser.add_argument("--verbose", action="store_true", help="list what is counted one by one")
    arguments = parser.parse_args()
    if arguments.data_root is None:
        arguments.only = [section for section in arguments.only if section != "share"]
    with ExitStack() as stack:
        trees = {"now": ROOT}
        options = ""
        if arguments.before:
            trees = {arguments.before: stack.enter_context(tree_of(arguments.before)), **trees}
            options += f" --before {arguments.before}"
        if arguments.data_root:
            options += " --data-root data"

        def run(section: str) -> tuple[str, list[Row]]:
            if section == "share":
                sides = of_search(trees, arguments.data_root, quick=arguments.quick)
            else:
                measure = {"code": of_code, "plugins": of_plugins}[section]
                sides = {name: measure(tree) for name, tree in trees.items()}
            return compared(SECTIONS[section], sides, verbose=arguments.verbose)

        by_section(arguments, run, DOCUMENT, "The state of the house", options)


if __name__ == "__main__":
    main()
