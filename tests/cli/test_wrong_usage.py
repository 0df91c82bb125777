"""Every command with what is missing, too much, of another type, or contradicts the rest."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from nas.cli import main
from nas.cli._types import File, Folder, Integer, Number, Numbers, OneOf, TrialNumber

from .conftest import STUDY, run

JARGON = re.compile(r"Traceback|Usage:|Errno|NoneType|<class|pydantic|[a-z]Error\b|--debug shows")
WRONG: dict[type, list[str]] = {
    Integer: ["x", "", "-1", "1.5", "nan"],
    TrialNumber: ["x", "", "-1", "1.5", "nan"],
    Number: ["x", "", "-1", "nan", "inf"],
    Numbers: ["x", "", "-1", "nan"],
    OneOf: ["x", ""],
    Folder: ["a file", ""],
    File: ["a folder", ""],
}
# What these take for arguments, and for options that must be there.
GIVEN = {"spec": "tiny.toml", "trial": "0", "to": "new", "strategies": "local", "subject": "tiny"}
GIVEN |= {"name": "tiny", "new": "tiny2", "source": "laptop", "device": "laptop", "file": "new"}
GIVEN |= {"latency": "2"}
DATABASES = ["x", "", "mysql://h/x", "sqlite:///:memory:", "sqlite:///a folder", "sqlite:///a file"]
DATABASES += ["sqlite:///a file/x.db", "postgresql://u@127.0.0.1:1/x", "postgresql://h:port/x"]


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name="nas")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


assert isinstance(main, click.Group)
COMMANDS = dict(leaves(main))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.toml").write_text(STUDY)
    (tmp_path / "a file").write_text("hello\n" * 200)
    (tmp_path / "a folder").mkdir()
    monkeypatch.chdir(tmp_path)
    # Signs of life of a command that takes long, on a busy machine, are no refusals.
    monkeypatch.setattr("nas.cli._progress._SILENT_SECONDS", 600.0)
    return tmp_path


def arguments(path: str, without: str = "") -> list[str]:
    """A command line with all that must be there but one thing."""
    line = path.split()
    for param in COMMANDS[path].params:
        if param.required and param.name != without:
            given = GIVEN.get(param.name or "", "x")
            line += [param.opts[0], given] if isinstance(param, click.Option) else [given]
    return line


def faults(result: Result) -> list[str]:
    """What a user could hold against the way in which a command line is refused."""
    # What is deprecated in other packages is told while tests run, and not to users.
    lines = result.stderr.splitlines(keepends=True)
    said = "".join(line for line in lines if not line.startswith("warning: "))
    wrong = {
        f"exit status {result.exit_code}": result.exit_code != 2,
        "something on stdout": bool(result.stdout),
        "no single line": said.count("\n") != 1,
        "no error": not said.startswith("error: "),
        "a programmer's words": bool(JARGON.search(said)),
    }
    return [f"{what}: {said}" for what, is_so in wrong.items() if is_so]


def refused(*line: str) -> str:
    """What is said of a command line, which must be refused as it should be."""
    result = CliRunner().invoke(main, list(line))
    assert faults(result) == [], line
    return result.stderr


@pytest.mark.parametrize("path", COMMANDS)
def test_what_is_missing_or_too_much_is_named(path: str, here: Path) -> None:
    """Each thing that must be there left out; unknown options; words that nobody asked for."""
    for param in COMMANDS[path].params:
        name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
        if param.required:
            said = refused(*arguments(path, without=param.name or ""))
            assert "missing; see: nas" in said or f"{name}: missing;" in said
        if isinstance(param, click.Option) and not param.is_flag:
            assert name in refused(*arguments(path), name)
            assert f'"{name}"' in refused(*arguments(path), f"{name}x", "1")
    assert f"see: nas {path} --help" in refused(*arguments(path), "--nonesuch").lower()
    assert "one too many" in refused(*arguments(path), *["one too many"] * 3)


@pytest.mark.parametrize("path", COMMANDS)
def test_a_wrong_value_is_named_with_its_option(path: str, here: Path) -> None:
    """What was expected, and what came."""
    for param in COMMANDS[path].params:
        for value in WRONG.get(type(param.type), []):
            if isinstance(param, click.Option):
                said = refused(*arguments(path), param.opts[0], value)
                assert said.startswith(f"error: {param.opts[0]}: expected ")
                assert f'"{value}"' in said


@pytest.mark.parametrize("number", ["-1", "-12", "-1.5", "x", "1.5"])
def test_a_number_below_0_is_no_option(number: str, here: Path) -> None:
    """Of a trial it is refused as any other word is, and what is an option still is one."""
    expected = f'a trial\'s number, from 0, as nas trials lists them, got "{number}"'
    for path in ("show", "latency measure"):
        said = refused(*path.split(), "tiny", number)
        assert said == f"error: TRIAL: expected {expected}; see: nas {path} --help\n"
    assert "there is no option -x" in refused("show", "tiny", "-x")
    assert "there is no option -1" in refused("front", "tiny", "-1")


READING = [p for p, c in COMMANDS.items() if any("--storage" in o.opts for o in c.params)]
MAKING = {"search", "compare", "storage import", "supernet train"}


@pytest.mark.parametrize("path", READING)
def test_a_wrong_database_is_named(path: str, here: Path) -> None:
    """Not a URL, not there, not a database; a trial and a file where a command wants them."""
    if path == "storage import":
        (here / "new").write_text("")
    line = arguments(path) + ["0"] * (path == "latency measure")
    if path == "storage check":  # which reports what is wrong, and has a status of its own
        assert run(*line, "--storage", "sqlite:///a file", code=1).stdout
        return
    for storage in DATABASES:
        refused(*line, "--storage", storage)
    if path not in MAKING:
        assert "there is no database none.db" in refused(*line, "--storage", "sqlite:///none.db")
        assert not (here / "none.db").exists()


@pytest.mark.parametrize("path", [p for p in READING if p not in MAKING])
def test_a_study_that_is_not_there_is_named(path: str, study: dict[str, Any], here: Path) -> None:
    """With the one that may have been meant."""
    line = [{"tiny": "tinny"}.get(word, word) for word in arguments(path)]
    line += ["0"] * (path == "latency measure")
    if "tinny" in line:
        said = refused(*line, "--storage", study["storage"])
        assert 'no study "tinny"' in said
        assert 'did you mean "tiny"?' in said


INLINE, LOCAL = ["--executor", "inline"], ["--strategies", "local"]
CONTRADICTIONS = [
    (["search", "tiny.toml", "--trials", "3", "--set", "budget.trials=4"], "--trials and --set"),
    (
        ["search", "tiny.toml", "--name", "a", "--set", "study.name=b"],
        "--name and --set study.name",
    ),
    (
        ["search", "tiny.toml", "--seed", "1", "--set", "study.seed = 2"],
        "--seed and --set study.se",
    ),
    (["search", "tiny.toml", "--batch", "1", "--set", "study.batch=2"], "--batch and --set"),
    (["search", "tiny.toml", "--workers", "1", "--set", "executor.workers=2"], "--workers and"),
    (
        ["search", "tiny.toml", "--name", "a", *INLINE, "--workers", "2"],
        "no option of the executor",
    ),
    (["search", "tiny.toml", "--set", "study.seed=1", "--set", "study.seed=2"], "is there twice"),
    (["search", "tiny.toml", "--accept-device"], "[latency] device: missing"),
    (["resume", "tiny", "--accept-device"], "no profile to accept; leave it out"),
    (["worker", "tiny", "--accept-device"], "no profile to accept; leave it out"),
    (["resume", "tiny", *INLINE, "--workers", "2"], "no option of the executor"),
    (["confirm", "tiny", "--top", "2", "--trial", "1"], "--top and --trial both say which"),
    (
        ["compare", "tiny.toml", *LOCAL, "--trials", "2", "--at", "3"],
        "from 1 to 2",
    ),
    (
        ["compare", "tiny.toml", *LOCAL, "--trials", "2", "--set", "budget.trials=3"],
        "--trials and --set budget.trials",
    ),
    (["predict", "b", "--input", "g.npz", "--dataset", "digits_knn"], "and not both"),
    (["predict", "b"], "expected one of --dataset and --input"),
    (
        ["predict", "b", "--input", "g.npz", "--out", "a.csv", "--format", "json"],
        "leave --format out",
    ),
    (["predict", "b", "--input", "g.npz", "--out", "a.txt"], ".csv or .json, got a.txt"),
    (["latency", "profile", "--set", "space.depth=[1]"], "--set changes keys of a study file"),
    (["latency", "measure", "tiny"], "for a study name a trial too"),
    (["latency", "measure", "a folder", "0"], "a bundle takes no trial number"),
    (["storage", "import", "a file", "--name", "a b"], "the name of a study: expected"),
    (["rename", "tiny", "a b"], "the name of a study: expected"),
    (["delete", "tiny"], "--yes deletes without asking"),
    (["init", "tiny.toml"], "tiny.toml exists; it is left as it is"),
    (["init", "a file/x.toml"], "cannot be written"),
    (["storage", "export", "tiny", "--to", "a file"], "is there already"),
    (["plugins", "opertor"], 'did you mean "operator"?'),
    (["serch", "x"], 'did you mean "search"?'),
    (["storage", "chek"], 'did you mean "check"?'),
]


@pytest.mark.parametrize(("line", "said"), CONTRADICTIONS, ids=lambda v: str(v)[:40])
def test_what_contradicts_itself_is_refused(
    line: list[str], said: str, study: dict[str, Any], here: Path
) -> None:
    """Nothing that was asked for is ignored without a word."""
    path = next(p for p in (" ".join(line[:2]), line[0], "search") if p in COMMANDS)
    if path in READING and line[0] in (*COMMANDS, "storage", "latency") and "chek" not in line:
        line = [*line, "--storage", study["storage"]]
    text = CliRunner().invoke(main, line).stderr if line[0] == "delete" else refused(*line)
    assert said in text


def test_a_poor_refusal_would_be_noticed() -> None:
    """The control: what click says by itself, and a fault of the program."""

    @click.command("poor")
    @click.option("--count", type=click.IntRange(min=1))
    def poor(count: int) -> None:
        raise RuntimeError("broken")

    by_click = faults(CliRunner().invoke(poor, ["--count", "x"]))
    assert {fault.partition(":")[0] for fault in by_click} >= {"no single line", "no error"}
    assert faults(CliRunner().invoke(poor, ["--count", "1"]))[0].startswith("exit status 1")


def test_a_group_without_a_command_shows_its_help() -> None:
    """Which is no error of one line."""
    for group in ([], ["storage"], ["latency"]):
        result = CliRunner().invoke(main, group)
        assert "Commands:" in result.output
        assert "error:" not in result.output
