"""What a driver writes: to its own trials alone, each ended once, in the order of their ends."""

from pathlib import Path

import numpy as np
import pytest
from fakes import space
from fakes.studies import fake_spec

from evaluators import Evaluation
from nas.store import Store
from nas.store.ledger import Ledger
from nas.store.owned import Ending
from nas.store.patience import Patience
from nas.store.study_run import TakenOverError
from nas.store.twin import Twin
from nas.study import search

SPACE = space.build(None)
ENDING = Ending("complete", metrics={"val_accuracy": 0.5}, epochs=9)


@pytest.fixture
def store(storage: str) -> Store:
    """With a study that has ended four trials."""
    search(fake_spec(4), storage=storage, data_root=Path())
    return Store(storage)


def ledger_of(store: Store, *, join: bool = False) -> Ledger:
    twin = Twin(store, "fake", SPACE, {"val_accuracy": "maximize"})
    return Ledger(store, "fake", twin, Patience(print), join=join)


def begun(ledger: Ledger, trials: int) -> list[int]:
    """The ordinals of so many trials, proposed and under way."""
    reserved = ledger.reserve(trials, None)
    for one in reserved:
        architecture = SPACE.sample(np.random.default_rng(one.ordinal))
        assert ledger.propose(one, architecture, {}, unique=False) is None
    return [one.ordinal for one in reserved]


def test_a_record_is_read_in_the_order_in_which_trials_ended(store: Store) -> None:
    ledger = ledger_of(store)
    first, *rest = begun(ledger, 4)
    order = [*reversed(rest), first]
    seqs = [ledger.end(ordinal, ENDING).seq for ordinal in order]
    assert seqs == [4, 5, 6, 7]
    assert [trial.number for trial in ledger.ended_after(3)] == order
    assert [trial.number for trial in ledger.ended_after(5)] == order[2:]


def test_what_has_just_ended_is_what_is_read_later(store: Store) -> None:
    """To the type: 0.0 is written, and an update in SQLite gives 0 back."""
    ledger = ledger_of(store)
    (ordinal,) = begun(ledger, 1)
    ended, (read,) = ledger.end(ordinal, ENDING), ledger.ended_after(3)
    assert ended == read
    kinds = {name: type(value) for name, value in vars(ended).items()}
    assert kinds == {name: type(value) for name, value in vars(read).items()}


def test_a_trial_is_ended_by_its_owner_alone_and_once(store: Store) -> None:
    mine, other = ledger_of(store), ledger_of(store, join=True)
    (ordinal,) = begun(mine, 2)[:1]
    before = store.trial("fake", ordinal)
    with pytest.raises(TakenOverError):
        other.end(ordinal, ENDING, Evaluation(9, {"val_accuracy": 0.5}))
    other.keep(ordinal, Evaluation(3), 1.0)
    assert store.trial("fake", ordinal) == before
    assert store.evaluations("fake", ordinal) == []
    assert mine.end(ordinal, ENDING).state == "complete"
    with pytest.raises(TakenOverError):
        mine.end(ordinal, ENDING)
    assert [trial.number for trial in mine.ended_after(3)] == [ordinal]
