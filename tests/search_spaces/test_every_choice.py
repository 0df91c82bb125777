"""A few architectures have every choice of a space between them."""

import pytest
from torch import nn

from search_spaces import Architecture, Decision, SearchSpace, Task, gnn, nas_bench_graph, plugins
from search_spaces.every_choice import every_choice
from search_spaces.task import TaskKind


def task(kind: TaskKind = "node_classification") -> Task:
    graphs = 8 if kind.startswith("graph") else 1
    return Task(kind, 6, 3, 60, 240, graphs, 4, 2, 2, "accuracy", "0" * 32)


def pairs(architectures: list[Architecture]) -> set[tuple[str, object]]:
    return {pair for each in architectures for pair in each.choices.items()}


def _none(architecture: Architecture, task: Task) -> nn.Module:
    return nn.Identity()


def space(*decisions: Decision) -> SearchSpace:
    return SearchSpace("made", 1, decisions, _none)


@pytest.mark.parametrize("kind", ["node_classification", "graph_classification"])
def test_each_choice_occurs_in_a_space_with_conditions(kind: TaskKind) -> None:
    """Those of deep layers, of heads and of what only some connect; in far fewer than there are."""
    whole = gnn.build(task(kind), operators=plugins.names("operator"), lr=[0.1, 0.2])
    found = list(every_choice(whole))
    expected = {(d.name, c) for d in whole.decisions for c in d.choices if d.role != "recipe"}
    assert expected <= pairs(found)
    assert len(found) < len(expected) / 5
    assert {a.choices["train.lr"] for a in found} == {0.1}
    assert found == list(every_choice(whole)), "the same each time"
    assert pairs(found[:-3]) < pairs(found), "control: fewer have not all"


def test_what_is_never_asked_is_left_out() -> None:
    """A decision that needs what contradicts itself; the others are all there."""
    found = list(
        every_choice(
            space(
                Decision("a", ("x", "y")),
                Decision("b", (1, 2), {"a": ("x",)}),
                Decision("c", (1, 2, 3), {"a": ("y",), "b": (1,)}),
            )
        )
    )
    assert pairs(found) == {("a", "x"), ("a", "y"), ("b", 1), ("b", 2)}


def test_architectures_are_those_of_their_class() -> None:
    """Where several choices describe one, what stands for it has fewer of them."""
    benchmark = nas_bench_graph.build(task())
    found = list(every_choice(benchmark))
    assert all(benchmark.architecture(each.choices) == each for each in found)
    operators = {c for n, c in pairs(found) if n.endswith(".operator")}
    assert operators == {*benchmark.by_name["node1.operator"].choices}
