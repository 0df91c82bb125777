"""How a network was trained: what `nas reproduce` needs to train it again."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError

from nas.export._base import BundleError, Strict, shown, whole
from nas.export._manifest import text_of
from nas.export._reading import broken, read_written
from nas.setup import PYTHON_SPACE
from search_spaces import plugins

RECIPE: Final = "recipe.json"
_MOST_BYTES = 2**20
# How plug-ins from elsewhere are named.
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
Table = dict[str, Any]


class Step(Strict):
    """One training.

    Attributes:
        choices: the decisions of the architecture.
        epochs: for how long.
        inherit_by: how it takes over the weights of the step before; None where it takes none.
    """

    choices: dict[str, Any]
    epochs: Annotated[int, Field(ge=0)]
    inherit_by: str | None = None


class Recipe(Strict):
    """What was trained, on what, and how; of folders on the machine that did it only last names.

    Attributes:
        seed: of all of it.
        objectives: {metric: direction} of the study.
        space, dataset, evaluator: a plug-in each, as in a study file.
        extension: name and options of each, in order.
        task: what its network had to fit (`search_spaces.Task`), with the dataset's fingerprint.
        steps: the last one is of this network; those before are of trials whose weights it began
            with.
        quantized: how it was brought to few bits afterwards (`nas.quantizing.Manner`), or None.
        obstacle: why it cannot be trained again from this alone; empty where it can.
    """

    format: Literal["gnn-nas recipe"] = "gnn-nas recipe"
    version: Annotated[Literal[1], BeforeValidator(whole)] = 1
    seed: int
    objectives: list[tuple[str, str]]
    space: Table
    dataset: Table
    evaluator: Table
    extension: list[tuple[str, Table]] = Field(default_factory=list)
    task: Table
    steps: Annotated[list[Step], Field(min_length=1)]
    quantized: Table | None = None
    obstacle: str = ""

    def tables(self, name: str, dataset: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The tables of a study called `name`, on another copy of the dataset if one is given."""
        made: dict[str, Any] = {
            "study": {"name": name, "seed": self.seed, "objectives": dict(self.objectives)},
            "space": self.space,
            "dataset": self.dataset if dataset is None else dataset,
            "evaluator": self.evaluator,
            "budget": {"trials": 1},
            "executor": {"name": "inline"},
        }
        return made | ({"extension": dict(self.extension)} if self.extension else {})

    @property
    def strangers(self) -> tuple[str, ...]:
        """The names of its plug-ins that did not come with this program, operators among them.

        They are code that runs here, so a bundle cannot ask for them itself.
        """
        kinds = {"space": self.space, "dataset": self.dataset, "evaluator": self.evaluator}
        named = [(kind, str(table.get("name"))) for kind, table in kinds.items()]
        named += [("extension", name) for name, _ in self.extension]
        foreign = {name for kind, name in named if name not in plugins.names(kind)}
        options = [self.space, self.evaluator, [table for _, table in self.extension]]
        chosen = [step.choices for step in self.steps]
        modules = {text for text in _texts([options, chosen]) if _MODULE.fullmatch(text)}
        # Of a space that was made in Python there is no module: it is handed over, or missed.
        return tuple(sorted((foreign | modules) - {PYTHON_SPACE}))

    @property
    def is_own(self) -> bool:
        """Whether all that it names came with this program."""
        return not self.strangers and self.space.get("name") != PYTHON_SPACE

    def write(self, folder: Path) -> Path:
        """Into a bundle."""
        path = folder / RECIPE
        path.write_text(text_of(self.model_dump(mode="json")), "utf-8")
        return path


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a bundle, whose file has been compared with its hash.

    Raises:
        BundleError: it has none, or one that breaks the schema.
    """
    path = folder / RECIPE
    try:
        value = read_written(path, _MOST_BYTES)
        return Recipe.model_validate_json(json.dumps(value), strict=False)
    except FileNotFoundError as error:
        raise BundleError(
            f"{folder} does not say how its network was trained ({RECIPE}): it was written by "
            "hand, or is a part of a supernet; nothing can train it again"
        ) from error
    except ValidationError as error:
        raise broken(path, error) from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}; copy it again") from error


def refuse_foreign(recipe: Recipe, folder: Path, allowed: Collection[str]) -> None:
    """Raise where a recipe names modules that did not come with this program: they would run here.

    Args:
        folder: of the bundle.
        allowed: names of modules that may be imported.

    Raises:
        BundleError: it names one that is not among them.
    """
    if foreign := [name for name in recipe.strangers if name not in allowed]:
        raise BundleError(
            f"{folder}: it was made with {shown(foreign[0])}, code that did not come with this "
            "program and would run here; where you trust it, allow it: --allow "
            f"{shown(foreign[0])}, in Python allowed=[{shown(foreign[0])}]"
        )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def without_folders(options: Mapping[str, Any]) -> Table:
    """Options of a plug-in with the last names of paths alone: no folder leaves a machine."""
    return {
        name: Path(value).name
        if isinstance(value, str) and ("/" in value or "\\" in value)
        else value
        for name, value in options.items()
    }
