"""A real study with rungs, bounds and a confirmed trial; dashboards as processes."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nas.cli import main

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
NAS = [sys.executable, "-m", "nas"]
STUDY = """
[study]
name = "watched"
objectives = { val_accuracy = "maximize", params = "minimize" }
constraints = ["params <= 500"]
[space]
depth = [1]
operators = ["gcn", "linear"]
width = [4, 8]
pre_layers = [0]
post_layers = [0]
[dataset]
name = "digits_knn"
[strategy]
name = "random"
[evaluator]
epochs = 6
[halving]
epochs = [2]
reduction = 2
[budget]
trials = 8
"""


@dataclass(frozen=True)
class Watched:
    folder: Path

    @property
    def spec(self) -> Path:
        return self.folder / "watched.toml"

    @property
    def storage(self) -> str:
        return f"sqlite:///{self.folder / 'nas.db'}"

    def nas(self, *arguments: str) -> str:
        line = [*arguments, "--storage", self.storage]
        result = CliRunner().invoke(main, line)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Eight trials, of which some are pruned, and one is confirmed: its test metrics are stored."""
    study = Watched(tmp_path_factory.mktemp("watched"))
    study.spec.write_text(STUDY)
    study.nas("search", str(study.spec), "--quiet")
    confirmed = study.nas("confirm", "watched", "--trial", "0", "--seeds", "2", "--format", "json")
    assert "test_accuracy" in json.loads(confirmed)[0]["metrics"]
    return study


@dataclass(frozen=True)
class Page:
    """A dashboard that answers."""

    url: str
    process: "subprocess.Popen[str]"

    @property
    def base(self) -> str:
        return "/".join(self.url.split("/")[:3])

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        request = urllib.request.Request(self.base + path, method=method, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def study(self) -> dict[str, Any]:
        """What the page of the study reads."""
        number = self.url.rsplit("/", 1)[1]
        found: dict[str, Any] = json.loads(self.ask(f"/api/studies/{number}?after=0")[1])
        return found


@contextmanager
def dashboard(*arguments: str) -> Iterator[Page]:
    pipe = subprocess.PIPE
    command = [*NAS, "dashboard", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT) as process:
        try:
            assert process.stdout is not None
            yield Page(process.stdout.readline().strip(), process)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def page(watched: Watched) -> Iterator[Page]:
    """The dashboard of that study."""
    with dashboard("watched", "--storage", watched.storage) as running:
        yield running
