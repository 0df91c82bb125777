"""Blocks of Markdown pages, and shells that run them as a reader would."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
# What a reader has when he runs a page: a clone.
CLONE = ("studies", "examples")
# The environment of the tests stands for the one that these make.
INSTALLING = ("python3 -m venv ", "pip install ")
# Those of which each block is run, or left out for a reason: see test_accounting.
LANGUAGES = frozenset({"sh", "bash", "zsh", "fish", "python", "toml"})


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its page, and the line where it begins."""

    language: str
    text: str
    page: str
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


@cache
def blocks(page: Path) -> Sequence[Block]:
    """Its fenced blocks, those of the generator's directives left out."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    name = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
    found = [
        Block(t.info.strip(), t.content, name, t.map[0] + 1)
        for t in tokens
        if t.type == "fence" and t.map
    ]
    return [block for block in found if not block.language.startswith("{")]


def runnable(page: str, *words: str) -> list[Block]:
    """The blocks of a page in one of LANGUAGES: for each of some words the one that has them.

    Without words all of them. A number leaves a name for blocks as soon as another one is put
    before it; its own words do not.
    """
    found = [block for block in blocks(ROOT / page) if block.language in LANGUAGES]
    if not words:
        return found
    chosen = []
    for each in words:
        having = [block for block in found if each in block.text]
        if len(having) != 1:
            raise LookupError(f"{page}: expected one block that has {each!r}, got {len(having)}")
        chosen += having
    return chosen


def run(shown: Sequence[Block], at: Path) -> "subprocess.CompletedProcess[str]":
    """Run blocks in a folder, one by one, in one shell: files are written, the rest is run."""
    script = []
    for number, block in enumerate(shown):
        if block.file is not None:
            (at / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            (at / f"block_{number}.py").write_text(block.text, encoding="utf-8")
            script.append(f"python block_{number}.py\n")
        elif block.language == "sh":
            script.append(block.text)
        else:
            raise ValueError(f"{block.page}:{block.line}: nothing runs {block.language}")
    return shell("".join(script), at)


def shortened(text: str, changes: Mapping[str, str]) -> str:
    """The text with other words, as smaller numbers, each of which must be there to be changed."""
    for written, here in changes.items():
        if written not in text:
            raise LookupError(f"expected {written!r} in {text!r}")
        text = text.replace(written, here)
    return text


def shell(script: str, at: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run commands in a folder that has what a clone has; the first that fails ends them."""
    how = _bash(script, at, environment)
    return subprocess.run(**how, capture_output=True, check=False)


@contextmanager
def live(script: str, at: Path, url: str) -> Iterator[None]:
    """Commands of which the last goes on until Ctrl-C, which comes at the end.

    Raises:
        RuntimeError: they ended before the URL answered, or not with 0.
    """
    log = at / "live.log"
    with log.open("w") as to:
        how = _bash(script, at, {})
        process = subprocess.Popen(**how, stdout=to, stderr=to, start_new_session=True)
    try:
        _wait(url, process, log)
        yield
        os.killpg(process.pid, signal.SIGINT)
        if process.wait(60) != 0:
            raise RuntimeError(f"ended with {process.returncode}: {log.read_text()[-3000:]}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(url: str, process: "subprocess.Popen[str]", log: Path) -> None:
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        try:
            asked(url)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"{url} has not answered: {log.read_text()[-3000:]}")


def asked(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  (of a test's own server)
        content: bytes = answer.read()
    return content


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _bash(script: str, at: Path, environment: Mapping[str, str]) -> dict[str, Any]:
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
        **environment,
    }
    command = ["bash", "-c", "\n".join([*first, *lines])]
    return {"args": command, "cwd": at, "env": environment, "text": True}
