"""benchmarks/overhead.py: both sides begin with the same record, and the counts are of each."""

from collections import Counter
from pathlib import Path
from typing import cast

import optuna
import overhead_measure as measure
import pytest
from overhead_record import NAME, Databases, Plain, filled
from trivial.evaluator import worth
from trivial.space import CHOICES, DECISIONS

from nas.store import Store

RECORD = 20


def test_trials_of_both_sides_are_told_apart(tmp_path: Path) -> None:
    """Ours grow our study and plain Optuna's its copy, and each has its own statements."""
    where = Databases(tmp_path)
    storage = where.new("ours")
    filled(storage, "evolution", RECORD)
    copy = where.copy(storage, "copy")
    sides = {"plain": Plain(copy, optuna.samplers.RandomSampler(seed=0))}
    ours, plain = measure.interleaved(storage, measure.WARM + 2, sides)

    ended = [t for t in Store(storage).trials(NAME) if t.state == "complete"]
    assert len(ended) == RECORD + measure.WARM + 2
    study = optuna.load_study(study_name=NAME, storage=copy)
    assert len(study.trials) == len(ended), "the copy had our record, and as many more"
    ours_seen = optuna.load_study(study_name=NAME, storage=storage).trials
    assert [t.params for t in ours_seen[:RECORD]] == [t.params for t in study.trials[:RECORD]]
    assert ours_seen[-1].params != study.trials[-1].params
    assert len(ours.ms) == len(plain.ms) == measure.WARM + 2
    assert 1 <= ours.typical("commits") < plain.typical("commits")
    # A parameter is a statement and a commit of plain Optuna's.
    assert plain.typical("commits") >= DECISIONS
    assert ours.typical("statements") < plain.typical("statements")


def test_only_what_is_read_or_written_is_counted(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'nas.db'}")
    counts: Counter[str] = Counter()
    with measure.counted(counts):
        with store.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE other (n INTEGER)")
            connection.exec_driver_sql("INSERT INTO other VALUES (1)")
        with store.reading() as connection:
            assert connection.exec_driver_sql("SELECT n FROM other").scalar() == 1
    assert counts == {"commits": 1, "statements": 2}
    with store.writing() as connection:
        connection.exec_driver_sql("INSERT INTO other VALUES (2)")
    assert counts == {"commits": 1, "statements": 2}, "nothing is counted afterwards"


def test_a_bound_is_on_what_lies_beyond() -> None:
    row = measure.beyond("case", "seconds", 1.4, 1.0, 0.5)
    assert (row["value"], row["baseline"], row["ok"]) == (pytest.approx(0.4), 1.0, True)
    assert not measure.beyond("case", "seconds", 1.6, 1.0, 0.5)["ok"]


def test_architectures_are_worth_different_amounts() -> None:
    low = cast("dict[str, object]", {f"d{i}": 0 for i in range(DECISIONS)})
    high = dict.fromkeys(low, CHOICES - 1)
    assert 0 == worth(low) < worth({**low, "d3": 1}) < worth({**low, "d4": 1}) < worth(high) < 1
