"""Candidates that fail in every way there is: the study goes on, and each failure is named."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fakes.faulty_space import KINDS, fault_of
from fakes.studies import fake_spec

from nas.spec import StudySpec
from nas.store import Store
from nas.study import resume, search


def _spec(trials: int, share: float, **executor: Any) -> StudySpec:
    return fake_spec(
        trials,
        study={"seed": 1},
        space={"name": "fakes.faulty_space", "share": share},
        evaluator={"name": "training", "epochs": 2},
        executor={"name": "processes", "workers": 2, "timeout_seconds": 3.0, **executor},
    )


@pytest.mark.parametrize(
    ("trials", "share"), [(24, 0.08), pytest.param(200, 0.05, marks=pytest.mark.slow)]
)
def test_each_fault_is_a_failure_of_its_kind(trials: int, share: float, storage: str) -> None:
    """Exceptions, NaN, out of memory, hangs and hard exits: as planted, and no other."""
    status = search(_spec(trials, share), storage=storage, data_root=Path())
    assert (status.state, status.trials.ended) == ("finished", trials)
    found: Counter[str] = Counter()
    for trial in Store(storage).trials("fake"):
        assert trial.architecture is not None
        fault = fault_of(trial.architecture, share)
        assert (trial.failure or {}).get("kind") == KINDS.get(fault)
        assert trial.state == ("failed" if fault else "complete")
        found[fault] += 1
    assert set(found) == {"", *KINDS}


def test_a_candidate_that_kills_its_driver_is_failed_in_the_end(
    storage: str, tmp_path: Path
) -> None:
    """Within the study's own process nothing protects it; after two deaths it runs apart."""
    import multiprocessing

    spec = _spec(12, 0.2).model_copy(update={"executor": fake_spec(1).executor})
    fork = multiprocessing.get_context("fork")

    def go(begin: bool) -> None:
        if begin:
            search(spec, storage=storage, data_root=Path())
        else:
            resume("fake", storage=storage, data_root=Path())

    codes = []
    while not codes or codes[-1] == 13:
        child = fork.Process(target=go, args=(not codes,))
        child.start()
        child.join(120)
        if child.exitcode is None:  # a hang: nothing but a kill ends it
            child.kill()
            child.join()
            codes.append(13)
            continue
        codes.append(child.exitcode)
    assert codes[-1] == 0
    trials = Store(storage).trials("fake")
    assert [t.number for t in trials] == list(range(12))
    exits = [t for t in trials if t.architecture and fault_of(t.architecture, 0.2) == "exit"]
    assert exits
    assert {(t.failure or {}).get("kind") for t in exits} == {"crash"}
    assert len(codes) == 1 + 2 * len(exits)
