"""Whether others use this process's GPU at the same time: what is timed then means nothing.

Executors declare it in their workers. An evaluator that measures latency on a GPU asks, and refuses
where it is so.
"""

_shared = False


def declare(shared: bool) -> None:
    """Say it of this process."""
    global _shared
    _shared = shared


def shares_gpu() -> bool:
    """Whether another worker of the same executor may use the GPU of this process meanwhile."""
    return _shared
