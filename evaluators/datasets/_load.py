"""From a `[dataset]` table to a dataset."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluators.datasets._base import Dataset, DatasetError
from evaluators.datasets._preprocess import preprocess
from evaluators.datasets._raw import RawDataset
from search_spaces import plugins
from search_spaces.errors import PluginError, did_you_mean
from search_spaces.plugins import Plugin

# The options that every dataset accepts, by name: keyword-only parameters of `preprocess`.
COMMON: Mapping[str, inspect.Parameter] = {
    parameter.name: parameter
    for parameter in inspect.signature(preprocess, eval_str=True).parameters.values()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
}


def load(plugin: Plugin, root: Path) -> Dataset:
    """Read, check and preprocess a dataset.

    Args:
        plugin: a dataset by name; its options are the plug-in's own and those of `preprocess`.
        root: the folder of public raw files; what is there is used and never written to, what is
            not is downloaded into it.

    Raises:
        PluginError: no such dataset, or an option that it does not take.
        DatasetError: it is not there, or it cannot be used.
    """
    own = plugins.options("dataset", plugin.name)
    for option in plugin.options:
        if option not in own and option not in COMMON:
            raise PluginError(
                f'the dataset "{plugin.name}" has no option "{option}"; '
                f"{did_you_mean(option, (*own, *COMMON))}"
            )
    raw = plugins.load("dataset", plugin.name).build(root, **_only(own, plugin.options))
    if not isinstance(raw, RawDataset):
        raise DatasetError(
            f'build of the dataset "{plugin.name}" must return a RawDataset, got '
            f"{type(raw).__name__}"
        )
    return preprocess(raw, **_only(COMMON, plugin.options))


def _only(names: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}
