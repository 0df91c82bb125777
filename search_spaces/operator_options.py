"""The options of operators that a space searches over: heads, hops, aggregation, and others'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search_spaces import plugins
from search_spaces.decision import Choice
from search_spaces.errors import SpaceError, did_you_mean

# What a layer decides about itself, whatever its operator.
_TAKEN = ("operator", "width", "normalization", "activation")


@dataclass(frozen=True)
class OperatorOption:
    """An option to decide wherever one of `operators` is chosen."""

    name: str
    choices: tuple[Choice, ...]
    operators: tuple[str, ...]


def searchable(
    operators: Sequence[str], given: Mapping[str, Sequence[Choice] | None]
) -> tuple[OperatorOption, ...]:
    """The options of these operators by name, with the choices given or else the operators' own.

    Raises:
        PluginError: an operator that does not exist.
        SpaceError: choices given for an option that none of them has; operators whose own choices
            of one option differ, with none given; an operator whose `CHOICES` name no option.
    """
    own: dict[str, dict[str, tuple[Choice, ...]]] = {}
    for operator in operators:
        for option, choices in _choices(operator).items():
            own.setdefault(option, {})[operator] = choices
    for option, wanted in given.items():
        if wanted is not None and option not in own:
            raise SpaceError(
                f"{option}: none of the operators {', '.join(operators)} has it; leave it out"
            )
    return tuple(
        OperatorOption(option, _agreed(option, given.get(option), having), tuple(having))
        for option, having in sorted(own.items())
    )


def _choices(operator: str) -> Mapping[str, tuple[Choice, ...]]:
    choices: Mapping[str, tuple[Choice, ...]] = getattr(
        plugins.load("operator", operator), "CHOICES", {}
    )
    takes = plugins.options("operator", operator)
    for option in choices:
        if option not in takes:
            raise SpaceError(
                f'operator "{operator}" has CHOICES for "{option}", which its `build` does not '
                f"take; {did_you_mean(option, takes)}"
            )
        if option in _TAKEN:
            raise SpaceError(
                f'operator "{operator}" has CHOICES for "{option}", which a layer decides itself; '
                "give the option another name"
            )
    return {option: tuple(offered) for option, offered in choices.items()}


def _agreed(
    option: str, given: Sequence[Choice] | None, own: Mapping[str, tuple[Choice, ...]]
) -> tuple[Choice, ...]:
    if given is not None:
        return tuple(given)
    if len(set(own.values())) > 1:
        each = "; ".join(f"{operator} {list(choices)}" for operator, choices in own.items())
        raise SpaceError(
            f"{option}: the operators differ in their own choices ({each}); "
            f"give {option} = [...] for all of them"
        )
    return next(iter(own.values()))
