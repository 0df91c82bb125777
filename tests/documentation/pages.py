"""Blocks of Markdown pages, and a shell that runs them as a reader would."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
# What a reader has when he runs a page: a clone.
CLONE = ("studies", "examples")
# The environment of the tests stands for the one that these make.
INSTALLING = ("python3 -m venv ", "pip install ")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line where it begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """What it is the content of, where its first line is a comment with nothing but a name."""
        words = self.text.partition("\n")[0].split()
        if len(words) == 2 and words[0] == "#" and words[1].endswith((".toml", ".py")):
            return words[1]
        return None


def pages() -> list[Path]:
    """All Markdown that people read, from the root."""
    folders = ("docs", "benchmarks", "studies", "examples")
    nested = [page for folder in folders for page in (ROOT / folder).rglob("*.md")]
    return sorted([*ROOT.glob("*.md"), *(page for page in nested if "_build" not in page.parts)])


def blocks(page: Path) -> list[Block]:
    """Its fenced blocks, those of the generator's directives left out."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    fences = (token for token in tokens if token.type == "fence" and token.map)
    found = [Block(t.info.strip(), t.content, t.map[0] + 1) for t in fences if t.map]
    return [block for block in found if not block.language.startswith("{")]


def run(page: Path, at: Path) -> "subprocess.CompletedProcess[str]":
    """Run a page in a folder, block by block, in one shell: files are written, the rest is run."""
    script = []
    for number, block in enumerate(blocks(page)):
        if block.file is not None:
            (at / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            (at / f"block_{number}.py").write_text(block.text, encoding="utf-8")
            script.append(f"python block_{number}.py\n")
        elif block.language == "sh":
            script.append(block.text)
    return shell("".join(script), at)


def shell(script: str, at: Path) -> "subprocess.CompletedProcess[str]":
    """Run commands in a folder that has what a clone has; the first that fails ends them."""
    for folder in CLONE:
        if not (at / folder).exists():
            kept = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / folder, at / folder, ignore=kept)
    lines = [line for line in script.splitlines() if not line.startswith(INSTALLING)]
    first = ["set -eo pipefail", f'nas() {{ "{sys.executable}" -m nas "$@"; }}']
    paths = (str(ROOT), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        ["bash", "-c", "\n".join([*first, *lines])],
        cwd=at,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
