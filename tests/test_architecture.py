"""The arrows and fences of docs/architecture.md, by walking the imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("search_spaces", "evaluators", "nas")
FILES = sorted(f for package in PACKAGES for f in (ROOT / package).rglob("*.py"))
# A third party, and where it may be imported.
FENCES = {
    "click": ("nas/cli/",),
    "rich": ("nas/cli/",),
    "uniplot": ("nas/cli/",),
    "sqlalchemy": ("nas/store/",),
    "optuna": ("nas/store/", "nas/strategies/", "nas/dashboard/", "nas/reporting/_importance.py"),
    "optuna_dashboard": ("nas/dashboard/",),
    "alembic": ("nas/store/",),
    "ray": tuple(f"evaluators/executors/{name}" for name in ("ray", "_ray", "_tune")),
    "pebble": ("evaluators/executors/",),
    "pydantic": (
        "nas/spec.py",
        "nas/_options.py",
        "nas/_tables.py",
        "nas/_toml.py",
        "nas/export/",
        "nas/serving/",
    ),
    "sklearn": ("evaluators/",),
    "pandas": ("nas/looking.py",),
    "pytest": ("nas/contracts/",),
    "torchao": ("nas/export/",),
    "onnx": ("nas/export/",),
    "onnxruntime": ("nas/export/",),
    "starlette": ("nas/serving/",),
    "uvicorn": ("nas/serving/",),
    "markdown_it": ("nas/cards/",),
    "tensorboard": ("nas/watching/",),
    "mlflow": ("nas/watching/",),
    "yaml": ("nas/cards/",),
    "jinja2": ("nas/reporting/",),
    "plotly": ("nas/reporting/",),
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_arrows_and_fences(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    own = PACKAGES.index(place.partition("/")[0])
    for module in imported(path):
        package = module.partition(".")[0]
        if package in PACKAGES:
            assert PACKAGES.index(package) <= own, f"{place} imports {module}"
        if package in FENCES:
            assert place.startswith(FENCES[package]), f"{place} imports {module}"
        assert not (own == 0 and package in FENCES), f"{place} imports {module}"


def test_nothing_needs_the_contract_tests() -> None:
    """They are shipped for authors of plug-ins, and import pytest."""
    for path in FILES:
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith("nas/contracts/"):
            assert not any(m.startswith("nas.contracts") for m in imported(path)), place


def test_only_the_study_joins_strategies_store_and_executors() -> None:
    """Strategies know no store, the store no evaluator's work, and nothing but the top a study."""
    above = {
        "nas.study",
        "nas.driver",
        "nas.api",
        "nas.handle",
        "nas.cli",
        "nas.confirm",
        "nas.candidate",
    }
    for folder in ("nas/strategies", "nas/store"):
        for path in (ROOT / folder).glob("*.py"):
            wrong = {m for m in imported(path) if m in above or m.startswith("evaluators.")}
            wrong -= {"evaluators.replacing"}  # how a file is written, of whatever
            assert not wrong, f"{path.name} imports {wrong}"
    for path in (ROOT / "nas/strategies").glob("*.py"):
        assert not any(m.startswith("nas.store") for m in imported(path))


@pytest.mark.parametrize(
    "statement",
    [
        "import nas, search_spaces, evaluators, evaluators.datasets",
        "from nas.store import Store",
        "import nas.strategies",
        "from nas.cli import main; main(['--help'], standalone_mode=False)",
        "from nas.cli import main; main(['list'], standalone_mode=False)",
    ],
)
def test_light_imports(statement: str, tmp_path: Path) -> None:
    """Help and look-ups import neither torch nor ray."""
    code = (
        f"from nas.store import Store; Store('sqlite:///nas.db')\n{statement}\n"
        "import sys; print('heavy:', sorted({'torch', 'torch_geometric', 'ray'} & {*sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert result.stdout.splitlines()[-1] == "heavy: []"
