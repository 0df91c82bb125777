"""What a command imports before it begins; an interruption meanwhile."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

_CODE = """
import sys
from nas.cli._startup import load_for
load_for(trains={})
print("nas.study" in sys.modules, "evaluators.training" in sys.modules)
"""


@pytest.mark.parametrize("trains", [True, False])
def test_what_trains_is_loaded_for_a_study_that_trains_alone(trains: bool) -> None:
    command = [sys.executable, "-c", _CODE.format(trains)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True", str(trains)]


_INTERRUPTED = """
import sys
from importlib.metadata import EntryPoint

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
sys.argv = ["nas", "plugins"]
EntryPoint("nas", {entry!r}, "console_scripts").load()()
"""


@pytest.mark.parametrize("name", ["nas.cli", "click", "nas.cli._boundary", "nas.cli.plugins"])
def test_ctrl_c_while_modules_are_imported(name: str) -> None:
    """Of the program as it is installed: a word and 130, as from there on."""
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    entry = tomllib.loads(pyproject.read_text("utf-8"))["project"]["scripts"]["nas"]
    command = [sys.executable, "-c", _INTERRUPTED.format(name=name, entry=entry)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")


def test_ctrl_c_while_the_line_is_read() -> None:
    """Which click would tell in words of its own, with status 1."""
    code = (
        "import nas.cli._lazy as lazy\n"
        "def interrupted(*_, **__): raise KeyboardInterrupt\n"
        "lazy.Group.make_context = interrupted\n"
        "from nas.__main__ import main; main()"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")
