"""What all benchmarks share: their command lines, rows with targets, tables, and documents."""

import argparse
import importlib
import json
import operator
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

MARK = "<!-- measured: {} -->"
SIGNS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}

Row: TypeAlias = dict[str, Any]


def row(
    case: str,
    measure: str,
    value: float | None,
    baseline: float | None = None,
    target: str | None = None,
    ok: bool | None = None,
) -> Row:
    """A row of the JSON; without a target, `ok` is None too."""
    return {
        "case": case,
        "measure": measure,
        "value": value,
        "baseline": baseline,
        "ratio": value / baseline if value is not None and baseline else None,
        "target": target,
        "ok": None if ok is None else bool(ok),
    }


def bounded(row: Row, sign: str, bound: float | None) -> Row:
    """The row with a target: for its ratio, or for its value where it has none."""
    if bound is None:
        return row
    reached = row["value"] if row["ratio"] is None else row["ratio"]
    ok = reached is not None and bool(SIGNS[sign](reached, bound))
    return row | {"target": f"{sign} {bound:g}", "ok": ok}


def table(title: str, columns: Sequence[str], lines: Mapping[str, Sequence[str]]) -> str:
    """In Markdown."""
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"
    body = "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in lines.items())
    return f"**{title}**\n\n{head}\n{body}\n"


def put(document: Path, section: str, title: str, command: str, text: str) -> None:
    """Put what a command measured between the two marks of a section; words around them stay.

    A document or section that is not there yet is begun.
    """
    old = document.read_text(encoding="utf-8") if document.exists() else f"# {title}\n"
    mark = MARK.format(section)
    if mark not in old:
        old += f"\n{mark}\n{mark}\n"
    before, _, after = old.split(mark)
    measured = f"```sh\n{command}\n```\n\n{text.strip()}\n"
    document.write_text(f"{before}{mark}\n{measured}{mark}{after}", encoding="utf-8")


def report(rows: Sequence[Mapping[str, Any]], file: Path | None) -> None:
    """Say which targets were missed, and write the rows."""
    missed = [r for r in rows if r["ok"] is False]
    print(f"\n{sum(r['ok'] is not None for r in rows)} targets, {len(missed)} missed")
    for one in missed:
        shown = "not measured" if one["value"] is None else f"{one['value']:.3g}"
        if one["ratio"] is not None:
            shown += f" ({one['ratio']:.3g} beside {one['baseline']:.3g})"
        print(f"missed: {one['case']}: {one['measure']}: {shown}, {one['target']}")
    if file:
        # NumPy's numbers are none that JSON has.
        text = json.dumps(rows, indent=1, default=lambda number: number.item())
        file.write_text(text, encoding="utf-8")


def told(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def processor() -> str:
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return names[0] if names else platform.processor()


def command_line(
    description: str | None, quick: str, document: Path | None = None, sections: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """The options that benchmarks have in common; the first line describes it."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    if document:
        help_ = f"put the tables into {document.name}"
        parser.add_argument("--write", action="store_true", help=help_)
    if sections:
        help_ = f"of {', '.join(sections)}"
        parser.add_argument(
            "--only", type=_some(sections), default=sections, metavar="A,B", help=help_
        )
    return parser


def _some(sections: Sequence[str]) -> Callable[[str], Sequence[str]]:
    def chosen(text: str) -> Sequence[str]:
        names = text.split(",")
        if not set(names) <= set(sections):
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(sections)}, got {text}")
        return names

    return chosen


def by_section(
    arguments: argparse.Namespace,
    run: Callable[[str], tuple[str, list[Row]]],
    document: Path,
    title: str,
    options: str = "",
) -> None:
    """Run those that were asked for; print, write and report what each says.

    Args:
        options: beside --quick, those that change what is measured, as they were given.
    """
    rows: list[Row] = []
    for section in arguments.only:
        text, measured = run(section)
        print(f"\n{text}", flush=True)
        rows += measured
        if arguments.write:
            quick = " --quick" if arguments.quick else ""
            command = f"python benchmarks/{document.stem}.py{quick}{options} --only {section}"
            put(document, section, title, command, text)
    report(rows, arguments.json)


def by_module(
    description: str | None, quick: str, document: Path, title: str, sections: Sequence[str]
) -> None:
    """The command line of a benchmark whose sections are modules: `quantization_exact`, ...

    Each has `rows(quick, data_root, keep)`, which gives its rows and its text. It is read when it
    is its turn: one that cannot be leaves the others as they are.
    """
    parser = command_line(description, quick, document, sections)
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what each run found here")
    arguments = parser.parse_args()

    def run(name: str) -> tuple[str, list[Row]]:
        module = importlib.import_module(f"{document.stem}_{name}")
        rows, text = module.rows(arguments.quick, arguments.data_root, arguments.keep)
        return text, rows

    by_section(arguments, run, document, title, " --data-root data")
