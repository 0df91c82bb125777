"""A study's space with other choices: the depth, widths and neighbors of scaled networks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nas._chosen import options_of
from nas._options import freeze
from nas.scaling.closing import repeated, widths_of
from nas.setting_up import space_of
from nas.setup import Setup
from nas.spec import StudySpec
from search_spaces import Architecture, SearchSpace
from search_spaces.plugins import Plugin

NEIGHBORS = "neighbors"
# The neighbors of a node that sees all.
ALL = 0


def has_neighbors(setup: Setup) -> bool:
    """Whether the study decides how many neighbors a node sees, by an option of an extension."""
    return NEIGHBORS in setup.space.by_name and any(map(_samples, setup.spec.extension))


def _samples(extension: Plugin) -> bool:
    return NEIGHBORS in options_of("extension", extension.name)


def space_with(setup: Setup, spec: StudySpec) -> SearchSpace:
    """The space of a specification that differs from the study's in nothing else."""
    return space_of(spec, setup.task, setup.evaluator)


def template(
    setup: Setup, base: Architecture, depth: int, neighbors: int | None = None
) -> Architecture:
    """The base with another depth; what that leaves to decide takes the first choice.

    Args:
        neighbors: that it sees; None keeps those of the base.
    """
    choices, spec = repeated(base.choices, depth), _with_options(setup.spec, {"depth": (depth,)})
    if neighbors is not None:
        choices[NEIGHBORS], spec = neighbors, _with_neighbors(spec, [neighbors])
    return space_with(setup, spec).fill(lambda decision: decision.choices[0], choices)


def offering(setup: Setup, architectures: Sequence[Architecture]) -> StudySpec:
    """The study's specification, whose space offers its own choices and these architectures'.

    Heads that do not divide the new widths are left out, and so are widths that the others do not.
    """
    space = setup.space
    scaled = {int(a.choices[name]) for a in architectures for name in widths_of(a)}
    offered = _choices(space, ".width"), _choices(space, ".heads")
    heads = sorted(h for h in offered[1] if not any(w % h for w in scaled)) or [1]
    own = {w for w in offered[0] if not any(w % h for h in heads)}
    depths = {*space.by_name["depth"].choices, *(a.choices["depth"] for a in architectures)}
    options: dict[str, Any] = {"depth": sorted(map(int, depths)), "width": sorted(own | scaled)}
    spec = _with_options(setup.spec, {**options, "heads": heads} if offered[1] else options)
    if not has_neighbors(setup):
        return spec
    seen = [*space.by_name[NEIGHBORS].choices, *(a.choices[NEIGHBORS] for a in architectures)]
    return _with_neighbors(spec, list(dict.fromkeys(map(int, seen))))


def _choices(space: SearchSpace, ending: str) -> set[int]:
    """What is offered by the decisions of such names."""
    return {int(c) for d in space.decisions if d.name.endswith(ending) for c in d.choices}


def _with_options(spec: StudySpec, options: Mapping[str, Any]) -> StudySpec:
    return spec.model_copy(update={"space": _given(spec.space, options)})


def _with_neighbors(spec: StudySpec, choices: Sequence[int]) -> StudySpec:
    extensions = tuple(
        _given(e, {NEIGHBORS: tuple(choices)}) if _samples(e) else e for e in spec.extension
    )
    return spec.model_copy(update={"extension": extensions})


def _given(plugin: Plugin, options: Mapping[str, Any]) -> Plugin:
    return replace(plugin, options=freeze({**plugin.options, **options}))
