"""How large is a report, and how soon does it answer, as the record grows?

Records are made in bulk. A page is opened from its file in a new window of headless Chromium, each
time by itself: "interactive" is when the front can be clicked, "drawn" when the last point of all
charts is there, both in seconds since the browser began to load it; medians.

    python benchmarks/report.py [--quick] [--json FILE] [--write]
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from reporting import Row, bounded, by_section, command_line, processor, row, table, told

from nas.reporting import page, report_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "outside"))
from fakes.browser import PROGRAM, chromium, opened
from fakes.searched import NAME, confirmed, searched

DOCUMENT = Path(__file__).with_suffix(".md")
TRIALS, QUICK = (100, 1_000, 5_000), (100, 1_000)
ROUNDS = 3
MOST_MB = 8.0
MOST_SECONDS = 3.0
WIDTHS = {"1,200 px": 1200, "400 px": 400}


def written(trials: int, folder: Path) -> tuple[Path, float]:
    """A report of so many trials, and the seconds that it took to write."""
    storage = f"sqlite:///{folder / f'{trials}.db'}"
    confirmed(storage, searched(storage, trials)[:3])
    began = time.perf_counter()
    text = page(report_of(storage, NAME))
    seconds = time.perf_counter() - began
    file = folder / f"{trials}.html"
    file.write_text(text, encoding="utf-8")
    return file, seconds


def shown(file: Path, width: int, program: str) -> tuple[float, float]:
    """Seconds until the page is interactive, and until it is drawn; in a browser of its own."""
    with chromium(program) as browser:
        found = opened(browser, file, width=width)
        found.drawn()
        marks = "['interactive', 'drawn'].map(k => +document.documentElement.dataset[k])"
        interactive, drawn = found.page.evaluate(marks)
        if found.complaints or len(found.requests) != 1:
            raise SystemExit(f"{file.name}: {found.complaints or found.requests}")
    return interactive / 1000, drawn / 1000


def measured(sizes: Sequence[int], rounds: int, program: str) -> tuple[str, list[Row]]:
    lines, rows = {}, list[Row]()
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        for trials in sizes:
            told(f"{trials:,} trials")
            file, seconds = written(trials, Path(folder))
            megabytes = file.stat().st_size / 1e6
            case = f"{trials:,} trials"
            rows.append(bounded(row(case, "MB", megabytes), "<", MOST_MB))
            rows.append(row(case, "seconds to write", seconds))
            cells = [f"{megabytes:.2f}", f"{seconds:.1f}"]
            for name, width in WIDTHS.items():
                times = [shown(file, width, program) for _ in range(rounds)]
                interactive, drawn = (statistics.median(t) for t in zip(*times, strict=True))
                measure = f"seconds to interactive, {name}"
                rows.append(bounded(row(case, measure, interactive), "<", MOST_SECONDS))
                rows.append(row(case, f"seconds to drawn, {name}", drawn))
                cells += [f"{interactive:.2f}", f"{drawn:.2f}"]
            lines[case] = cells
    columns = ["", "MB", "s to write"]
    columns += [f"s to {what}, {name}" for name in WIDTHS for what in ("interactive", "drawn")]
    return f"{table('Reports', columns, lines)}\n{processor()}, {rounds} windows each.\n", rows


def main() -> None:
    arguments = command_line(__doc__, "up to 1,000 trials", DOCUMENT, ["page"]).parse_args()
    if PROGRAM is None:
        raise SystemExit("expected Chromium, found none; install the package chromium")
    program, sizes = PROGRAM, QUICK if arguments.quick else TRIALS
    rounds = 2 if arguments.quick else ROUNDS

    def run(_: str) -> tuple[str, list[Row]]:
        return measured(sizes, rounds, program)

    by_section(arguments, run, DOCUMENT, "Reports, as the record grows")


if __name__ == "__main__":
    main()
