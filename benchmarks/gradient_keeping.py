"""Results in files, one each, beside the configuration that they were made with."""

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search_spaces import plugins
from search_spaces.plugins import Plugin


def configured(kind: str, plugin: Plugin) -> dict[str, Any]:
    """A plug-in's name with all of its options, as a recipe has them: those not given too."""
    defaults = {
        name: parameter.default
        for name, parameter in plugins.options(kind, plugin.name).items()
        if parameter.default is not inspect.Parameter.empty
    }
    return {"name": plugin.name, **defaults, **plugin.options}


def kept(
    folder: Path | None, name: str, recipe: Mapping[str, Any], make: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What is in a file of this recipe, else what `make` gives, which is then written there.

    Args:
        folder: of the files; None keeps nothing.
        name: of the file, without its end.
        recipe: all that the result depends on, as JSON; a file of another recipe is made again.
        make: gives JSON.
    """
    if folder is None:
        return make()
    file, recipe = folder / f"{name}.json", json.loads(json.dumps(recipe))
    if file.exists():
        there = json.loads(file.read_text(encoding="utf-8"))
        if there["recipe"] == recipe:
            result: dict[str, Any] = there["result"]
            return result
    made = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    # A file is whole or not there.
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps({"recipe": recipe, "result": made}, indent=1), encoding="utf-8")
    partial.replace(file)
    return made
