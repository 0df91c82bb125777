"""Executors: made from a specification, and fed with batches of jobs until all have ended."""

from collections.abc import Generator, Iterable, Sequence
from typing import TypeVar

from evaluators import Evaluation, Executor
from evaluators.preparation import Work
from nas.spec import SpecError, StudySpec
from search_spaces import UsageError, plugins

T = TypeVar("T")


def made_executor(spec: StudySpec, where: str = "the study", *, prepares: bool = False) -> Executor:
    """The executor of a study, which starts no process before it is given a job.

    Args:
        where: begins the message: the study file.
        prepares: whether the study has something prepared.

    Raises:
        SpecError: it refuses the study, or its options.
    """
    module = plugins.load("executor", spec.executor.name)
    try:
        if hasattr(module, "refuse"):
            halving = spec.halving is not None
            module.refuse(spec.study.objectives, halving, prepares, spec.executor.options)
        executor: Executor = module.build(**spec.executor.options)
    except UsageError as error:
        raise SpecError(f"{where}: [executor] {error}") from error
    return executor


def executed(
    executor: Executor, batches: Iterable[tuple[T, Sequence[Work]]]
) -> Generator[tuple[T, Sequence[Evaluation]], None, None]:
    """Keep the workers busy with batches; each comes back, as it ends, with what stood beside it.

    The executor is shut down when all have come, or when this is closed.
    """
    queue = iter(batches)
    flying: dict[int, T] = {}
    following = next(queue, None)
    try:
        while flying or following:
            while following and len(flying) < executor.workers:
                what, jobs = following
                flying[executor.submit(jobs)] = what
                following = next(queue, None)
            for handle, evaluations in executor.wait(1.0).items():
                yield flying.pop(handle), evaluations
    finally:
        executor.shutdown(wait=False)
