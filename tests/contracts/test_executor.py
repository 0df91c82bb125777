"""Every executor that comes with the program, found by discovery: so is a new one at once."""

from evaluators import Executor
from nas.contracts.test_executor import *  # noqa: F403
from search_spaces.plugins import Plugin


def test_ours_have_one_worker_unless_asked(plugin: Plugin, idle: Executor) -> None:
    """And what a candidate does to its process, it does to the driver's only here."""
    assert idle.workers == 1
    assert idle.in_process == (plugin.name == "inline")
