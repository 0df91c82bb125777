"""The architectures that a study begins with."""

from collections.abc import Mapping
from typing import Any

from nas._options import shown
from nas.setting_up import named
from nas.spec import SpecError, StudySpec
from search_spaces import Architecture, SearchSpace, UsageError


def start_architectures(
    spec: StudySpec,
    space: SearchSpace,
    fronts: Mapping[str, list[Architecture]],
    where: str = "the study",
) -> list[Architecture]:
    """The architectures to try first: given ones, and those of other studies' fronts.

    A decision that is active and not given takes its first choice.

    Args:
        fronts: {name: architectures} of the studies that `[study] start` names.
        where: begins each message: the study file.

    Raises:
        SpecError: one of them is not in the space.
    """
    found: dict[str, Architecture] = {}
    for item in spec.study.start:
        if isinstance(item, str):
            candidates = [dict(a.choices) for a in fronts[item.removeprefix("study:")]]
        else:
            candidates = [dict(item)]
        for choices in candidates:
            with named(where, "study"):
                architecture = _completed(space, choices, item)
            found.setdefault(architecture.key, architecture)
    return list(found.values())


def _completed(space: SearchSpace, choices: Mapping[str, Any], item: object) -> Architecture:
    # Not by `space.fill`, which gives the representative of an equivalence: another description,
    # to which the given choices would not belong.
    made: dict[str, Any] = {}
    for decision in space.decisions:
        if decision.is_active(made):
            made[decision.name] = choices.get(decision.name, decision.choices[0])
    try:
        return space.architecture({**made, **choices})
    except UsageError as error:
        raise SpecError(f"start: {shown(item)} is not in the space: {error}") from None
