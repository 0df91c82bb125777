"""Candidates that fail in every way there is: the study goes on, and each failure is named."""

import multiprocessing
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from fakes import faulty_space
from fakes.faulty_space import KINDS, STATUS, fault_of
from fakes.killed import check_exact, go
from fakes.studies import fake_spec

from nas.store import Store
from nas.study import search


def _choices(fault: str, wanted: int, share: float) -> list[dict[str, Any]]:
    """Architectures whose networks have a fault, or none."""
    space = faulty_space.build(None, share=share)
    found = (a for a in space if fault_of(a, share) == fault)
    return [dict(architecture.choices) for architecture in islice(found, wanted)]


@pytest.mark.parametrize("trials", [14, pytest.param(200, marks=pytest.mark.slow)])
def test_each_fault_is_a_failure_of_its_kind(trials: int, storage: str) -> None:
    """Exceptions, NaN, out of memory, hangs and hard exits: as planted, and no other."""
    share = 0.05
    spec = fake_spec(
        trials,
        study={"start": [choices for kind in KINDS for choices in _choices(kind, 1, share)]},
        space={"name": "fakes.faulty_space", "share": share},
        evaluator={"name": "training", "epochs": 2},
        executor={"name": "processes", "workers": 2, "timeout_seconds": 3.0},
    )
    status = search(spec, storage=storage, data_root=Path())
    assert (status.state, status.trials.ended) == ("finished", trials)
    check_exact(storage, "fake", trials)
    found: Counter[str] = Counter()
    for trial in Store(storage).trials("fake"):
        assert trial.architecture is not None
        fault = fault_of(trial.architecture, share)
        assert (trial.failure or {}).get("kind") == KINDS.get(fault)
        assert trial.state == ("failed" if fault else "complete")
        found[fault] += 1
    assert set(found) == {"", *KINDS}
    print(found)


def test_a_candidate_that_kills_its_driver_is_failed_in_the_end(storage: str) -> None:
    """Within the study's own process nothing protects it; after two deaths it runs apart."""
    start = [*_choices("", 2, 0.1), *_choices("exit", 1, 0.1), *_choices("nan", 1, 0.1)]
    spec = fake_spec(
        4,
        study={"start": start},
        space={"name": "fakes.faulty_space", "share": 0.1},
        evaluator={"name": "training", "epochs": 2},
    )
    codes = []
    while not codes or codes[-1] == STATUS:
        child = multiprocessing.get_context("fork").Process(target=go, args=(spec, storage, None))
        child.start()
        child.join()
        codes.append(child.exitcode)
    assert codes == [STATUS, STATUS, 0]
    check_exact(storage, "fake", 4)
    kinds = [(t.failure or {}).get("kind") for t in Store(storage).trials("fake")]
    assert kinds == [None, None, "crash", "divergence"]
