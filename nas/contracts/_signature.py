"""How every plug-in is called: what the program hands over, and options that can be checked."""

import inspect
import re
from collections.abc import Mapping

from search_spaces import plugins
from search_spaces.plugins import Plugin

# The positional parameters of what makes each kind, in order.
HANDED: Mapping[str, tuple[str, ...]] = {
    "space": ("task",),
    "extension": ("space", "task"),
    "preparation": ("space", "batches", "seed"),
    "operator": ("in_features", "out_features"),
    "dataset": ("root",),
    "evaluator": ("task",),
    "executor": (),
    "strategy": ("problem",),
    "exporter": (),
}


def check(kind: str, plugin: Plugin) -> None:
    """The parameters, their annotations and defaults, and that the help says what each is."""
    module = plugins.load(kind, plugin.name)
    make = getattr(module, plugins.ENTRIES[kind])
    parameters = inspect.signature(make, eval_str=True).parameters.values()
    handed = tuple(p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY)
    assert handed == HANDED[kind], (
        f"{make.__name__} takes {handed}, expected {HANDED[kind]}; options stand behind a `*`"
    )
    summary = plugins.summary(kind, plugin.name)
    assert re.search(r"[.?)]$", summary), "the first line of the docstring is the help: a sentence"
    told = f"{module.__doc__} {make.__doc__}"
    for name, option in plugins.options(kind, plugin.name).items():
        assert option.annotation is not inspect.Parameter.empty, f"the option {name} has no type"
        assert re.search(rf"\b{name}\b", told), f"no docstring says what the option {name} is"
