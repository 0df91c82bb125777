"""Imports what a process of its own needs, at once, before there is anything else to do."""

import gc
import importlib

# What training takes beside the modules that say so themselves: a limit of time or memory that
# begins later does not count them.
TRAINING = ("torch.fx", "torch_geometric.nn", "evaluators.training")


def load(*names: str) -> None:
    """Import modules for good.

    They make a million objects that stay. So Python's collector of garbage, which would go through
    all of them again and again as they become more, rests meanwhile, and never looks at them again:
    not while there is work, nor when the process ends. That is a matter for a program, not for a
    library in somebody's process.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        if was_enabled:
            gc.enable()
    gc.freeze()
