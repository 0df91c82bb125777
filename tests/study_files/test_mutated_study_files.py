"""A thousand spoilt study files: each is refused in one line that helps, or it is a study."""

import itertools
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from nas.cli import main

from .bases import ROOT, laid_out, shipped
from .mutator import CONTRADICTIONS, MUTATIONS, Tables, mutated, toml

ALL, EVERY = 1000, 5
IN_PROCESSES = range(7, ALL, 41)
# Where in the file: `[table] key:`, a line, or what stands where nothing should.
PLACE = re.compile(
    r"\[[^\]]+\]( [^:]{1,80})?: |not valid TOML: (line \d+, column|end of doc|too many)"
    r"|\] decision \"|expected UTF-8|no table is called \[|the key \"[^\"]*\" stands outside",
    re.S,
)
REMEDY = re.compile(
    r"[Ee]xpected|did you mean|leave|give |writ|choose|change |make one|use |loosen"
    r"|put its keys|close |save it|\bhas it\b|has such a key|it has|is an option of"
    r"|it takes no options|ask for fewer|\"\w+\" needs|name a |is it up|there is no file"
    r"|with dots is|so it is no|build takes|profile the study's|Profile this one"
    r"|cannot be read: |holds no study|too many"
)
# What Python and its libraries say to programmers.
JARGON = re.compile(
    r"Traceback|Errno|NoneType|object at 0x|<class|pydantic|Mapping|[a-z]Error\b|positional arg"
    r"|keyword arg|\bdict\b|\btuple\b|unhashable|recursion|pickle|--debug"
)


class Place:
    """A folder with what study files name, and a database."""

    def __init__(self, folder: Path, data_root: str) -> None:
        self.folder = folder
        laid_out(folder)
        storage = f"sqlite:///{folder / 'nas.db'}"
        # Quiet: on a slow machine, progress would stand beside the refusal.
        self.options = ["--quiet", "--storage", storage, "--data-root", data_root]

    def write(self, content: bytes, name: str = "spoilt") -> str:
        (self.folder / f"{name}.toml").write_bytes(content)
        return f"{name}.toml"

    def faults(self, content: bytes) -> list[str]:
        """What a user could hold against the way in which a file is taken, or refused."""
        file = self.write(content)
        result = CliRunner().invoke(main, ["search", file, "--dry-run", *self.options])
        said = result.stderr
        if result.exit_code == 0:
            is_study = "nothing is wrong" in result.stdout
            return [] if is_study else [f"taken, and no study: {result.stdout} {said}"]
        refusals = {
            f"exit status {result.exit_code}": result.exit_code != 2,
            "something on stdout": bool(result.stdout),
            "no single line": said.count("\n") != 1,
            "the file is not named": not said.startswith(f"error: {file}"),
            "no table and key": not PLACE.search(said),
            "no remedy": not REMEDY.search(said),
            "a programmer's words": bool(JARGON.search(said)),
        }
        return [f"{what}: {said}" for what, is_so in refusals.items() if is_so]

    def studies(self) -> int:
        with sqlite3.connect(self.folder / "nas.db") as database:
            return int(database.execute("select count(*) from nas_studies").fetchone()[0])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("spoilt")
        patch.chdir(folder)
        patch.syspath_prepend(str(ROOT))
        patch.setenv("NAS_DEVICES", str(folder / "devices"))
        yield Place(folder, str(folder / "data"))


@pytest.fixture(scope="module")
def bases() -> dict[str, Tables]:
    return shipped()


def test_what_is_not_spoilt_is_a_study(place: Place, bases: dict[str, Tables]) -> None:
    """The mutations begin with files that work, those of the documents included."""
    assert {"studies/own_graph.toml", "docs/study_file.md 2", "docs/ray_tune.md 0"} <= set(bases)
    for name, tables in bases.items():
        file = place.write(toml(tables).encode())
        result = CliRunner().invoke(main, ["search", file, "--dry-run", *place.options])
        assert result.exit_code == 0, (name, result.stderr)


