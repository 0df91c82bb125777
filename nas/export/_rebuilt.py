"""The network of a bundle, built again of its recipe with the weights of `weights.safetensors`."""

from pathlib import Path

import torch
from torch import nn

from evaluators.datasets._base import Preprocessing
from evaluators.latency.samples import task_of
from evaluators.latency.values import Workload, random_skew
from nas._chosen import extension_table
from nas.export._architecture import architecture_of, check_trained
from nas.export._base import BundleError, shown
from nas.export._deployed import Deployed, deployed
from nas.export._followed import check_options, followed
from nas.export._manifest import ARCHITECTURE, NAME, WEIGHTS, Manifest
from nas.export._recipe import RECIPE, Recipe, read_recipe
from nas.export._weights import numbers
from nas.setting_up import named
from search_spaces import Architecture, SearchSpace, Task, UsageError, plugins
from search_spaces.quantization.layers import settled

# By how much a network may be larger than the file of its weights, which may have a bit an entry
# and none for those that were pruned.
_MOST_TIMES, _FREE_NUMBERS = 64, 2**20


class NotRebuiltError(UsageError):
    """A network that cannot be built here, though nothing is wrong with its bundle."""


def rebuilt(folder: Path, manifest: Manifest) -> Deployed:
    """What the programs of a bundle must compute, by this program's own modules.

    Its space has to have come with this program; no dataset is needed.

    Raises:
        BundleError: architecture, recipe and weights are not of one network.
        NotRebuiltError: it cannot be built from them alone.
    """
    architecture = architecture_of(folder, manifest)
    if RECIPE not in manifest.files:
        raise NotRebuiltError(f"the bundle has no {RECIPE}, so its space is not known")
    recipe = read_recipe(folder)
    check_trained(folder, recipe, architecture)
    check_options(folder, recipe)
    if (recipe.quantized is None) != (manifest.provenance.post_training is None):
        raise BundleError(
            f"{folder}: {RECIPE} and {NAME} do not agree whether it was brought to few bits after "
            "its training; copy the bundle again"
        )
    if recipe.strangers:
        raise NotRebuiltError(
            f"{', '.join(map(shown, recipe.strangers))} did not come with this program; no bundle "
            "decides what is imported here"
        )
    if not recipe.is_own:
        raise NotRebuiltError("its space was made in Python")
    if recipe.quantized is not None:
        raise NotRebuiltError(
            "it was brought to few bits after its training, so the recipe's network is another one"
        )
    task = _task(manifest)
    extensions = [name for name, _ in recipe.extension]
    weights = numbers(folder / WEIGHTS)
    with torch.random.fork_rng(devices=[]):
        with followed(folder, recipe):
            space = _space(str(folder / RECIPE), recipe, task)
            _check_size(folder, space, architecture, task)
            network = space.network(architecture, task).eval()
        try:
            leaving = space.deployed(network, architecture)
        except Exception as error:  # a fault boundary: the network is untrained
            raise NotRebuiltError(made_by(extensions, error)) from error
        module = deployed(leaving, _preprocessing(manifest), manifest.contract)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        if extensions:
            raise NotRebuiltError(made_by(extensions, error)) from error
        raise BundleError(
            f"{folder / WEIGHTS} has not the weights of the network that {ARCHITECTURE} and "
            f"{RECIPE} describe"
        ) from error
    # Which ranges were seen is known now.
    settled(module)
    return module


def made_by(extensions: list[str], error: Exception) -> str:
    """Why a network that is built of its recipe is not yet the one that was trained."""
    reason = str(error).strip().partition("\n")[0]
    return f"what {', '.join(extensions)} made of it depends on its training ({reason})"


def _space(where: str, recipe: Recipe, task: Task) -> SearchSpace:
    options = {name: value for name, value in recipe.space.items() if name != "name"}
    with named(where, "space"):
        space: SearchSpace = plugins.load("space", recipe.space["name"]).build(task, **options)
    for name, given in recipe.extension:
        with named(where, extension_table(name)):
            space = space.extended(plugins.load("extension", name).build(space, task, **given))
    return space


def _check_size(folder: Path, space: SearchSpace, architecture: Architecture, task: Task) -> None:
    """Before room is made for it: whether it can be the network of these weights."""
    with torch.device("meta"):
        network: nn.Module = space.network(architecture, task)
    count = sum(each.numel() for each in network.parameters())
    held = (folder / WEIGHTS).stat().st_size
    if count > _MOST_TIMES * held + _FREE_NUMBERS:
        raise BundleError(
            f"{folder / RECIPE} describes a network of {count:,} weights, and {WEIGHTS} has "
            f"{held:,} bytes"
        )


def _task(manifest: Manifest) -> Task:
    """As far as a bundle says what it was trained on; the size of the graph is what it was."""
    contract, own = manifest.contract, manifest.programs[0].parity.graphs[0]
    nodes, edges = max(1, own.get("N", 1)), max(1, own.get("E", 1))
    workload = Workload(nodes, edges, random_skew(edges / nodes), own.get("B", 1))
    return task_of(contract.kind, contract.n_features, contract.n_classes, workload)


def _preprocessing(manifest: Manifest) -> Preprocessing:
    """Its numbers are among the weights."""
    contract = manifest.contract
    mean = std = None
    if contract.features == "standardize":
        mean, std = torch.zeros(contract.n_features), torch.ones(contract.n_features)
    return Preprocessing(contract.features, contract.edges != "directed", mean, std)
