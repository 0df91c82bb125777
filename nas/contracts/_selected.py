"""Which plug-ins are tested: all that come with the program, or those that were named."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from nas._options import freeze
from search_spaces import PluginError, plugins
from search_spaces.errors import did_you_mean
from search_spaces.plugins import Plugin

# Options that one of ours cannot do without, or would take minutes with.
_OPTIONS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("evaluator", "tabular"): {"table": "cora"},
    ("evaluator", "training"): {"epochs": 6},
    ("evaluator", "inherited"): {"epochs": 4, "steps": 2, "samples": 10},
    ("evaluator", "transfer"): {"epochs": 6, "teacher_epochs": 20},
    # All methods, with schedules that end within the few epochs of its contract.
    ("extension", "sparsity"): {
        "method": (
            "granet",
            "random",
            "magnitude",
            "lottery",
            "snip",
            "grasp",
            "synflow",
            "layer_ticket",
            "rigl",
            "dynamic",
        ),
        "weight_density": (0.5, 0.3),
        "edge_density": (0.8, 0.5),
        "structure": ("none", "units"),
        "scope": ("global", "layer"),
        "over_epochs": (3, 4),
        "every": (1, 2),
        "rounds": (1,),
    },
    ("preparation", "tas"): {"epochs": 4, "steps": 2},
    ("preparation", "supernet"): {"epochs": 4, "steps": 2, "samples": 10},
}


def own(kind: str) -> list[Plugin]:
    """Those of a kind that come with the program."""
    return [Plugin(name, freeze(_OPTIONS.get((kind, name), {}))) for name in plugins.names(kind)]


def named(texts: Sequence[str], kinds: Sequence[str]) -> dict[str, list[Plugin]]:
    """What was asked for, by kind, from `KIND=NAME[:OPTION=VALUE...]`; values are TOML.

    Raises:
        PluginError: no such kind, or no contract for it; a module that cannot be used, or one that
            has no such option.
    """
    found: dict[str, list[Plugin]] = {}
    for text in texts:
        kind, equals, rest = text.partition("=")
        name, *given = re.split(r":(?=\w+=)", rest)
        if not equals or not name:
            raise PluginError(f'--plugin: expected KIND=NAME[:OPTION=VALUE...], got "{text}"')
        if kind not in kinds:
            hint = did_you_mean(kind, kinds)
            raise PluginError(f'--plugin {text}: no contract for the kind "{kind}"; {hint}')
        try:
            known = plugins.options(kind, name)
        except PluginError as error:
            raise PluginError(f"--plugin {text}: {error}") from error
        options = dict(_option(text, one) for one in given)
        for option in options:
            if option not in known:
                hint = did_you_mean(option, known)
                raise PluginError(f'--plugin {text}: {name} has no option "{option}"; {hint}')
        if (kind, name) in _OPTIONS:
            options = {**_OPTIONS[kind, name], **options}
        found.setdefault(kind, []).append(Plugin(name, freeze(options)))
    return found


def _option(text: str, given: str) -> tuple[str, Any]:
    name, _, value = given.partition("=")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        if re.fullmatch(r"[\w./-]+", value):  # a word needs no quotes
            return name, value
        raise PluginError(f"--plugin {text}: {name}: expected TOML, got {value}") from None
