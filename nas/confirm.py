"""Confirming: the best trials retrained on fresh seeds; test is measured here, and only here."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluators import Artifact, Table
from evaluators.artifacts import intact
from nas.opening import Opened, opened
from nas.record import Confirmation, TrialRecord
from nas.retraining import ConfirmError, Retraining
from nas.setup import Setup, with_executor
from nas.spec import StudySpec
from nas.store import Store
from nas.store.confirmations import (
    confirmation_artifact,
    confirmations,
    confirmed_seeds,
    store_confirmation,
    store_test,
)
from nas.store.runs import driving
from search_spaces import SearchSpace, UsageError
from search_spaces.plugins import Plugin

if TYPE_CHECKING:
    from evaluators.datasets._base import Dataset

# Fresh seeds begin so far behind the study's own, which is never among them.
FRESH_SEEDS = 1_000_000


def confirm(
    name: str,
    *,
    storage: str,
    data_root: Path,
    top: int = 5,
    seeds: int = 10,
    trials: Sequence[int] = (),
    executor: Plugin | None = None,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
    space: SearchSpace | None = None,
) -> list[Confirmation]:
    """Retrain trials on fresh seeds, rank them on fresh validation, and only then measure test.

    The seeds are the same for all trials, so differences between trials are paired. What has been
    confirmed before is kept: repeated, the stored result comes back, and a test value is never
    measured twice. A table has one result for an architecture: it is looked up, once.

    Args:
        top: how many of the best trials: the front, then the next fronts, by the first objective.
        seeds: fresh seeds for each.
        trials: the numbers of the trials, in place of the best.
        progress: called with (done, wanted) as retrainings end.
        warn: called once with each warning of the evaluator.

    Returns:
        All confirmed trials of the study, ranked.

    Raises:
        UsageError: no such study or trial, nothing to confirm, or a dataset without a test split.
        ConfirmError: a retraining failed.
    """
    store = Store.open_existing(storage)
    spec = StudySpec.from_json(store.spec(name))
    chosen = [store.trial(name, n) for n in trials] or best_trials(store, name, top)
    _refuse_unmeasured(name, chosen)
    first = spec.study.seed + FRESH_SEEDS
    if spec.dataset is None:  # nothing is retrained: what is looked up is the same for all seeds
        seeds = 1
    wanted = [(t, first + i) for t in chosen for i in range(seeds)]
    done = {
        k: v for k, v in confirmed_seeds(store, name).items() if v or _has_weights(store, name, *k)
    }
    if any((t.number, seed) not in done or not done[t.number, seed] for t, seed in wanted):

        def changed(spec: StudySpec) -> StudySpec:
            return with_executor(spec, executor)

        study = opened(store, name, data_root, space, changed=changed, with_latency=False)
        missing = [(t, seed) for t, seed in wanted if (t.number, seed) not in done]
        with driving(store, name):
            if isinstance(study.setup.evaluator, Table):
                _look_up(store, study.setup.evaluator, study.id, missing)
            else:
                retraining = Retraining(study, progress, warn)
                retraining.run(missing, wanted=len(wanted))
                _measure_test(study, data_root)
    return confirmations(store, name)


def _look_up(
    store: Store, table: Table, study: int, missing: list[tuple[TrialRecord, int]]
) -> None:
    """Take both from the table, which holds the means over the seeds that its authors trained."""
    for trial, seed in missing:
        if trial.architecture is None:
            raise ConfirmError(f"trial {trial.number} has no architecture")
        store_confirmation(store, study, trial.number, seed, trial.metrics, None)
        test = table.test_metrics(trial.architecture)
        store_test(store, study, trial.number, seed, test)


def _has_weights(store: Store, name: str, number: int, seed: int) -> bool:
    """Whether a retrained network is still there for its test to be measured."""
    sha256 = confirmation_artifact(store, name, number, seed)
    return sha256 is not None and intact(Artifact(store.artifacts(name), sha256))


def best_trials(store: Store, name: str, top: int) -> list[TrialRecord]:
    """The best trials: those of the front first, then front after front, none twice."""
    return store.fronts(name)[:top]


def _refuse_unmeasured(name: str, chosen: list[TrialRecord]) -> None:
    if not chosen:
        raise UsageError(
            f'study "{name}" has no complete, feasible trial to confirm; see `nas trials {name}`'
        )
    for trial in chosen:
        if trial.architecture is None or trial.state not in ("complete", "infeasible"):
            raise UsageError(
                f"trial {trial.number} is {trial.state}; only a trial that was evaluated to the "
                "end can be confirmed"
            )


def _measure_test(study: Opened, data_root: Path) -> None:
    """Measure test for the confirmations that have none yet, in this process, labels unsealed."""
    from evaluators.datasets import load

    store, setup = study.store, study.setup
    if setup.spec.dataset is None:
        raise ConfirmError("a study without a dataset has nothing to measure test on")
    dataset = load(setup.spec.dataset, data_root)
    name = setup.spec.study.name
    for (number, seed), measured in confirmed_seeds(store, name).items():
        if not measured:
            trial = store.trial(name, number)
            sha256 = confirmation_artifact(store, name, number, seed)
            if sha256 is None:
                continue
            artifact = Artifact(store.artifacts(name), sha256)
            store_test(store, study.id, number, seed, test_metrics(setup, trial, artifact, dataset))


def test_metrics(
    setup: Setup, trial: TrialRecord, artifact: Artifact, dataset: "Dataset"
) -> Mapping[str, float]:
    """The test metrics of a retrained trial, averaged over the runs of its checkpoint."""
    from evaluators.checkpoint import run_weights
    from evaluators.metrics import split_metrics

    if trial.architecture is None:
        raise ConfirmError(f"trial {trial.number} has no architecture")
    network = setup.space.network(trial.architecture, setup.task)
    measured = []
    for weights in run_weights(artifact):
        network.load_state_dict(weights)
        measured.append(split_metrics(network, dataset, "test"))
    return {
        f"test_{metric}": sum(one[metric] for one in measured) / len(measured)
        for metric in measured[0]
    }