def test_the_same_files_each_time(bases: dict[str, Tables]) -> None:
    """Numbers name files: what fails can be looked at again. All mutations take part."""
    twice = [[mutated(number, bases) for number in range(0, ALL, 50)] for _ in range(2)]
    assert twice[0] == twice[1]
    said = [mutated(number, bases)[0] for number in range(ALL)]
    assert len({mutated(number, bases)[1] for number in range(ALL)}) > 0.9 * ALL
    assert all(any(m.__name__ in one for one in said) for m in MUTATIONS)
    assert len(CONTRADICTIONS) < ALL / 4


@pytest.mark.parametrize(
    ("strategy", "fault"),
    [
        ("raise RuntimeError('broken')", "exit status 1"),
        ("raise UsageError('name: this cannot be')", "no remedy"),
        ("raise UsageError('expected something else')", "no table and key"),
        ("raise UsageError('name: expected a dict')", "a programmer's words"),
        ("raise UsageError('name: expected\\nmore')", "no single line"),
        ("print('hello'); raise UsageError('name: expected more')", "something on stdout"),
    ],
)
def test_a_poor_refusal_would_be_noticed(
    place: Place, bases: dict[str, Tables], strategy: str, fault: str
) -> None:
    """The control: a plug-in that refuses as none should."""
    name = fault.replace(" ", "_").replace("'", "")
    package = place.folder / name
    package.mkdir()
    (package / "poor.py").write_text(
        f"from search_spaces import UsageError\ndef build(problem):\n    {strategy}\n"
    )
    tables = {**bases["studies/quickstart.toml"], "strategy": {"name": f"{name}.poor"}}
    found = place.faults(toml(tables).encode())
    assert any(one.startswith(fault) for one in found), found


def check(place: Place, bases: dict[str, Tables], numbers: range) -> None:
    """Of these files, what is held against the program, and the database stays empty."""
    found = {}
    for number in numbers:
        said, content = mutated(number, bases)
        if faults := place.faults(content):
            found[number, said] = faults
    assert not found, "\n".join(f"{where}: {what}" for where, what in found.items())
    assert place.studies() == 0


def test_spoilt_files_are_refused_or_are_studies(place: Place, bases: dict[str, Tables]) -> None:
    """One file in five of the thousand."""
    check(place, bases, range(0, ALL, EVERY))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, EVERY))
def test_all_spoilt_files_are_refused_or_are_studies(
    place: Place, bases: dict[str, Tables], first: int
) -> None:
    """The others."""
    check(place, bases, range(first, ALL, EVERY))


def refused_by_the_command(place: Place, content: bytes) -> int:
    """Put a file to a search in a process of its own; whether it was refused, as in this one."""
    file = place.write(content)
    here = CliRunner().invoke(main, ["search", file, "--dry-run", *place.options])
    if here.exit_code == 0:
        return 0
    there = subprocess.run(
        [sys.executable, "-m", "nas", "search", file, *place.options],
        cwd=place.folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (there.returncode, there.stdout) == (2, ""), there.stderr
    # How many architectures are tried within its seconds is another number each time.
    assert said_alike(there.stderr) == said_alike(here.stderr)
    return 1


def said_alike(text: str) -> str:
    return re.sub(r"of \d+ tried has .*?;", "", text)


def test_the_command_itself_refuses_as_the_dry_run_does(
    place: Place, bases: dict[str, Tables]
) -> None:
    """Without --dry-run, in real processes, nothing is stored either."""
    # Contradictions that are some in any file.
    wrong = [n for n, (_, value) in enumerate(CONTRADICTIONS) if value in (["params < 5"], 0, "")]
    # A file may be one in which such a thing does not contradict anything.
    each = (refused_by_the_command(place, mutated(n, bases)[1]) for n in wrong)
    assert len(list(itertools.islice(filter(None, each), 3))) == 3
    assert place.studies() == 0


@pytest.mark.slow
def test_the_command_itself_refuses_dozens(place: Place, bases: dict[str, Tables]) -> None:
    """A few dozen, in real processes."""
    refused = sum(refused_by_the_command(place, mutated(n, bases)[1]) for n in IN_PROCESSES)
    assert refused > 16
    assert place.studies() == 0
