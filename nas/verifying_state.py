"""Whether the tensors to train on, `state.safetensors`, are those of the network."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nas.export._base import BundleError, shown
from nas.export._followed import check_options
from nas.export._manifest import Manifest
from nas.export._rebuilt import NotRebuiltError
from nas.export._recipe import Recipe, read_recipe
from nas.export._state import STATE_FILE, check_fits

Row = tuple[Any, ...]


def state(folder: Path, manifest: Manifest, told: Callable[[str], None]) -> Iterator[Row]:
    """One row, where there is such a file: names and shapes; of values its hash is all there is."""
    if STATE_FILE not in manifest.files:
        return
    told(f"comparing {STATE_FILE} with its network")
    try:
        recipe = read_recipe(folder)
        check_options(folder, recipe)
        if not recipe.is_own:
            yield "state", "", None, None, None, f"skipped: {_foreign(recipe)}"
            return
        check_fits(folder, manifest, recipe)
    except NotRebuiltError as error:
        yield "state", "", None, None, None, f"skipped: {error}"
    except BundleError as error:
        yield "state", "", False, None, None, str(error)
    else:
        yield "state", "", True, None, None, "its tensors have the names and shapes of the network"


def _foreign(recipe: Recipe) -> str:
    if not recipe.strangers:
        return "its space was made in Python"
    return f"{', '.join(map(shown, recipe.strangers))} did not come with this program"
