"""The options `--plugin` and `--data-root`, and the parametrization over plug-ins."""

import os
from pathlib import Path

import pytest

from nas.contracts import _selected
from search_spaces import UsageError
from search_spaces.plugins import PACKAGES, Plugin

_CHOSEN = pytest.StashKey[dict[str, list[Plugin]]]()
# They begin with a cluster of their own: what runs on them takes half a minute each.
_SLOW = {"ray", "ray_tune"}
# They compile, which takes longer than all else of this contract; of one, a node task is compiled
# in any case.
_COMPILING = {"aoti", "int8_dynamic", "int8_static", "int8_weight_only"}
_ONCE = ("int8_static", "node")


def _kinds() -> list[str]:
    """The kinds that have a module here."""
    return [kind for kind in PACKAGES if (Path(__file__).parent / f"test_{kind}.py").exists()]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("contracts of plug-ins")
    group.addoption(
        "--plugin",
        action="append",
        default=[],
        metavar="KIND=NAME[:OPTION=VALUE...]",
        help=f"test this module, a {', '.join(_kinds())}; more than once for several",
    )
    group.addoption(
        "--data-root",
        default=os.environ.get("NAS_DATA_ROOT", "data"),
        metavar="DIR",
        help="folder of raw datasets, as of nas search (default: NAS_DATA_ROOT, or data)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes")
    try:
        given = config.getoption("plugin", None) or []
        config.stash[_CHOSEN] = _selected.named(given, _kinds())
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A kind of which nothing is tested is left out: none is named, or none comes with us."""
    kind = collection_path.stem.removeprefix("test_")
    return True if kind in PACKAGES and not _tested(config, kind) else None


def _tested(config: pytest.Config, kind: str) -> list[Plugin]:
    chosen = config.stash.get(_CHOSEN, {})
    return chosen.get(kind, []) if chosen else _selected.own(kind)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "plugin" not in metafunc.fixturenames:
        return
    kind = str(metafunc.module.KIND)
    slow = _SLOW if "running" in metafunc.fixturenames else ()
    params = [
        pytest.param(p, id=p.name, marks=[pytest.mark.slow] if p.name in slow else [])
        for p in _tested(metafunc.config, kind)
    ]
    metafunc.parametrize("plugin", params, scope="module")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """What compiles is slow, but for once."""
    for item in items:
        chosen = getattr(item, "callspec", None)
        if chosen is None or not {"made", "bundle"} & set(item.fixturenames):
            continue
        name = getattr(chosen.params.get("plugin"), "name", None)
        if name in _COMPILING and (name, chosen.params.get("made")) != _ONCE:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def data_root(request: pytest.FixtureRequest) -> Path:
    """Raw files of public graphs, if there are any."""
    return Path(request.config.getoption("data_root"))


@pytest.fixture
def store(tmp_path: Path) -> str:
    """URL of an artifact store."""
    from evaluators import artifacts

    return artifacts.store_url(tmp_path / "artifacts")
