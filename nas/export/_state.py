"""The format `state`: what is needed to train a network on, with this program.

`state.safetensors` has all tensors of the network as they were trained, in full precision and with
what leaves no trace in a program: masks, ranges of quantizers. `recipe.json` says what builds it.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from evaluators import Evaluator
from nas._tables import STATE
from nas.export._architecture import architecture_of, check_trained
from nas.export._background import Background
from nas.export._base import BundleError, ExportError, shown
from nas.export._followed import check_options, followed
from nas.export._manifest import Manifest
from nas.export._rebuilt import NotRebuiltError, made_by
from nas.export._recipe import RECIPE, Recipe, read_recipe, refuse_foreign
from nas.export.load import check_files
from nas.setting_up import space_of
from nas.spec import check_plugins, spec_from_mapping
from search_spaces import SearchSpace, Task, plugins

STATE_FILE: Final = "state.safetensors"


def check_state(background: Background) -> None:
    """Refuse a network of which it is not known what builds it.

    Raises:
        ExportError: there is no recipe.
    """
    if background.recipe is None:
        raise ExportError(
            "state: it is not known what builds this network, so its state is of no use; leave "
            "the format out"
        )


def write_state(network: nn.Module, folder: Path) -> Path:
    """Into a bundle."""
    path = folder / STATE_FILE
    tensors = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    return path


def load_network(
    folder: Path | str, *, space: SearchSpace | None = None, allowed: Collection[str] = ()
) -> nn.Module:
    """The network of a bundle as it was trained, to train on; it takes prepared features and edges.

    Args:
        folder: of a bundle that was exported with the format `state`.
        space: made in Python, where it was so when the study began.
        allowed: names of modules from elsewhere, plug-ins of the study, that may be imported.

    Raises:
        BundleError: the bundle is damaged, has no state, or one that is not its network's; or it
            names code from elsewhere that is not allowed.
        UsageError: code from elsewhere, or the space that is given, does not build it.
    """
    folder = Path(folder)
    manifest = check_files(folder)
    if STATE_FILE not in manifest.files:
        raise BundleError(
            f"{folder} has no {STATE_FILE}; export it again with --format {STATE}, or retrain it: "
            "nas reproduce"
        )
    recipe = read_recipe(folder)
    refuse_foreign(recipe, folder, allowed)
    with followed(folder, recipe, is_given=space is not None):
        network = _builder(folder, manifest, recipe, space)()
    path = folder / STATE_FILE
    try:
        # From which it may see, too, what has gone from it while it was trained.
        network.load_state_dict(load_file(path))
    except Exception as error:  # a fault boundary: a stranger wrote it
        _check_tensors(path, network)
        reason = str(error).strip().partition("\n")[0]
        raise BundleError(
            f"{path} is not of this network ({reason}); export it again with --format {STATE}"
        ) from error
    return network.eval()


def check_fits(folder: Path, manifest: Manifest, recipe: Recipe) -> None:
    """Compare the tensors of a state, by their names and shapes, with those of its network.

    Neither has values here, so no recipe can ask for memory. All that the recipe names has to have
    come with this program.

    Raises:
        BundleError: they are of two networks, or the recipe is of none.
        NotRebuiltError: an extension may have made the network another one in training.
    """
    with followed(folder, recipe):
        build = _builder(folder, manifest, recipe)
        with torch.device("meta"):
            network = build()
    try:
        _check_tensors(folder / STATE_FILE, network)
    except BundleError as error:
        if extensions := [name for name, _ in recipe.extension]:
            raise NotRebuiltError(made_by(extensions, error)) from error
        raise


def _builder(
    folder: Path, manifest: Manifest, recipe: Recipe, space: SearchSpace | None = None
) -> Callable[[], nn.Module]:
    """What makes the network, untrained."""
    check_trained(folder, recipe, architecture_of(folder, manifest))
    check_options(folder, recipe)
    where = str(folder / RECIPE)
    try:
        task = Task(**recipe.task)
    except TypeError as error:
        raise BundleError(f"{folder / RECIPE}: task: {error}; export it again") from error
    spec = spec_from_mapping(recipe.tables("loaded"), where)
    check_plugins(spec, where, given=() if space is None else ("space",))
    evaluator: Evaluator = plugins.load("evaluator", spec.evaluator.name).build(
        task, **spec.evaluator.options
    )
    made = space_of(spec, task, evaluator, space, where)
    return partial(made.network, made.architecture(recipe.steps[-1].choices), task)


def _check_tensors(path: Path, network: nn.Module) -> None:
    expected = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path} cannot be read ({error}); export it again") from error
    for name in sorted({**expected, **found}):
        if expected.get(name) != found.get(name):
            raise BundleError(
                f"{path} is not of this network: expected {_told(name, expected)}, got "
                f"{_told(name, found)}; export it again with --format {STATE}"
            )


def _told(name: str, shapes: Mapping[str, list[int]]) -> str:
    return f"{shown(name)} {shapes[name]}" if name in shapes else f"no {shown(name)}"
