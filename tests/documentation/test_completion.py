"""Tab, in real shells, as docs/shell_completion.md sets it up."""

import os
import pty
import re
import select
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from .pages import ROOT, Block

PAGE = "docs/shell_completion.md"
SHELLS = {
    "bash": ["bash", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
BEFORE = {"zsh": "autoload -Uz compinit && compinit -D; "}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a `nas`, as an installation puts it on the path."""
    file = tmp_path / "bin" / "nas"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nas "$@"\n')
    file.chmod(0o755)
    return file.parent


def typed(shell: str, setup: str, keys: str, wanted: str, program: Path) -> str:
    """What a shell in a terminal shows after a line was typed, until `wanted` is there."""
    paths = f"{program}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": paths, "PYTHONPATH": str(ROOT), "TERM": "dumb", "PS1": "> "}
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(program)
        os.execvpe(shell, SHELLS[shell], environment)  # noqa: S606  (a shell is what is tested)
    try:
        os.write(terminal, f"{BEFORE.get(shell, '')}{setup}; echo rea''dy\n".encode())
        shown = _until(terminal, r"(?m)^ready")
        os.write(terminal, keys.encode())
        return shown + _until(terminal, wanted)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def _until(terminal: int, pattern: str, seconds: float = 20) -> str:
    shown, end = "", time.monotonic() + seconds
    while time.monotonic() < end and not re.search(pattern, shown.replace("\r", "")):
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown.replace("\r", "")


@pytest.mark.parametrize(
    "shell",
    [
        pytest.param("bash", marks=pytest.mark.runs(PAGE, "bash_source")),
        pytest.param("zsh", marks=pytest.mark.runs(PAGE, "zsh_source")),
        pytest.param("fish", marks=pytest.mark.runs(PAGE, "fish_source")),
    ],
)
def test_tab_completes(shell: str, shown: Sequence[Block], program: Path) -> None:
    """A command, a command of a group, and an option."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for keys, wanted in (
        ("nas ver\t", "nas verify"),
        ("nas storage up\t", "nas storage upgrade"),
        ("nas export x --edg\t", "nas export x --edges"),
    ):
        assert wanted in typed(shell, shown[0].text.strip(), keys, wanted, program), keys


def test_without_it_tab_completes_nothing(program: Path) -> None:
    """The control: what is set up is what completes."""
    assert "nas verify" not in typed("bash", "true", "nas ver\t\n", r"(?m)^.*error.*$", program)
