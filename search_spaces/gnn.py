"""Message-passing networks: depth, and per layer an operator with its width, heads, activation, ...

A network is a perceptron (`pre`), `depth` message-passing layers joined by `connectivity`, another
perceptron (`post`) and an output. For node tasks the operator `output.operator` maps to the
classes; for graph tasks a `readout` over the nodes comes before `post`, and a linear map ends it.
A layer is dropout, operator, normalization, activation. The perceptrons use ReLU and no
normalization.

Every option is the list of choices of one decision, in the order of the list:

- `depth`: hidden message-passing layers.
- `operators`, `width`, `activation`, `normalization`: of each of them. A layer with operator `skip`
  is left out of the network and has none of the others.
- `heads`, `hops`, `aggregation`: for the operators that have them; by default their own choices.
- `connectivity`, from depth 2 on: plain; residual (input added to output); dense (each layer sees
  the input and all layers before); jk (jumping knowledge: what follows sees all layers, side by
  side or their maximum, by `jk.mode`). One layer is always plain.
- `pre_layers`, `post_layers`: layers of the perceptrons, whose width is a decision of its own.
- `output`, node tasks only: by default linear, and gcn where it is among the operators. A two-layer
  GCN is `depth` 1 with operator gcn and output gcn.
- `readout`, graph tasks only.
- `dropout`, `lr`, `weight_decay`: decided by the search where given, else by the evaluator.

Limits: `skip`, `sage` beside `graph`, and `linear` beside `pre_layers` reach some networks by more
than one architecture, which are then trained and counted apart.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from search_spaces import plugins
from search_spaces.decision import Choice, Choices, Decision, Role
from search_spaces.drawn import gnn as drawn
from search_spaces.elastic import places
from search_spaces.errors import PluginError, SpaceError
from search_spaces.networks import SKIP, build_network, network_parts
from search_spaces.operator_options import OperatorOption, searchable
from search_spaces.relaxed import relax
from search_spaces.space import SearchSpace
from search_spaces.task import Task

VERSION = 1
# Without `graph`, which is `sage` again, and `skip`, which makes a network of another depth.
OPERATORS = ("gcn", "gat", "gatv2", "sage", "gin", "tag", "transformer", "linear")

Activation = Literal[
    "none", "relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus"
]
Normalization = Literal["none", "batch", "layer"]
Connectivity = Literal["plain", "residual", "dense", "jk"]
Readout = Literal["sum", "mean", "max"]
Aggregation = Literal["mean", "max", "sum"]
Count = Annotated[int, Ge(1), Le(65_536)]
# Each layer has decisions of its own, so a bound keeps a slip of the pen from making thousands.
Depth = Annotated[int, Ge(1), Le(64)]
CountOrNone = Annotated[int, Ge(0), Le(64)]


def build(
    task: Task,
    *,
    depth: Choices[Depth] = (1, 2, 3),
    operators: Choices[str] = OPERATORS,
    width: Choices[Count] = (16, 32, 64),
    heads: Choices[Count] | None = None,
    hops: Choices[Count] | None = None,
    aggregation: Choices[Aggregation] | None = None,
    activation: Choices[Activation] = ("relu", "elu", "leaky_relu", "tanh"),
    normalization: Choices[Normalization] = ("none", "batch", "layer"),
    connectivity: Choices[Connectivity] = ("plain", "residual", "dense", "jk"),
    pre_layers: Choices[CountOrNone] = (0, 1),
    post_layers: Choices[CountOrNone] = (0, 1),
    output: Choices[str] | None = None,
    readout: Choices[Readout] | None = None,
    dropout: Choices[Annotated[float, Ge(0), Lt(1)]] | None = None,
    lr: Choices[Annotated[float, Gt(0)]] | None = None,
    weight_decay: Choices[Annotated[float, Ge(0)]] | None = None,
) -> SearchSpace:
    """The space of message-passing networks for a task.

    Raises:
        SpaceError: an empty or repeating list, a width that some number of heads does not divide,
            an option for operators or a kind of task that are not there.
        PluginError: an operator that does not exist.
    """
    _check_operators("operators", operators)
    given = {"heads": heads, "hops": hops, "aggregation": aggregation}
    options = searchable(operators, given)
    _check_divisible(width, options)
    per_layer = (
        _scale("width", width),
        Decision("normalization", tuple(normalization)),
        Decision("activation", tuple(activation)),
    )
    decisions = [_scale("depth", depth)]
    for i in range(max(depth)):
        deep = {"depth": tuple(d for d in depth if d > i)}
        decisions += _layer(f"layer{i}", deep, operators, per_layer, options)
    decisions += _connectivity(depth, connectivity)
    decisions += _perceptron("pre", pre_layers, width) + _perceptron("post", post_layers, width)
    decisions.append(_head(task, operators, output, readout))
    recipe = {"dropout": dropout, "lr": lr, "weight_decay": weight_decay}
    decisions += [_recipe(name, choices) for name, choices in recipe.items() if choices is not None]
    return SearchSpace(
        "gnn",
        VERSION,
        tuple(decisions),
        build_network,
        parts=network_parts,
        elastic=places,
        relax=relax,
        draw=drawn.draw,
    )


def _check_divisible(widths: Sequence[int], options: Sequence[OperatorOption]) -> None:
    for option in options:
        if option.name != "heads":
            continue
        for width, heads in itertools.product(widths, option.choices):
            if width % int(heads):
                raise SpaceError(
                    f"width: {width} cannot be divided among {heads} heads "
                    f"({', '.join(option.operators)}); change width or give heads = [...]"
                )


def _layer(
    layer: str,
    needs: Mapping[str, tuple[Choice, ...]],
    operators: Sequence[str],
    per_layer: Sequence[Decision],
    options: Sequence[OperatorOption],
) -> list[Decision]:
    """The decisions of one layer: its operator, and what that operator leaves to decide."""
    operator = f"{layer}.operator"
    real = tuple(o for o in operators if o != SKIP)
    decisions = [Decision(operator, tuple(operators), needs)]
    if real:
        decisions += [
            replace(shared, name=f"{layer}.{shared.name}", needs={operator: real})
            for shared in per_layer
        ]
    decisions += [
        _scale(f"{layer}.{option.name}", option.choices, {operator: option.operators})
        for option in options
    ]
    return decisions


def _connectivity(depths: Sequence[int], choices: Sequence[str]) -> list[Decision]:
    """From two layers on: one layer has nothing to connect, and dense and jk would be plain."""
    deep = tuple(d for d in depths if d > 1)
    if not deep:
        return []
    decisions = [Decision("connectivity", tuple(choices), {"depth": deep})]
    if "jk" in choices:
        decisions.append(Decision("jk.mode", ("cat", "max"), {"connectivity": ("jk",)}))
    return decisions


def _perceptron(name: str, layers: Sequence[int], width: Sequence[int]) -> list[Decision]:
    some = tuple(n for n in layers if n > 0)
    decisions = [_scale(f"{name}.layers", layers)]
    if some:
        decisions.append(_scale(f"{name}.width", width, {f"{name}.layers": some}))
    return decisions


def _head(
    task: Task,
    operators: Sequence[str],
    output: Sequence[str] | None,
    readout: Sequence[str] | None,
) -> Decision:
    """How node representations become predictions."""
    if task.is_graph_task:
        if output is not None:
            raise SpaceError("output: graph tasks have a readout in its place; leave it out")
        return Decision("readout", ("sum", "mean", "max") if readout is None else tuple(readout))
    if readout is not None:
        raise SpaceError("readout: node tasks have an output in its place; leave it out")
    if output is None:
        output = ("linear", "gcn") if "gcn" in operators else ("linear",)
    if SKIP in output:
        raise SpaceError('output: it maps to the classes, so it cannot be "skip"; leave that out')
    _check_operators("output", output)
    return Decision("output.operator", tuple(output))


def _check_operators(option: str, operators: Sequence[str]) -> None:
    for operator in operators:
        try:
            plugins.load("operator", operator)
        except PluginError as error:
            raise PluginError(f"{option}: {error}") from error


def _recipe(name: str, choices: Sequence[float]) -> Decision:
    # A TOML file may say 0 for 0.0; the choices of a decision are of one type.
    return _scale(f"train.{name}", [float(c) for c in choices], role="recipe")


def _scale(
    name: str,
    choices: Sequence[Choice],
    needs: Mapping[str, tuple[Choice, ...]] | None = None,
    role: Role = "structure",
) -> Decision:
    """A decision whose choices are a scale where they are numbers that ascend."""
    numbers = [choice for choice in choices if not isinstance(choice, str)]
    ascending = len(numbers) == len(choices) and numbers == sorted(numbers)
    return Decision(name, tuple(choices), needs or {}, ordered=ascending, role=role)
