"""Plug-ins are found by name: those of the program, and modules that live elsewhere."""

import ast
from pathlib import Path

import pytest

from search_spaces import PluginError, plugins

OUTSIDE = '''"""Twice the features.

    x' = 2 x W
"""
from torch import nn

def build(in_features: int, out_features: int, *, times: int = 2) -> nn.Module:
    return nn.Bilinear(in_features, in_features, out_features)
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that is on the path and not part of the program."""
    package = tmp_path / "outside_operators"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "twice.py").write_text(OUTSIDE)
    (package / "open.py").write_text(OUTSIDE.replace("*, ", ""))
    (package / "empty.py").write_text('"""No build here."""\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    return "outside_operators"


def test_operators_are_the_modules_with_build() -> None:
    """Every file of the package but those with an underscore, in order."""
    folder = Path(plugins.__file__).parent / "operators"
    modules = sorted(f.stem for f in folder.glob("*.py") if not f.stem.startswith("_"))
    assert list(plugins.names("operator")) == modules
    assert {"gcn", "gat", "skip"} <= set(modules)


def test_the_space_is_found_among_the_values() -> None:
    """Modules without `build` are no plug-ins, and no other defines one by chance."""
    assert plugins.names("space") == ("gnn", "nas_bench_graph")
    source = ast.parse((Path(plugins.__file__).parent / "networks.py").read_text())
    assert all(getattr(node, "name", "") != "build" for node in source.body)


def test_a_dotted_name_is_any_module(outside: str) -> None:
    """With its options and its summary, as if it came with the program."""
    name = f"{outside}.twice"
    assert plugins.summary("operator", name) == "Twice the features."
    assert plugins.options("operator", name)["times"].default == 2
    assert plugins.load("operator", name).build(2, 3).out_features == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("saeg", 'no operator is called "saeg"; did you mean "sage"?'),
        ("zzzzzz", "expected one of: appnp, arma, cheb"),
        ("_heads", 'no operator is called "_heads"'),
        ("outside_operators.absent", "cannot be imported .* Python's path"),
        ("outside_operators.empty", "has no function `build`, so it is no operator"),
        ("outside_operators.open", r"build\(in_features, out_features, \*, ...\)`.* behind the"),
    ],
)
def test_a_miss_says_what_was_meant(outside: str, name: str, message: str) -> None:
    """And never a traceback of the import."""
    with pytest.raises(PluginError, match=message.replace("?", r"\?")):
        plugins.load("operator", name)
