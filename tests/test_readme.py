"""The README: its commands are all of the commands, and its links lead somewhere."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_is_there() -> None:
    from nas.cli import main

    documented = set(re.findall(r"\bnas ([a-z]+)", README))
    assert set(main.list_commands(None)) == documented - {"db"}  # type: ignore[arg-type]


def test_the_two_commands_come_first() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
    assert blocks[0].startswith("pip install -c constraints.txt . && nas search studies/")
    assert blocks[1] == "pip install -c constraints.txt '.[test]' && pytest\n"


def test_links_lead_somewhere() -> None:
    for document in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "studies/README.md",
    ]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        named += extra
    wanted = {re.split(r"[\[<>=; ]", requirement)[0].lower() for requirement in named}
    pinned = {
        line.partition("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    assert wanted <= pinned
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
