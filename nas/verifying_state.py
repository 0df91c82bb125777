"""Whether the tensors to train on, `state.safetensors`, are those of the network."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nas.export._base import BundleError, shown
from nas.export._manifest import Manifest
from nas.export._recipe import read_recipe
from nas.export._state import STATE_FILE, check_fits
from search_spaces import UsageError

Row = tuple[Any, ...]


def state(folder: Path, manifest: Manifest, told: Callable[[str], None]) -> Iterator[Row]:
    """One row, where there is such a file: names and shapes; of values its hash is all there is."""
    if STATE_FILE not in manifest.files:
        return
    told(f"comparing {STATE_FILE} with its network")
    try:
        recipe = read_recipe(folder)
        if recipe.strangers:
            names = ", ".join(map(shown, recipe.strangers))
            yield "state", "", None, None, None, f"skipped: {names} did not come with this program"
            return
        check_fits(folder, manifest, recipe)
    except BundleError as error:
        yield "state", "", False, None, None, str(error)
    except UsageError as error:
        yield "state", "", None, None, None, f"skipped: its space cannot be built here: {error}"
    except Exception as error:  # a fault boundary: options of a stranger
        reason = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        yield "state", "", None, None, None, f"skipped: its network cannot be built here: {reason}"
    else:
        yield "state", "", True, None, None, "its tensors have the names and shapes of the network"
