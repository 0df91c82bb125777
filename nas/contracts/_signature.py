"""How every plug-in is called: what the program hands over, and options that can be checked."""

import inspect
import re

from search_spaces import plugins
from search_spaces.plugins import Plugin


def check(kind: str, plugin: Plugin) -> None:
    """The parameters, their annotations and defaults, and that the help says what each is."""
    module = plugins.load(kind, plugin.name)
    make = getattr(module, plugins.ENTRIES[kind])
    assert plugins.handed(kind, module) == plugins.HANDED[kind], "options stand behind a `*`"
    summary = plugins.summary(kind, plugin.name)
    assert re.search(r"[.?)]$", summary), "the first line of the docstring is the help: a sentence"
    told = f"{module.__doc__} {make.__doc__}"
    for name, option in plugins.options(kind, plugin.name).items():
        assert option.annotation is not inspect.Parameter.empty, f"the option {name} has no type"
        assert re.search(rf"\b{name}\b", told), f"no docstring says what the option {name} is"
