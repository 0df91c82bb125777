"""Every command that can take long says how far it is, and is silent where it is asked to be."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest

from nas.cli import main
from nas.cli._progress import Live, say

from .conftest import Nas, run

ROOT = Path(__file__).resolve().parents[2]
NAS = [sys.executable, "-m", "nas"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
# What only reads rows or files that are small, or is a server that says where it is.
QUICK = {
    "init",
    "list",
    "status",
    "trials",
    "show",
    "front",
    "prepared",
    "rename",
    "delete",
    "latency devices",
    "serve",
}


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        elif command is not None:
            yield path + name, command


COMMANDS = dict(commands(main))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - QUICK))
def test_what_can_take_long_can_be_silent(name: str) -> None:
    """A new command has `--quiet`, or is named above as one that takes no time."""
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert "--quiet" in options


def test_the_quick_ones_are_commands() -> None:
    """The list above is of today."""
    assert set(COMMANDS) >= QUICK
    assert len(set(COMMANDS) - QUICK) > 15


@pytest.fixture(scope="module")
def bundle(study: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("progress") / "bundle"
    run("export", "tiny", "--to", str(folder), "--storage", study["storage"], "--quiet")
    return folder


QUIET = {
    "search": ["search", "SPEC", "--name", "quiet", "--storage", "URL"],
    "search --dry-run": ["search", "SPEC", "--name", "dry", "--storage", "URL", "--dry-run"],
    "resume": ["resume", "tiny", "--storage", "URL"],
    "worker": ["worker", "tiny", "--storage", "URL"],
    "confirm": ["confirm", "tiny", "--top", "1", "--seeds", "2", "--storage", "URL"],
    "export": ["export", "tiny", "--to", "NEW", "--storage", "URL"],
    "quantize": ["quantize", "tiny", "--to", "NEW", "--method", "nearest", "--storage", "URL"],
    "predict": ["predict", "BUNDLE", "--dataset", "digits_knn"],
    "verify": ["verify", "BUNDLE", "--no-latency"],
    "card": ["card", "BUNDLE"],
    "plugins": ["plugins"],
    "reproduce": ["reproduce", "BUNDLE"],
    "latency measure": ["latency", "measure", "tiny", "0", "--rounds", "1", "--storage", "URL"],
    "storage check": ["storage", "check", "--storage", "URL"],
    "storage export": ["storage", "export", "tiny", "--to", "NEW", "--storage", "URL"],
    "gc": ["gc", "--dry-run", "--storage", "URL"],
}


@pytest.mark.parametrize("name", QUIET)
def test_quiet_is_silent(name: str, study: dict[str, Any], bundle: Path, tmp_path: Path) -> None:
    """With `--quiet` stderr is empty, and stdout has what it has without."""
    stands_for = {
        "SPEC": str(study["spec"]),
        "URL": study["storage"],
        "NEW": str(tmp_path / "new"),
        "BUNDLE": str(bundle),
    }
    arguments = [stands_for.get(argument, argument) for argument in QUIET[name]]
    result = run(*arguments, "--quiet")
    assert result.stderr == ""
    assert result.stdout or name == "worker"


def test_what_is_read_slowly_says_so() -> None:
    """A list of plug-ins in a process of its own imports them all, for seconds."""
    slow = (
        "import time, search_spaces.plugins as plugins\n"
        "from nas.cli import main\n"
        "names = plugins.names\n"
        "plugins.names = lambda kind: (time.sleep(2.5), names(kind))[1]\n"
        "main(['plugins', 'dataset'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", slow], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert "reading plug-ins (2 s so far)" in result.stderr
    assert "digits_knn" in result.stdout


def test_errors_are_not_silenced(nas: Nas) -> None:
    """What went wrong is said all the same."""
    assert nas("resume", "tinny", "--quiet", code=2).stderr.startswith('error: no study "tinny"')


def test_a_long_trial_is_seen_in_a_pipe(study: dict[str, Any], tmp_path: Path) -> None:
    """One trial of several seconds: signs of life meanwhile, and no escape code among them."""
    long = ["search", str(study["spec"]), "--storage", f"sqlite:///{tmp_path / 'long.db'}"]
    long += ["--trials", "1", "--set", "evaluator.epochs=2000"]
    result = subprocess.run(
        [*NAS, *long], capture_output=True, text=True, env=ENVIRONMENT, check=True, timeout=120
    )
    assert "\x1b" not in result.stderr + result.stdout
    assert "under way (" in result.stderr
    assert len(result.stderr.splitlines()) < 15


def test_what_says_nothing_is_still_seen(capsys: pytest.CaptureFixture[str]) -> None:
    """After two seconds of silence what is under way is said; with a word meanwhile, later."""
    with Live("exporting", is_terminal=False) as live:
        time.sleep(1.5)
        live.step("writing model.pt2")
        time.sleep(1.0)
        assert capsys.readouterr().err == "writing model.pt2\n"
        time.sleep(1.5)
    assert capsys.readouterr().err == "writing model.pt2 (4 s so far)\n"


def test_what_begins_anew_is_seen_as_soon(capsys: pytest.CaptureFixture[str]) -> None:
    """However long the silence before it was: two seconds after a line that stays."""
    with Live("starting", is_terminal=False) as live:
        time.sleep(2.5)
        live.say("dataset: one")
        time.sleep(2.5)
    told = "starting (2 s so far)\ndataset: one\nstarting (4 s so far)\n"
    assert re.sub(r"\(\d+ s", "(N s", capsys.readouterr().err) == re.sub(r"\(\d+ s", "(N s", told)


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """No sign of life is wanted of what ends at once."""
    with Live("exporting", is_terminal=False):
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_lines_become_rarer(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten hours of counting are a few hundred lines, not thirty-six thousand."""
    now = 0.0
    with Live(is_terminal=False, clock=lambda: now) as live:
        for second in range(36_000):
            now = float(second)
            live.count(second, 40_000)
    lines = capsys.readouterr().err.splitlines()
    assert 300 < len(lines) < 1_000
    assert lines[:3] == ["0/40000 retrained", "1/40000 retrained", "2/40000 retrained"]


def test_on_a_terminal_it_is_one_line_which_is_gone_in_the_end() -> None:
    """Drawn again and again in its place, with what stays above it."""
    code = (
        "import time\n"
        "from nas.cli._progress import Live\n"
        "with Live('exporting') as live:\n"
        "    live.step('writing model.pt2')\n"
        "    live.say('a line that stays')\n"
        "    time.sleep(0.6)\n"
    )
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=theirs, env=ENVIRONMENT | {"TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # its end is gone
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert process.wait() == 0
    *drawn, last = shown.decode().replace("\r", "").split("\n")
    assert "\x1b" in shown.decode()
    assert sum("a line that stays" in line for line in drawn) == 1
    assert "writing model.pt2" in "".join(drawn)
    assert not re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last).strip()


def test_outside_of_a_command_lines_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Quiet is what a command was told, and nothing else."""
    say("a line")
    assert capsys.readouterr().err == "a line\n"
