"""One small real study, made once, that the commands look at."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nas.cli import main

STUDY = """
[study]
objectives = { val_accuracy = "maximize", params = "minimize" }
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
epochs = 3
[budget]
trials = 3
"""
Nas = Callable[..., Result]


def run(*arguments: str, code: int = 0, **options: Any) -> Result:
    """Call a command in this process; its exit status must be `code`."""
    result = CliRunner().invoke(main, list(arguments), **options)
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Three trials of a study named `tiny`: its storage, its file, what the search printed."""
    folder = tmp_path_factory.mktemp("study")
    spec = folder / "tiny.toml"
    spec.write_text(STUDY)
    storage = f"sqlite:///{folder / 'nas.db'}"
    result = run("search", str(spec), "--storage", storage, "--format", "json")
    return {
        "storage": storage,
        "spec": spec,
        "printed": json.loads(result.stdout),
        "progress": result.stderr,
        "folder": folder,
    }


@pytest.fixture
def nas(study: dict[str, Any]) -> Nas:
    """Call a command on that study's database."""

    def call(*arguments: str, **options: Any) -> Result:
        return run(*arguments, "--storage", study["storage"], **options)

    return call
