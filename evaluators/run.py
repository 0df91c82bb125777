"""What a worker does with a batch of jobs: make their evaluators, evaluate, put in order."""

import json
from collections.abc import Sequence
from functools import lru_cache

from evaluators.preparation import PreparationJob, Work
from evaluators.values import Artifact, Evaluation, Evaluator, Job
from search_spaces import plugins
from search_spaces.canonical import canonical_json


def run(jobs: Sequence[Work]) -> list[Evaluation]:
    """Do a batch; one evaluation for each job, in order.

    Jobs with the same evaluator, options and dataset are handed to it together.

    Raises:
        RuntimeError: an evaluator returned more or fewer evaluations than it got jobs.
        UsageError: an evaluator cannot be made, or an artifact cannot be read.
    """
    done: dict[int, Evaluation] = {}
    groups: dict[tuple[str, str, Artifact | None], dict[int, Job]] = {}
    for index, job in enumerate(jobs):
        if isinstance(job, PreparationJob):
            done[index] = _prepare(job)
            continue
        options = canonical_json(dict(job.evaluator.options))
        groups.setdefault((job.evaluator.name, options, job.dataset), {})[index] = job
    for (name, options, dataset), group in groups.items():
        evaluations = _evaluator(name, options, dataset).evaluate(list(group.values()))
        if len(evaluations) != len(group):
            raise RuntimeError(
                f'the evaluator "{name}" returned {len(evaluations)} evaluations '
                f"for {len(group)} jobs"
            )
        done |= dict(zip(group, evaluations, strict=True))
    return [done[index] for index in range(len(jobs))]


def _prepare(job: PreparationJob) -> Evaluation:
    # Imports torch, as training does.
    from evaluators.preparing import prepare

    return prepare(job)


@lru_cache(maxsize=8)
def _evaluator(name: str, options: str, dataset: Artifact | None) -> Evaluator:
    module, given = plugins.load("evaluator", name), json.loads(options)
    if dataset is None:
        task = module.task(**given)
    else:
        # Imports torch; a driver that only submits jobs to workers does without.
        from evaluators._batches import batches_of

        task = batches_of(dataset).dataset.task
    evaluator: Evaluator = module.build(task, **given)
    return evaluator
