"""A study that decides how many neighbors a node sees has a rule for that, too."""

from pathlib import Path

import pytest

import nas
from nas.scaling import Scaling, write_study
from nas.spec import load_spec

from .conftest import tables

OFFERED = [1, 2, 4, 8, 0]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('scaling') / 'nas.db'}"
    spec = {**tables(), "extension": {"neighborhood": {"neighbors": OFFERED}}}
    nas.search({**spec, "budget": {"trials": 60}}, storage=url)
    return url


@pytest.fixture(scope="module")
def scaling(storage: str) -> Scaling:
    return nas.Study("surface", storage=storage).scale(ratios=[0.02, 0.1, 0.9])


def test_neighbors_grow_with_the_budget(scaling: Scaling) -> None:
    """0 is all of them; the uncertainty is told beside."""
    seen = [
        row.neighbors or scaling.rules.most for row in scaling.rows if row.neighbors is not None
    ]
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert all((row.neighbors_sd or 0) > 0 for row in scaling.rows)
    assert all(abs(row.error) <= 0.05 for row in scaling.rows)


def test_what_is_written_offers_them(scaling: Scaling, storage: str, tmp_path: Path) -> None:
    """And the macs that are recorded are those that were told, of the edges that are kept."""
    write_study(scaling, tmp_path / "few.toml")
    study = nas.search(tmp_path / "few.toml", storage=storage)
    assert [t.metrics["macs"] for t in study.trials()] == [row.macs for row in scaling.rows]
    (extension,) = load_spec(tmp_path / "few.toml").extension
    assert {*extension.options["neighbors"]} == {
        *OFFERED, *(row.neighbors for row in scaling.rows)
    }  # fmt: skip
