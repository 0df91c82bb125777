"""Twelve decisions of four choices each: 16.8 million architectures, without networks."""

from torch import nn

from search_spaces import Architecture, Decision, SearchSpace, Task

DECISIONS, CHOICES = 12, 4


def no_network(architecture: Architecture, task: Task) -> nn.Module:
    raise NotImplementedError(f"{architecture.key} of {task.fingerprint} has no network")


def build(task: Task) -> SearchSpace:
    del task
    choices = tuple(range(CHOICES))
    decisions = tuple(Decision(f"d{i}", choices, ordered=True) for i in range(DECISIONS))
    return SearchSpace("trivial", 1, decisions, no_network)
