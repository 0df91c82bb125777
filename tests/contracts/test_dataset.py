"""Every dataset that comes with the program, found by discovery: so is a new one at once."""

import inspect

from nas.contracts.test_dataset import *  # noqa: F403
from search_spaces import plugins
from search_spaces.plugins import Plugin


def test_ours_can_be_had_by_name_alone(plugin: Plugin) -> None:
    """Every option has a default."""
    own = plugins.options("dataset", plugin.name)
    assert all(option.default is not inspect.Parameter.empty for option in own.values())
