"""The decisions about precision, and what an architecture has decided."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces import plugins
from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Decision
from search_spaces.errors import PluginError, SpaceError
from search_spaces.message_passing import SKIP
from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.layers import Precision
from search_spaces.quantization.quantizers import Options
from search_spaces.space import SearchSpace

# How all of its decisions begin.
START = "quantization"
# The group of all modules.
ALL = ""
# What each component is decided by, and by what where that has no list of its own.
COMPONENTS: Mapping[str, tuple[str, str | None]] = {
    "weight": ("weight_bits", None),
    "activation": ("activation_bits", None),
    "attention_weight": ("attention_weight_bits", "weight_bits"),
    "attention": ("attention_bits", "activation_bits"),
    "message": ("message_bits", "activation_bits"),
    "aggregation": ("aggregation_bits", "activation_bits"),
    "output": ("output_bits", None),
}
_OF_ATTENTION = ("attention_weight_bits", "attention_bits")
_OF_MESSAGES = ("message_bits", "aggregation_bits")


@dataclass(frozen=True)
class Group:
    """Modules whose precision is decided together.

    Attributes:
        name: `pre`, `layer0`, ..., `post`, `output`; empty for all together.
        needs: where there is one.
        attending: the same, with an operator that has attention; None where none has.
        propagates: whether messages are passed in it.
    """

    name: str
    needs: Mapping[str, tuple[Choice, ...]]
    attending: Mapping[str, tuple[Choice, ...]] | None
    propagates: bool = True


def named(name: str, group: str = ALL) -> str:
    """A decision, of a group."""
    return f"{START}.{group}.{name}" if group else f"{START}.{name}"


def groups(space: SearchSpace, *, per_layer: bool) -> list[Group]:
    """Of a space, one for all modules, or one for each layer.

    Raises:
        SpaceError: the space does not say which modules its networks have.
    """
    if not per_layer:
        return [Group(ALL, {}, {} if attentive(_operators(space)) else None)]
    if space.elastic is None:
        raise SpaceError(
            f'per_layer: the space "{space.name}" does not say which layers its networks have; '
            'leave per_layer out, or use name = "gnn"'
        )
    found = []
    for name in ("pre", "post"):
        layers = space.by_name.get(f"{name}.layers")
        some = () if layers is None else tuple(n for n in layers.choices if int(n) > 0)
        if some:
            found.append(Group(name, {f"{name}.layers": some}, None, propagates=False))
    found += [_layer(d) for d in space.decisions if d.name.endswith(".operator")]
    if "output.operator" not in space.by_name:
        found.append(Group("output", {}, None, propagates=False))
    return found


def _layer(operator: Decision) -> Group:
    real = tuple(choice for choice in operator.choices if choice != SKIP)
    attending = attentive(real)
    needs = {operator.name: attending} if attending else None
    return Group(operator.name.removesuffix(".operator"), {operator.name: real}, needs)


def _operators(space: SearchSpace) -> Iterator[Choice]:
    for decision in space.decisions:
        yield from decision.choices


def attentive(choices: Iterable[Choice]) -> tuple[Choice, ...]:
    """Those of the choices that are operators with attention."""
    return tuple(choice for choice in choices if _has_attention(choice))


def _has_attention(choice: Choice) -> bool:
    if not isinstance(choice, str):
        return False
    if "." not in choice and choice not in plugins.names("operator"):
        return False
    try:
        return bool(getattr(plugins.load("operator", choice), "ATTENTION", False))
    except PluginError:
        return False


def bits_decisions(
    found: Sequence[Group], given: Mapping[str, Sequence[int | str]]
) -> Iterator[Decision]:
    """Of each group, for each list given.

    Raises:
        SpaceError: a list for attention where no operator has it.
    """
    for name, choices in given.items():
        wanted = [group for group in found if _has(group, name)]
        if not wanted:
            raise SpaceError(f"{name}: no operator of this space has attention; leave it out")
        for group in wanted:
            needs = group.attending if name in _OF_ATTENTION else group.needs
            names = tuple(str(choice) for choice in choices)
            sizes = [FORMATS[n].bits for n in names]
            yield Decision(
                named(name, group.name),
                names,
                needs or {},
                ordered=sorted(set(sizes)) == sizes,
                role="compression",
            )


def _has(group: Group, name: str) -> bool:
    if name in _OF_ATTENTION:
        return group.attending is not None
    return group.propagates or name not in _OF_MESSAGES


def precision(choices: Mapping[str, Choice], group: str) -> Precision:
    """The formats of a group: what was decided for it, or for all."""
    formats = {}
    for component, (name, otherwise) in COMPONENTS.items():
        for wanted in (name, otherwise):
            bits = wanted and (choices.get(named(wanted, group)) or choices.get(named(wanted)))
            if bits:
                formats[component] = FORMATS[str(bits)]
                break
    return Precision(**formats)


def options(choices: Mapping[str, Choice]) -> Options:
    """How numbers are rounded."""
    start = f"{START}."
    known: dict[str, Any] = {n.removeprefix(start): c for n, c in choices.items()}
    return Options(**{name: known[name] for name in vars(Options()) if name in known})


def group_of(path: str, architecture: Architecture) -> str:
    """In which group a module of a network of the space `gnn` is."""
    first, _, rest = path.partition(".")
    if first != "body":
        return first
    choices = architecture.choices
    depth = int(choices["depth"])
    layers = [i for i in range(depth) if choices[f"layer{i}.operator"] != SKIP]
    kind, number, *_ = rest.split(".")
    # The maps of jumping knowledge lead to the last layer.
    return f"layer{layers[-1 if kind == 'maps' else int(number)]}"
