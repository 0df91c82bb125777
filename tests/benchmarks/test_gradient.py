"""benchmarks/gradient.py: labels are planted as they say, and results kept with their cause."""

import sys
from pathlib import Path
from typing import Any

import gradient
import gradient_memory
import gradient_planted
import gradient_searches
import planted
import pytest
import torch
from gradient_keeping import kept
from gradient_searching import Found, searched
from gradient_second_order import Problem, largest_error

from evaluators.datasets import Dataset, save_graph
from nas.compare import entrants
from nas.contracts.graphs import node_graph
from nas.spec import spec_from_mapping
from search_spaces import plugins

FIELDS = {"case", "measure", "value", "baseline", "ratio", "target", "ok"}


def oracle(dataset: Dataset, operator: str) -> float:
    """Validation accuracy of a linear map of an operator's features, fitted to train."""
    x = planted.OPERATORS[operator](dataset.x, dataset.edge_index)
    x = (x - x.mean(0)) / x.std(0)
    weights = torch.zeros(x.size(1), dataset.n_classes, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        logits = x[dataset.train] @ weights
        torch.nn.functional.cross_entropy(logits, dataset.y[dataset.train]).backward()
        optimizer.step()
    guessed = (x[dataset.val] @ weights).argmax(1)
    return float((guessed == dataset.y[dataset.val]).float().mean())


@pytest.mark.parametrize("operator", planted.OPERATORS)
def test_the_planted_operator_alone_explains_the_labels(operator: str) -> None:
    """Another one less, and none where labels are shuffled."""
    found = {other: oracle(planted.graph(operator, 0), other) for other in planted.OPERATORS}
    assert found.pop(operator) > 0.85
    assert max(found.values()) < 0.7
    shuffled = planted.graph(operator, 0, shuffled=True)
    assert max(oracle(shuffled, other) for other in planted.OPERATORS) < 0.4


def test_graphs_of_other_seeds_and_operators_are_others() -> None:
    one, same = planted.graph("mean", 0), planted.graph("mean", 0)
    assert torch.equal(one.y, same.y)
    assert torch.equal(one.edge_index, same.edge_index)
    others = [planted.graph("mean", 1), planted.graph("max", 0)]
    others.append(planted.graph("mean", 0, shuffled=True))
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert all(not torch.equal(one.y, other.y) for other in others)
    assert one.y.bincount().tolist() == others[-1].y.bincount().tolist()


@pytest.mark.parametrize("operator", planted.OPERATORS)
def test_a_planted_operator_is_a_linear_map_of_its_features(operator: str) -> None:
    """And its features are no other's."""
    dataset = planted.graph("own", 0)
    built = plugins.load("operator", planted.choice(operator)).build(planted.FEATURES, 5)
    computed = built(dataset.x, dataset.edge_index)
    for name, features in planted.OPERATORS.items():
        mapped = built.linear(features(dataset.x, dataset.edge_index))
        assert torch.equal(mapped, computed) is (name == operator)


def test_a_node_hears_of_its_neighbors_alone() -> None:
    """Mean, largest and two hops, on a path of three nodes and one node with no neighbors."""
    x = torch.tensor([[1.0, -1.0], [2.0, -5.0], [4.0, -4.0], [9.0, 9.0]])
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    found = {name: f(x, edges).tolist() for name, f in planted.OPERATORS.items()}
    assert found["own"] == x.tolist()
    assert found["mean"] == [[2.0, -5.0], [2.5, -2.5], [2.0, -5.0], [0.0, 0.0]]
    assert found["max"] == [[2.0, -5.0], [4.0, -1.0], [2.0, -5.0], [0.0, 0.0]]
    assert found["two_hops"] == [[2.5, -2.5], [2.0, -5.0], [2.5, -2.5], [0.0, 0.0]]


def test_what_is_kept_is_of_its_recipe(tmp_path: Path) -> None:
    """Another recipe is made again; without a folder everything is."""
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(len(made))
        return {"number": made[-1]}

    assert kept(tmp_path, "one", {"seed": (0, 1)}, make) == {"number": 0}
    assert kept(tmp_path, "one", {"seed": (0, 1)}, make) == {"number": 0}
    assert kept(tmp_path, "one", {"seed": (0, 2)}, make) == {"number": 1}
    assert kept(tmp_path, "other", {"seed": (0, 2)}, make) == {"number": 2}
    assert kept(None, "one", {"seed": (0, 2)}, make) == {"number": 3}


def test_unknown_sections_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gradient.py", "--only", "exact,speed"])
    with pytest.raises(SystemExit):
        gradient.main()
    assert "expected some of exact, memory, planted" in capsys.readouterr().err


def test_memory_falls_by_the_parts_that_are_mixed() -> None:
    """Rows have their fields, and the control falls short of what is asked."""
    rows, text = gradient_memory.rows(True, Path(), None)
    assert all(set(row) == FIELDS for row in rows)
    assert [row["ok"] for row in rows if row["ok"] is not None] == [True] * 4
    assert "K = 8" in text


def test_the_second_order_gradient_is_that_of_the_step() -> None:
    """And that of the first order is not."""
    problems = [Problem("tanh", 0)]
    assert largest_error(problems, Problem.second) < 1e-3 < largest_error(problems, Problem.first)
    assert largest_error(problems, Problem.reference) == 0


def runs(found: int, missed: int) -> dict[str, list[list[float]]]:
    """Of each planted operator so many runs that find it, and so many that find another."""
    right = [[0.7 if i == place else 0.1 for i in range(4)] for place in range(4)]
    return {
        operator: [right[place]] * found + [right[place - 1]] * missed
        for place, operator in enumerate(planted.OPERATORS)
    }


def test_planted_operators_are_found_by_most_seeds() -> None:
    """Nine of ten are enough and eight are not; shuffled labels may not agree on one operator."""
    each = [run for of_one in runs(2, 0).values() for run in of_one]
    even = dict.fromkeys(planted.OPERATORS, each)
    agreed = {operator: runs(10, 0)["own"] for operator in planted.OPERATORS}
    for found, control, ok in (
        (runs(9, 1), even, [True] * 9),
        (runs(8, 2), even, [False, True] * 4 + [True]),
        (runs(10, 0), agreed, [True, False] * 4 + [False]),
    ):
        rows = gradient_planted.rows_of("darts", found, control)
        assert all(set(row) == FIELDS for row in rows)
        assert [row["ok"] for row in rows if row["ok"] is not None] == ok


def found(*test: float) -> list[Found]:
    """Searches with these test values."""
    return [Found({}, 0.8, 10, 1.0, 40.0, [0.8], [value]) for value in test]


def test_searches_are_beside_random_search_with_their_seed() -> None:
    """Differences are paired; searches that are missing are counted."""
    size = gradient_searches.Size({"Cora": 8.0}, 2, 1, 10, {"Cora": 3})
    cells = {("Cora", label): found(0.5, 0.7) for label in size.strategies("Cora")}
    cells["Cora", "darts"] = found(0.61, 0.79)
    rows, text = gradient_searches.said(size, cells)
    assert all(set(row) == FIELDS for row in rows)
    assert len(rows) == 5 * len(cells) + 1
    (darts,) = (r for r in rows if ", darts," in r["case"] and r["measure"].startswith("test"))
    assert (darts["value"], darts["baseline"]) == pytest.approx((0.7, 0.6))
    assert "+0.1000" not in text  # its interval has a width
    assert rows[-1]["ratio"] == 1
    short = {cell: searches[:1] for cell, searches in cells.items()}
    assert gradient_searches.said(size, short)[0][-1]["ratio"] == 0.5


def test_a_search_ends_with_its_seconds(tmp_path: Path) -> None:
    """What ends in time is confirmed on fresh seeds; where nothing does, that is said."""
    save_graph(tmp_path / "graph.npz", _raw(node_graph()))
    spec = spec_from_mapping(
        {
            "study": {"name": "short", "batch": 2},
            "space": {"name": "gnn", "operators": ["gcn", "linear"]},
            "dataset": {"name": "graph_file", "path": str(tmp_path / "graph.npz")},
            "strategy": {"name": "random"},
            "evaluator": {"name": "training", "epochs": 2},
            "budget": {"trials": 1},
        }
    )
    (random,) = entrants(["random"], spec)
    one = searched(spec, random, 0, 1.0, 2, tmp_path)
    assert one.trials > 0
    assert one.trials % 2 == 0
    assert one.prepared_seconds < 0.2 < 1.0 < one.seconds
    assert len(one.fresh_val) == len(one.fresh_test) == 2
    assert min(*one.fresh_val, *one.fresh_test) > 0
    with pytest.raises(SystemExit, match="no trial ended within 1e-06 CPU seconds"):
        searched(spec, random, 0, 1e-6, 2, tmp_path)


def _raw(dataset: Dataset) -> Any:
    from evaluators.datasets import RawDataset

    return RawDataset(
        name=dataset.name,
        kind=dataset.kind,
        x=dataset.x,
        edge_index=dataset.edge_index,
        y=dataset.y,
        train=dataset.train,
        val=dataset.val,
        test=dataset.test,
        n_classes=dataset.n_classes,
    )
