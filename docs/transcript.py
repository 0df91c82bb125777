"""Run a whole session in an empty folder and write it down: `python docs/transcript.py`.

A graph in two CSV files becomes a bundle. With `--installed` the first two commands, which make an
environment and install into it, are shown and not run: `nas` is then that of this environment.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What each command is for, and the command.
COMMANDS = (
    ("An environment of its own", "python3 -m venv .venv && . .venv/bin/activate"),
    ("The program, in the versions that were tested", "pip install -q -c constraints.txt ."),
    (
        "Check the study file, the two CSV files, and that they fit",
        "nas search studies/own_graph.toml --dry-run",
    ),
    ("Search", "nas search studies/own_graph.toml --trials 30"),
    ("The best two again, on fresh seeds; then test", "nas confirm own_graph --top 2 --seeds 5"),
    ("Leave with the best", "nas export own_graph --to bundle"),
    (
        "Is the bundle what it says?",
        "nas verify bundle --dataset studies/own_graph.toml --no-latency",
    ),
    (
        "Predict",
        "nas predict bundle --dataset studies/own_graph.toml --out predictions.csv",
    ),
)
INSTALLING = 2  # the first commands, which may be left out

HEAD = """\
# A whole session

From a graph in two CSV files to a bundle that runs with torch alone, in {count} commands, from an
empty environment in a clone of this repository. It is written by

```sh
python docs/transcript.py
```

which runs the commands in a copy of the clone and puts here what they print on stdout. With two
workers, results arrive in another order each time, so your numbers will differ a little. The study
is [studies/own_graph.toml](../studies/own_graph.toml), which names its two CSV files; put yours in
their place.
"""
TAIL = """
`bundle/README.md` says how to run it; [bundles.md](bundles.md) has more formats. Your own files
have the columns of [own_graph.md](own_graph.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--installed", action="store_true", help="Do not install; use this nas.")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "transcript.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "gnn-nas"
        kept = shutil.ignore_patterns(".*", "*.db*", "__pycache__", "_build", "*.egg-info")
        shutil.copytree(ROOT, clone, ignore=kept)
        printed = session(clone, installed=chosen.installed)
    chosen.to.write_text(page(printed), encoding="utf-8")


def session(clone: Path, *, installed: bool) -> list[str]:
    """What each command prints on stdout, one shell for all of them.

    Raises:
        SystemExit: a command failed.
    """
    mark = "--- the next command ---"
    lines = ["set -e"]
    for number, (_, command) in enumerate(COMMANDS):
        skipped = installed and number < INSTALLING
        lines += ["true" if skipped else command, f"echo; echo '{mark}'"]
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    if installed:
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment["PYTHONPATH"] = str(clone)
    done = subprocess.run(  # noqa: S603  (the commands above)
        ["bash", "-c", "\n".join(lines)],  # noqa: S607
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"a command failed with exit status {done.returncode}")
    return [text.strip("\n") for text in done.stdout.split(mark)[:-1]]


def page(printed: list[str]) -> str:
    """The document."""
    parts = [HEAD.format(count=len(COMMANDS))]
    for number, ((what, command), text) in enumerate(zip(COMMANDS, printed, strict=True), 1):
        parts.append(f"\n## {number}. {what}\n\n```sh\n{command}\n```\n")
        if text:
            parts.append(f"\n```text\n{text}\n```\n")
    return "".join(parts) + TAIL


if __name__ == "__main__":
    main()
