"""The decisions of the message-passing space: what is asked when, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas._options import describe
from search_spaces import PluginError, SearchSpace, SpaceError, Task, gnn, plugins

NODES = Task("node_classification", 12, 4, 100, 300, 1, 20, 20, 60, "accuracy", "nodes")
GRAPHS = Task("graph_classification", 5, 2, 100, 300, 9, 3, 3, 3, "accuracy", "graphs")
TASKS = pytest.mark.parametrize("task", [NODES, GRAPHS], ids=["nodes", "graphs"])
ATTENTION, HOPS = {"gat", "gatv2", "transformer"}, {"cheb", "tag", "sg", "appnp"}


def everything(task: Task, **options: Any) -> SearchSpace:
    """The space with every operator that comes with the program."""
    return gnn.build(task, operators=plugins.names("operator"), **options)


@TASKS
def test_a_decision_exists_only_where_it_means_something(task: Task) -> None:
    """Over 300 random architectures, each decision is there exactly when it changes something."""
    space = everything(task, pre_layers=[0, 1, 2])
    rng = np.random.default_rng(0)
    for _ in range(300):
        choices = space.sample(rng).choices
        for i in range(3):
            operator = choices.get(f"layer{i}.operator")
            assert (operator is not None) == (i < int(choices["depth"]))
            real = operator not in (None, "skip")
            for name in ("width", "activation", "normalization"):
                assert (f"layer{i}.{name}" in choices) == real
            assert (f"layer{i}.heads" in choices) == (operator in ATTENTION)
            assert (f"layer{i}.hops" in choices) == (operator in HOPS)
            assert (f"layer{i}.aggregation" in choices) == (operator in {"sage", "graph"})
        assert ("connectivity" in choices) == (int(choices["depth"]) > 1)
        assert ("jk.mode" in choices) == (choices.get("connectivity") == "jk")
        assert ("pre.width" in choices) == (choices["pre.layers"] != 0)
        assert ("post.width" in choices) == (choices["post.layers"] != 0)
        assert ("readout" in choices) == task.is_graph_task
        assert ("output.operator" in choices) != task.is_graph_task


def test_lists_are_choices_in_their_order() -> None:
    """As the study file has them; a number is a scale only where it ascends."""
    space = gnn.build(NODES, width=[64, 16], depth=[1, 2], operators=["sage", "gcn"])
    assert space.by_name["layer0.width"].choices == (64, 16)
    assert not space.by_name["layer0.width"].ordered
    assert space.by_name["depth"].ordered
    assert space.by_name["layer1.operator"].choices == ("sage", "gcn")
    assert not space.by_name["layer1.operator"].ordered
    named = gnn.build(NODES, operators=["sage"], aggregation=["max", "mean"])
    assert not named.by_name["layer0.aggregation"].ordered


def test_what_only_one_layer_could_need_is_not_asked() -> None:
    """Depth 1 has no connectivity; perceptrons without layers have no width."""
    space = gnn.build(NODES, depth=[1], operators=["gcn"], pre_layers=[0], post_layers=[0])
    assert set(space.by_name) == {
        *("depth", "pre.layers", "post.layers", "output.operator"),
        *(f"layer0.{name}" for name in ("operator", "width", "normalization", "activation")),
    }
    assert space.size() == 3 * 3 * 4 * 2


def test_the_recipe_is_decided_only_when_asked() -> None:
    """Dropout, learning rate and weight decay count apart from the structure."""
    plain = gnn.build(NODES)
    space = gnn.build(NODES, dropout=[0, 0.5], lr=[0.01], weight_decay=[0.0, 5e-4, 1e-2])
    assert not [d for d in plain.decisions if d.role == "recipe"]
    recipe = {d.name: d.choices for d in space.decisions if d.role == "recipe"}
    assert recipe == {
        "train.dropout": (0.0, 0.5),
        "train.lr": (0.01,),
        "train.weight_decay": (0.0, 5e-4, 1e-2),
    }
    assert all(type(c) is float for choices in recipe.values() for c in choices)
    assert space.size() == plain.size()
    assert space.size(with_recipe=True) == 6 * plain.size()


def test_the_output_is_linear_or_gcn() -> None:
    """GCN is offered where it is among the operators, and any operator when asked."""
    assert gnn.build(NODES).by_name["output.operator"].choices == ("linear", "gcn")
    without = gnn.build(NODES, operators=["sage"])
    assert without.by_name["output.operator"].choices == ("linear",)
    asked = gnn.build(NODES, operators=["sage"], output=["sage", "gat"])
    assert asked.by_name["output.operator"].choices == ("sage", "gat")
    assert gnn.build(GRAPHS).by_name["readout"].choices == ("sum", "mean", "max")
    assert gnn.build(GRAPHS, readout=["max"]).by_name["readout"].choices == ("max",)


def test_the_digest_is_of_the_decisions() -> None:
    """The same options give the same digest, others another one."""
    assert gnn.build(NODES).digest == gnn.build(NODES).digest
    assert gnn.build(NODES).digest != gnn.build(NODES, width=[16, 32]).digest
    assert gnn.build(NODES).version == gnn.VERSION


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (NODES, {"width": [12], "heads": [8]}, r"width: 12 cannot be divided among 8 heads \(gat"),
        (NODES, {"width": [4]}, "width: 4 cannot be divided among 8 heads"),
        (
            NODES,
            {"operators": ["gcn"], "heads": [2]},
            "heads: none of the operators gcn has it",
        ),
        (NODES, {"operators": ["gcn"], "hops": [2]}, "hops: none of the operators gcn has it"),
        (NODES, {"readout": ["sum"]}, "readout: node tasks have an output .* leave it out"),
        (GRAPHS, {"output": ["gcn"]}, "output: graph tasks have a readout .* leave it out"),
        (NODES, {"output": ["skip"]}, 'output: it maps to the classes, so it cannot be "skip"'),
        (NODES, {"output": []}, '"output.operator" has no choices'),
        (GRAPHS, {"readout": []}, '"readout" has no choices'),
        (NODES, {"depth": []}, '"depth" has no choices'),
        (NODES, {"width": []}, '"width" has no choices'),
        (NODES, {"heads": []}, 'layer0.heads" has no choices'),
        (NODES, {"operators": []}, 'layer0.operator" has no choices'),
        (NODES, {"connectivity": []}, '"connectivity" has no choices'),
        (NODES, {"pre_layers": []}, '"pre.layers" has no choices'),
        (NODES, {"lr": []}, '"train.lr" has no choices'),
        (NODES, {"width": [16, 16]}, '"width": a choice is repeated'),
    ],
)
def test_options_that_make_no_space_are_refused(task: Task, options: Any, message: str) -> None:
    """The message names the option, and what to do."""
    with pytest.raises(SpaceError, match=message):
        gnn.build(task, **options)


@pytest.mark.parametrize("option", ["operators", "output"])
def test_an_operator_that_does_not_exist_is_refused(option: str) -> None:
    """As a layer and as the output."""
    with pytest.raises(PluginError, match='no operator is called "gattv2"; did you mean "gatv2"'):
        gnn.build(NODES, **{option: ["gattv2"]})


def test_every_option_is_a_list_with_its_range() -> None:
    """What the study file is checked against: keyword-only, annotated, one list each."""
    options = plugins.options("space", "gnn")
    assert set(options) >= {"depth", "operators", "heads", "output", "readout", "lr"}
    assert describe(options["depth"].annotation).startswith("a list of integers >= 1 and <= 64")
    for parameter in options.values():
        said = describe(parameter.annotation)
        assert said.startswith("a list of ")
        assert said.endswith(", not empty, each once")


def write_operator(folder: Path, name: str, choices: str, options: str) -> str:
    package = folder / "outsiders"
    package.mkdir(exist_ok=True)
    (package / f"{name}.py").write_text(
        f'"""{name}."""\n'
        "from torch import nn\n"
        "from search_spaces.operators.linear import NodewiseLinear\n"
        f"CHOICES = {choices}\n"
        f"def build(in_features, out_features, *, {options}):\n"
        "    return NodewiseLinear(in_features, out_features)\n"
    )
    return f"outsiders.{name}"


def test_an_operator_from_elsewhere_joins_with_its_own_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dotted name is an operator like any other; its options become decisions."""
    monkeypatch.syspath_prepend(str(tmp_path))
    gated = write_operator(tmp_path, "gated", '{"gates": [1, 2]}', "gates=1")
    space = gnn.build(NODES, operators=["gcn", gated])
    assert space.by_name["layer0.gates"].choices == (1, 2)
    assert space.by_name["layer0.gates"].needs == {"layer0.operator": (gated,)}
    given = {"depth": 1, "layer0.operator": gated, "layer0.gates": 2}
    space.network(space.sample(np.random.default_rng(0), given), NODES)

    wrong = write_operator(tmp_path, "wrong", '{"gate": [1, 2]}', "gates=1")
    with pytest.raises(SpaceError, match=r'CHOICES for "gate", .* did you mean "gates"'):
        gnn.build(NODES, operators=[wrong])
    taken = write_operator(tmp_path, "taken", '{"width": [1, 2]}', "width=1")
    with pytest.raises(SpaceError, match='CHOICES for "width", which a layer decides itself'):
        gnn.build(NODES, operators=[taken])
    differing = write_operator(tmp_path, "differing", '{"heads": [3]}', "heads=1")
    with pytest.raises(SpaceError, match=r"heads: the operators differ .* give heads = "):
        gnn.build(NODES, operators=["gat", differing])
    agreed = gnn.build(NODES, operators=["gat", differing], heads=[2])
    assert agreed.by_name["layer0.heads"].choices == (2,)
