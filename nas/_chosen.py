"""The plug-ins that a study file chooses, looked up: are they of their kind, do options fit?

This imports them, and torch with most.
"""

import inspect
from collections.abc import Collection, Mapping

from nas._options import SpecError, describe, misfit
from search_spaces import plugins
from search_spaces.errors import PluginError, did_you_mean
from search_spaces.plugins import Plugin

# The tables that choose a plug-in by their key `name`; each is called like its kind.
PLUGIN_TABLES = ("space", "dataset", "strategy", "evaluator", "executor")


def extension_table(name: str) -> str:
    """The table of an extension as a study file writes it: a name with dots in quotes."""
    return f'extension."{name}"' if "." in name else f"extension.{name}"


def check_plugin(kind: str, plugin: Plugin, where: str) -> None:
    """Check one plug-in's options against its `build`; `where` begins the message.

    Raises:
        SpecError: see `check_plugins`.
    """
    try:
        known = options_of(kind, plugin.name)
    except PluginError as error:
        # An extension's name is its table's.
        named = where if kind == "extension" else f"{where} name"
        raise SpecError(f"{named}: {error}") from error
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


def _hint(kind: str, key: str, known: Collection[str]) -> str:
    """What may have been meant by an option that a plug-in does not have."""
    if others := [name for name in plugins.names(kind) if key in options_of(kind, name)]:
        return f"it is an option of: {', '.join(others)}"
    # The kinds that are tables of their own are chosen by this key.
    named = ("name",) if kind in PLUGIN_TABLES else ()
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
