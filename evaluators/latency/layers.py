"""Message-passing layers in isolation, as a space of their own."""

from collections.abc import Mapping, Sequence

from torch import nn

from search_spaces import Architecture, Decision, SearchSpace, Task, plugins
from search_spaces.decision import Choice
from search_spaces.message_passing import ACTIVATIONS, NORMALIZATIONS, Layer, LayerPlan
from search_spaces.networks import SKIP
from search_spaces.operator_options import searchable

WIDTHS = (8, 16, 32, 64, 128, 256)


def layers_of(space: SearchSpace) -> SearchSpace | None:
    """The layers that a space's networks are made of, as far as its decisions name operators."""
    known = set(plugins.names("operator")) - {SKIP}
    operators = {str(c) for d in space.decisions for c in d.choices} & known
    if not operators:
        return None
    widths: set[int] = set()
    given: dict[str, tuple[Choice, ...]] = {}
    for decision in space.decisions:
        name = decision.name.rpartition(".")[2]
        if name == "width":
            widths |= {int(width) for width in decision.choices}
        elif name not in ("normalization", "activation") and any(
            needed.endswith(".operator") for needed in decision.needs
        ):
            given[name] = decision.choices
    return layers(sorted(operators), sorted(widths) or WIDTHS, given)


def layers(
    operators: Sequence[str],
    widths: Sequence[int],
    given: Mapping[str, tuple[Choice, ...]] | None = None,
) -> SearchSpace:
    """The space of single message-passing layers; `given` are choices of operators' options."""
    decisions = [
        Decision("operator", tuple(operators)),
        Decision("width", tuple(widths)),
        Decision("normalization", tuple(NORMALIZATIONS)),
        Decision("activation", tuple(ACTIVATIONS)),
    ]
    decisions += [
        Decision(option.name, option.choices, {"operator": option.operators})
        for option in searchable(operators, given or {})
    ]
    return SearchSpace("layer", 1, tuple(decisions), build_layer)


def build_layer(architecture: Architecture, task: Task) -> nn.Module:
    """A layer from the task's features to its width."""
    choices = dict(architecture.choices)
    operator, normalization, activation = (
        str(choices.pop(name)) for name in ("operator", "normalization", "activation")
    )
    width = int(choices.pop("width"))
    return Layer(task.n_features, LayerPlan(operator, width, normalization, activation, choices))
