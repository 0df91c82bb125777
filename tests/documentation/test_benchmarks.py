"""Commands of the benchmarks' pages: their own parsers take each, and short ones are run."""

import argparse
import importlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from .pages import ROOT, blocks, pages, shell

BENCHMARKS = ROOT / "benchmarks"


class Parsed(Exception):  # noqa: N818  (it is no error)
    """A command line was taken."""


def commands() -> Iterator[tuple[str, str]]:
    """Every one in any page: the place where it stands, and its line."""
    for block in (block for page in pages() for block in blocks(page) if block.language == "sh"):
        for line in block.text.splitlines():
            if line.startswith("python benchmarks/"):
                yield f"{block.page}:{block.line}", line


def parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the benchmark would parse it, up to where it begins; nothing is run.

    Raises:
        SystemExit: an option or value that there is not.
    """
    _, file, *arguments = shlex.split(line, comments=True)
    stock = argparse.ArgumentParser.parse_args

    def taken(self: argparse.ArgumentParser, *given: Any) -> NoReturn:
        stock(self, *given)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setattr(argparse.ArgumentParser, "parse_args", taken)
        patch.setattr(sys, "argv", [file, *arguments])
        benchmark = importlib.import_module(Path(file).stem)
        with pytest.raises(Parsed):
            benchmark.main()


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(BENCHMARKS.glob("*.md")), ids=lambda page: page.stem)
def test_its_commands_are_taken(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page says how to measure again what it shows."""
    found = [line for place, line in commands() if place.startswith(f"benchmarks/{page.name}:")]
    assert found
    for line in found:
        parse(line, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["--only nothing", "--quik", "--json"])
def test_a_wrong_command_is_seen(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a section, an option, a value that is missing."""
    parse("python benchmarks/overhead.py --only look", monkeypatch)
    with pytest.raises(SystemExit):
        parse(f"python benchmarks/overhead.py {wrong}", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["house.py --only plugins", "overhead.py --only look"])
def test_a_short_one_runs(line: str, tmp_path: Path) -> None:
    """With --quick: it ends well, and the rows have their form."""
    assert f"python benchmarks/{line.partition(' ')[0]}" in " ".join(each for _, each in commands())
    done = shell(f"python {BENCHMARKS}/{line} --quick --json rows.json", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert rows
    assert all({"case", "measure", "value", "ok"} <= set(row) for row in rows)
