"""The plug-ins that a study file chooses, looked up: are they of their kind, do options fit?

This imports them, and torch with most.
"""

import inspect
from collections.abc import Collection, Mapping

from nas._options import SpecError, describe, misfit
from search_spaces import plugins
from search_spaces.errors import PluginError, did_you_mean
from search_spaces.plugins import Plugin

# What the program hands over to the `build` of each.
HANDED_OVER: Mapping[str, tuple[str, ...]] = {
    "space": ("task",),
    "extension": ("space", "task"),
    "dataset": ("root",),
    "strategy": ("problem",),
    "evaluator": ("task",),
    "executor": (),
}


def check_plugin(kind: str, plugin: Plugin, where: str) -> None:
    """Check one plug-in's options against its `build`; `where` begins the message.

    Raises:
        SpecError: see `check_plugins`.
    """
    try:
        known = options_of(kind, plugin.name)
        _refuse_another_kind(kind, plugin.name)
    except PluginError as error:
        raise SpecError(f"{where} name: {error}") from error
    for key, value in plugin.options.items():
        if key not in known:
            hint = _hint(kind, key, known)
            raise SpecError(f'{where} {key}: no option of the {kind} "{plugin.name}"; {hint}')
        if wrong := misfit(known[key].annotation, value):
            raise SpecError(f"{where} {key}: {wrong}")
    for key, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and key not in plugin.options:
            expected = describe(parameter.annotation)
            raise SpecError(f'{where} {key}: missing; "{plugin.name}" needs it: {expected}')


def _refuse_another_kind(kind: str, name: str) -> None:
    """Raise where a module's `build` cannot be called as one of its kind is."""
    if kind not in HANDED_OVER or "." not in name:
        return
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(plugins.load(kind, name).build).parameters.values()
    has = [p.name for p in parameters if p.kind in positional]
    wanted = HANDED_OVER[kind]
    # Other names are free, but those that other kinds are handed over tell what it is.
    another = {name for names in HANDED_OVER.values() for name in names} - {*wanted}
    if len(has) != len(wanted) or another & {*has}:
        raise PluginError(
            f'"{name}" is no {kind}: before its options its build takes '
            f"{', '.join(has) or 'nothing'}, that of {'an' if kind[0] in 'aeiou' else 'a'} {kind} "
            f"{', '.join(wanted) or 'nothing'}"
        )


def _hint(kind: str, key: str, known: Collection[str]) -> str:
    """What may have been meant by an option that a plug-in does not have."""
    if others := [name for name in plugins.names(kind) if key in options_of(kind, name)]:
        return f"it is an option of: {', '.join(others)}"
    # The kinds that are tables of their own are chosen by this key.
    named = ("name",) if kind in HANDED_OVER and kind != "extension" else ()
    return did_you_mean(key, (*known, *named)) if known else "it takes no options"


def options_of(kind: str, name: str) -> Mapping[str, inspect.Parameter]:
    """A plug-in's options by name; a dataset's with those that every dataset takes."""
    own = plugins.options(kind, name)
    if kind != "dataset":
        return own
    from evaluators.datasets._load import COMMON

    return {**own, **COMMON}


def needs_dataset(evaluator: Plugin) -> bool:
    """Whether an evaluator measures on a dataset: those with a `task` of their own do not."""
    return not hasattr(plugins.load("evaluator", evaluator.name), "task")
