"""The architectures of an elastic space that have everything between them; what is not elastic."""

import re
from collections.abc import Iterator
from functools import partial

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Decision
from search_spaces.errors import SpaceError
from search_spaces.message_passing import SKIP
from search_spaces.space import SearchSpace

_AROUND = re.compile(r"layer\.(normalization|activation)|output")
_OPERATORS = re.compile(r"layer\.(?!normalization)")


def check_elastic(space: SearchSpace) -> None:
    """Refuse a space that a supernet cannot stand for.

    Raises:
        SpaceError: it names the decision.
    """
    check_extensions(space)
    if space.elastic is None:
        raise SpaceError(
            f'{space.decisions[0].name}: the space "{space.name}" has no slices; use name = "gnn"'
        )
    for decision in space.decisions:
        if decision.role == "recipe":
            raise SpaceError(
                f"{decision.name}: all architectures of a supernet are trained together, by one "
                f"recipe; leave {decision.name.removeprefix('train.')} out of [space]"
            )
        if decision.name.endswith(".operator") and SKIP in decision.choices:
            raise SpaceError(
                f'{decision.name}: "{SKIP}" leaves a layer out, which `depth` does in a supernet; '
                "leave it out of operators"
            )


def check_extensions(space: SearchSpace) -> None:
    """Refuse extensions whose networks cannot share weights.

    Raises:
        SpaceError: it names the decision.
    """
    for extension in space.extensions:
        table = f"[extension.{extension.name}]"
        if extension.weigh is None:
            names = ", ".join(d.name for d in extension.decisions)
            raise SpaceError(
                f'{names}: the extension "{extension.name}" changes networks that are built, of '
                f"which shared weights know nothing; leave {table} out"
            )
        for name, choices in extension.alone.items():
            asked = space.by_name[name].choices if name in space.by_name else ()
            if found := [choice for choice in choices if choice in asked]:
                raise SpaceError(
                    f'{name}: with "{found[0]}" each network is trained by itself, and weights are '
                    f"shared; leave it out of {table}"
                )


def widest_architectures(space: SearchSpace) -> Iterator[Architecture]:
    """As few as have between them everything that any architecture has, at its widest.

    All layers of one are alike. First the layers' operators vary, then what is around them.
    """
    for still in (_AROUND, _OPERATORS):
        open_: list[dict[str, Choice]] = [{}]
        while open_:
            yield space.fill(partial(_choose, open_, open_.pop(), still))


def _choose(
    open_: list[dict[str, Choice]],
    chosen: dict[str, Choice],
    still: re.Pattern[str],
    decision: Decision,
) -> Choice:
    """The choice for all decisions of this kind; the others are for later architectures."""
    if decision.role == "compression":
        return decision.choices[0]
    kind = re.sub(r"\d+", "", decision.name)
    if kind not in chosen:
        choices = decision.choices
        if kind.rpartition(".")[2] == "width":
            choices = (max(choices, key=int),)
        elif still.match(kind):
            choices = choices[:1]
        open_ += [{**chosen, kind: other} for other in choices[1:]]
        chosen[kind] = choices[0]
    return chosen[kind]
