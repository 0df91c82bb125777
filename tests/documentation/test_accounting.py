"""Every block of the documentation is run by a test that says so, or is left out for a reason.

A test says so by `@pytest.mark.runs(page, words, ...)`: it runs the one block of the page that has
the words, for each of them; without words all blocks of the page. It gets them from the fixture
`shown` and from nowhere else, so what is counted is what it has in its hands.
"""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from .pages import LANGUAGES, ROOT, Block, blocks, pages, runnable

# Page (of several with *) and words of its block, or "" for all of them: why no test runs it.
NOT_RUN = {
    ("README.md", "pip install -c constraints.txt '.[test]' && pytest"): (
        "it runs the tests, this one among them; .ci/run takes it from the page, and runs it in an "
        "empty environment"
    ),
    ("CONTRIBUTING.md", ".ci/run"): "it installs, and runs the tests and CI itself",
    ("docs/serving.md", "docker run"): "a container needs a runtime, and an image of the reader's",
    ("benchmarks/*.md", "python benchmarks/"): (
        "minutes to hours of measuring, on an idle machine; test_benchmarks parses each command, "
        "and runs the short ones with --quick"
    ),
}
# What begins a line of a block that somebody could run.
COMMAND = re.compile(r"(?m)^\s*(\w+=\S* )*(nas|pip|python3?|curl|docker|import|from) ")


def all_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.language in LANGUAGES]


def marks(test: Callable[..., Any]) -> Iterator[pytest.Mark]:
    """Its marks, and those of single cases."""
    for mark in getattr(test, "pytestmark", []):
        yield mark
        if mark.name == "parametrize":
            for case in mark.args[1]:
                yield from getattr(case, "marks", ())


def claims() -> Iterator[tuple[Callable[..., Any], tuple[str, ...]]]:
    """The tests of this folder that say what they run, each with the page and the words."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        module = import_module(f".{file.stem}", __package__)
        tests = [test for name, test in vars(module).items() if name.startswith("test_")]
        yield from ((test, mark.args) for test in tests for mark in marks(test) if _runs(mark))


def _runs(mark: pytest.Mark) -> bool:
    return mark.name == "runs"


def left_out(block: Block) -> list[tuple[str, str]]:
    """The entries of NOT_RUN that speak of it."""
    return [at for at in NOT_RUN if fnmatch(block.page, at[0]) and at[1] in block.text]


def test_every_block_is_run_or_left_out_for_a_reason() -> None:
    """A new one that is in neither place is named here."""
    run = {block for _, at in claims() for block in runnable(*at)}
    missing = [block for block in all_blocks() if block not in run and not left_out(block)]
    assert [f"{block.page}:{block.line}: {block.text}" for block in missing] == []


def test_no_block_is_both() -> None:
    """Whoever gives a block a test takes its excuse away; one that is left out is still there."""
    run = {block for _, at in claims() for block in runnable(*at)}
    assert [left_out(block) for block in run if left_out(block)] == []
    spoken = Counter(at for block in all_blocks() for at in left_out(block))
    assert set(spoken) == set(NOT_RUN)
    assert [at for at in spoken if "*" not in at[0] and spoken[at] > 1] == []


def test_who_says_that_it_runs_a_block_has_it_in_its_hands() -> None:
    """By the fixture, which gives those of the mark and no others."""
    empty = [t.__name__ for t, _ in claims() if "shown" not in inspect.signature(t).parameters]
    assert empty == []


def test_nothing_that_can_be_run_hides_in_another_language() -> None:
    """As in `text`, which is for what a program prints."""
    others = [b for page in pages() for b in blocks(page) if b.language not in LANGUAGES]
    assert [f"{b.page}:{b.line}" for b in others if COMMAND.search(b.text)] == []


def test_a_block_without_a_test_would_be_seen() -> None:
    """The control: a page that nobody has heard of."""
    page = ROOT / "docs" / "nowhere.md"
    new = Block("sh", "nas list\n", str(page.relative_to(ROOT)), 3)
    assert not left_out(new)
    assert new not in {block for _, at in claims() for block in runnable(*at)}
    with pytest.raises(LookupError, match="expected one block"):
        runnable("README.md", "no such words")
    with pytest.raises(LookupError, match=r"got [^01]"):
        runnable("README.md", "nas ")
