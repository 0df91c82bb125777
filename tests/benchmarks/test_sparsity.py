"""What the sections of the benchmark of sparse networks show."""

import pytest
import sparsity_accuracy
import sparsity_exact
from reporting import Row

from search_spaces.sparsity.network import Sparse


def judged(rows: list[Row]) -> list[bool]:
    return [row["ok"] for row in rows if row["ok"] is not None]


@pytest.mark.parametrize(
    "section",
    [
        sparsity_exact._lottery,
        sparsity_exact._cubic,
        sparsity_exact._grown,
        sparsity_exact._flow,
        sparsity_exact._layers,
    ],
)
def test_what_must_hold_holds(section: object) -> None:
    """With its control, where it has one."""
    rows = judged(list(section()))  # type: ignore[operator]
    assert rows
    assert all(rows)


def forgets(*_: object) -> None:
    """Do nothing."""


def test_networks_that_forget_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are not set back, and masks that nobody holds."""
    monkeypatch.setattr(Sparse, "rewind", forgets)
    assert not all(judged(list(sparsity_exact._lottery())))
    assert all(judged(list(sparsity_exact._held())))
    monkeypatch.setattr(Sparse, "hold", forgets)
    assert not all(judged(list(sparsity_exact._held())))


def test_every_method_is_beside_chance() -> None:
    """All that a study may choose for single entries; the lottery has rounds as long as a run."""
    ways = sparsity_accuracy.ways(200)
    methods = {given["method"][0] for given in ways.values() if given is not None}
    assert methods == {
        "granet",
        "random",
        "magnitude",
        "lottery",
        "snip",
        "grasp",
        "synflow",
        "rigl",
        "dynamic",
    }
    lottery = ways["lottery"]
    assert lottery is not None
    assert (lottery["over_epochs"], lottery["rounds"]) == ((200,), (5,))
