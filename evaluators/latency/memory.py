"""The most memory that tensors take at one time while a network runs: predicted, and measured."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from evaluators.latency.tracing import record
from evaluators.latency.watching import held_bytes

__all__ = ["held_bytes", "measured_peak_memory_bytes", "peak_memory_bytes"]


def peak_memory_bytes(network: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Weights, buffers and inputs, and the most that tensors made by operations take at one time.

    What a kernel takes for itself meanwhile is not known of. On the meta device it costs a trace.
    """
    return held_bytes(network, inputs) + record(lambda: network(*inputs)).peak_bytes


def measured_peak_memory_bytes(
    run: Callable[[], Any], *, held: int = 0, kind: Literal["cpu", "cuda"] = "cpu"
) -> int:
    """The most that torch's allocator gives out at one time during a run, and what was held before.

    A run that is watched is slower: do not time it.

    Args:
        run: called once; what compiles or caches at a first call should have been called before.
        held: bytes of weights and inputs, see `held_bytes`.
        kind: of device that it runs on.
    """
    with torch.inference_mode():
        return held + (_most_given_out(run) if kind == "cpu" else _most_on_gpu(run))


def _most_given_out(run: Callable[[], Any]) -> int:
    # Below this level it says in the terminal that it starts and stops.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    with torch.autograd.profiler.profile(profile_memory=True) as profiled:
        run()
    events = [e for e in profiled.kineto_results.events() if e.name() == "[memory]"]
    alive = most = 0
    for event in sorted(events, key=lambda one: one.start_ns()):
        alive += event.nbytes()
        most = max(most, alive)
    return most


def _most_on_gpu(run: Callable[[], Any]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
