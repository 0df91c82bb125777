"""The decisions of a bundle's network, `architecture.json`, read as strictly as the manifest."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationError

from nas.export._base import BundleError, Strict, shown
from nas.export._manifest import ARCHITECTURE, Manifest
from nas.export._reading import broken, read_written, short
from nas.export._recipe import RECIPE, Recipe
from search_spaces import Architecture

_MOST_BYTES = 2**20


def _choice(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a text or a number, got {short(json.dumps(value))}")
    return value


class _Decided(Strict):
    space: str
    choices: dict[str, Annotated[Any, AfterValidator(_choice)]]


def architecture_of(folder: Path, manifest: Manifest) -> Architecture:
    """The architecture of a bundle, whose file has been compared with its hash.

    Raises:
        BundleError: it is none, or not the one that the manifest names.
    """
    found = _read(folder / ARCHITECTURE)
    if found.key != manifest.architecture:
        raise BundleError(
            f"{folder / ARCHITECTURE} is {found.key}, and the manifest is of "
            f"{shown(manifest.architecture)}; one of them was changed: copy the bundle again"
        )
    return found


def _read(path: Path) -> Architecture:
    try:
        decided = _Decided.model_validate(read_written(path, _MOST_BYTES))
    except ValidationError as error:
        raise broken(path, error) from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}; copy it again") from error
    return Architecture(decided.space, decided.choices)


def check_trained(folder: Path, recipe: Recipe, architecture: Architecture) -> None:
    """Compare what a recipe trains with the architecture of its bundle.

    What was brought to few bits afterwards has decisions more than that.

    Raises:
        BundleError: they are of two networks.
    """
    trained = recipe.steps[-1].choices
    left = {name: c for name, c in architecture.choices.items() if name in trained}
    is_whole = recipe.quantized is not None or len(left) == len(architecture.choices)
    if left != trained or not is_whole:
        raise BundleError(
            f"{folder / RECIPE} is of another architecture than {ARCHITECTURE}; one of them was "
            "changed: copy the bundle again"
        )
