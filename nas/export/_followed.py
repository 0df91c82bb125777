"""Whether what a recipe says can be followed here: what is wrong with it is a fault of the bundle.

Only of plug-ins from elsewhere, and of a space that was made in Python, that is not known.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas._chosen import check_plugin, extension_table
from nas._options import freeze
from nas.export._base import BundleError
from nas.export._recipe import RECIPE, Recipe
from search_spaces import UsageError, plugins
from search_spaces.plugins import Plugin

_UNBUILT = "this program cannot build a network of what it says"


def check_options(folder: Path, recipe: Recipe) -> None:
    """Compare the options of its plug-ins with those that they take; nothing foreign is imported.

    Raises:
        BundleError: a plug-in that came with this program has no such option, or not this value.
    """
    tables = {"space": recipe.space, "dataset": recipe.dataset, "evaluator": recipe.evaluator}
    for kind, table in tables.items():
        name = table.get("name")
        if not isinstance(name, str):
            raise unfit(folder, UsageError(f"[{kind}] name: expected the name of a {kind}"))
        given = {key: value for key, value in table.items() if key != "name"}
        _check(folder, kind, name, given, f"[{kind}]")
    for name, given in recipe.extension:
        _check(folder, "extension", name, given, f"[{extension_table(name)}]")


def _check(folder: Path, kind: str, name: str, given: dict[str, object], where: str) -> None:
    if name not in plugins.names(kind):
        return
    try:
        check_plugin(kind, Plugin(name, freeze(given)), where)
    except (UsageError, ValueError) as error:
        raise unfit(folder, error) from error


@contextmanager
def followed(folder: Path, recipe: Recipe, *, is_given: bool = False) -> Iterator[None]:
    """What fails within it is the recipe's fault, where nothing from elsewhere had a part in it.

    Args:
        is_given: whether the space was handed over.

    Raises:
        BundleError: in place of any other error.
    """
    try:
        yield
    except BundleError:
        raise
    except Exception as error:  # a fault boundary: a stranger wrote what is built
        if is_given or not recipe.is_own:
            raise
        raise unfit(folder, error) from error


def unfit(folder: Path, error: Exception) -> BundleError:
    """What to say of a recipe that came to an error."""
    path = folder / RECIPE
    said = str(error).removeprefix(f"{path}: ") if isinstance(error, UsageError) else _UNBUILT
    return BundleError(f"{path}: {said}; copy the bundle again, or use the gnn-nas that wrote it")
