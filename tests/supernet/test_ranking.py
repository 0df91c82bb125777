"""Training supernets alone, and measuring whether their slices rank."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from nas.cli import main
from nas.cli.supernet import verdict
from nas.spec import SpecError, StudySpec, spec_from_mapping
from nas.store import Store
from nas.store.housekeeping import delete_study
from nas.store.rankings import stored_ranking
from nas.study import search
from nas.supernet._agreement import Agreement, agreement, ceiling
from nas.supernet.ranking import Ranking, rank
from nas.supernet.training import train
from search_spaces import UsageError

SPACE = {
    "name": "gnn",
    "depth": [1, 2],
    "operators": ["linear", "gcn"],
    "width": [4, 8],
    "activation": ["relu", "tanh"],
    "normalization": ["none"],
    "connectivity": ["plain"],
    "pre_layers": [0],
    "post_layers": [0],
}
INHERITED = {"name": "inherited", "epochs": 3, "steps": 2, "samples": 12, "alone_epochs": 4}
VALUES = st.lists(st.floats(0, 1, width=16), min_size=10, max_size=20)


def spec_of(name: str = "net", **tables: Any) -> StudySpec:
    given = {
        "study": {"name": name, "objectives": {"val_accuracy_foreseen": "maximize"}},
        "space": SPACE,
        "dataset": {"name": "fakes.product"},
        "evaluator": INHERITED,
        "budget": {"trials": 3},
    }
    return spec_from_mapping({**given, **tables})


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'nas.db'}"
    monkeypatch.setenv("NAS_STORAGE", url)
    return url


def status(name: str) -> Result:
    return CliRunner().invoke(main, ["status", name, "--format", "json"])


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["supernet", *arguments])


def test_a_supernet_is_trained_before_the_first_trial_and_no_further(storage: str) -> None:
    """The same again does nothing; a search then goes on from it."""
    for _ in range(2):
        status = train(spec_of(), storage=storage, data_root=Path())
        assert (status.trials.ended, status.state, status.reason) == (0, "stopped", "prepared")
    (record,) = Store(storage).status("net").preparations
    assert (record.epoch, record.epochs) == (3, 3)
    assert len(Store(storage).prepared_epochs("net", record.key)) == 3


def test_another_file_of_the_same_name_is_refused(storage: str) -> None:
    """With the table in which it differs; another budget is no other file."""
    train(spec_of(), storage=storage, data_root=Path())
    train(spec_of(budget={"trials": 9}), storage=storage, data_root=Path())
    other = spec_of(evaluator={**INHERITED, "epochs": 4})
    with pytest.raises(SpecError, match=r'mine.toml: study "net" is there, with another \[eval'):
        train(other, storage=storage, data_root=Path(), where="mine.toml")


def test_a_study_without_a_supernet_is_refused_and_not_stored(storage: str) -> None:
    usual = spec_of(
        study={"name": "net", "objectives": {"val_accuracy": "maximize"}},
        evaluator={"name": "training", "epochs": 2},
    )
    with pytest.raises(SpecError, match='"training" has no supernet to train; expected "inh'):
        train(usual, storage=storage, data_root=Path())
    assert Store(storage).studies() == []
    search(usual, storage=storage, data_root=Path())
    with pytest.raises(UsageError, match='the evaluator "training", which slices no supernet'):
        rank("net", storage=storage, data_root=Path(), architectures=10, seeds=2)


def test_what_is_not_trained_yet_is_not_ranked(storage: str) -> None:
    """Nor with too few architectures or seeds to say anything."""
    train(spec_of(), storage=storage, data_root=Path())
    for few in ({"architectures": 9}, {"seeds": 1}):
        wanted = {"architectures": 10, "seeds": 2, **few}
        with pytest.raises(UsageError, match="expected 10 architectures and 2 seeds or more"):
            rank("net", storage=storage, data_root=Path(), **wanted)
    with pytest.raises(UsageError, match='no study "other"'):
        rank("other", storage=storage, data_root=Path())


def test_a_ranking_is_recorded_and_its_trainings_are_studies(storage: str) -> None:
    """Repeated, nothing is trained anew; the command prints the same."""
    train(spec_of(), storage=storage, data_root=Path())
    given: dict[str, Any] = {"architectures": 12, "seeds": 2, "short_epochs": 2}
    ranking = rank("net", storage=storage, data_root=Path(), **given)
    assert [a.measure for a in ranking.agreements] == [
        "slice",
        "read_out",
        "foreseen",
        "short",
        "ceiling",
    ]
    assert (ranking.architectures, ranking.drawn, ranking.metric) == (12, 12, "val_accuracy")
    assert -1 <= ranking.held_out_tau <= 1
    store = Store(storage)
    assert stored_ranking(store, "net") == ranking.to_json()
    names = {study.name for study in store.studies()}
    assert names == {"net", "net-alone-0", "net-alone-1", "net-alone-short-2"}
    alone = {t.architecture.key: t.metrics for t in store.trials("net-alone-0") if t.architecture}
    assert len(alone) == 12
    assert store.spec("net-alone-1")["evaluator"]["name"] == "training"

    train(spec_of("other"), storage=storage, data_root=Path())
    seconds = store.status("net-alone-0").seconds
    arguments = ("--architectures", "12", "--seeds", "2", "--short-epochs", "2")
    result = invoked("rank", "net", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == ranking.to_json()
    assert store.status("net-alone-0").seconds == seconds
    table = invoked("rank", "net", *arguments).stdout
    assert "another seed alone (ceiling)" in table
    assert verdict(ranking) in table

    assert "ranking" not in json.loads(status("other").stdout)
    assert json.loads(status("net").stdout)["ranking"] == ranking.to_json()


def test_other_numbers_of_architectures_share_what_is_trained(storage: str) -> None:
    """Fewer or more than before: what is in the record already is not trained again."""
    train(spec_of(), storage=storage, data_root=Path())
    for count in (10, 12):
        given: dict[str, Any] = {"architectures": count, "seeds": 2, "short_epochs": 2}
        rank("net", storage=storage, data_root=Path(), **given)
    trials = {t.number: t for t in Store(storage).trials("net-alone-0-of-12")}
    assert len(trials) == 12
    assert sum(trial.seconds > 0 for trial in trials.values()) == 2
    kept = {t.architecture.key for t in Store(storage).trials("net-alone-0") if t.architecture}
    assert {t.architecture.key for t in trials.values() if t.architecture and not t.seconds} == kept


def test_a_killed_training_goes_on(storage: str) -> None:
    """By the same command, which says what to do next."""
    spec = Path(storage.removeprefix("sqlite:///")).parent / "net.toml"
    lines = [
        '[study]\nname = "net"\nobjectives = { val_accuracy_foreseen = "maximize" }',
        '[space]\nname = "gnn"\ndepth = [1, 2]\noperators = ["gcn", "linear"]\nwidth = [4, 8]',
        '[dataset]\nname = "fakes.product"',
        '[evaluator]\nname = "inherited"\nepochs = 3\nsteps = 1\nsamples = 10',
        "[budget]\ntrials = 2",
    ]
    spec.write_text("\n".join(lines))
    result = invoked("train", str(spec))
    assert result.exit_code == 0, result.output
    assert "nas supernet rank net" in result.stderr
    assert result.stdout == ""
    wrong = invoked("train", str(spec), "--set", 'space.operators=["gcn", "skip"]')
    assert wrong.exit_code == 2


@settings(max_examples=15)
@given(VALUES, st.randoms(use_true_random=False))
def test_agreement_is_kendalls_tau(values: list[float], random: Any) -> None:
    """1 with itself, -1 upside down, 0 where all are equal; within its interval's bounds."""
    other = random.sample(values, len(values))
    found = agreement("slice", other, values)
    expected = kendalltau(other, values).statistic
    assert found.kendall == pytest.approx(0 if np.isnan(expected) else expected)
    assert -1 <= found.interval[0] <= found.interval[1] <= 1
    if len(set(values)) == len(values):
        assert agreement("slice", values, values).kendall == pytest.approx(1)
        assert agreement("slice", [-v for v in values], values).kendall == pytest.approx(-1)
    assert agreement("slice", [0.5] * len(values), values).kendall == 0


def test_the_ceiling_is_the_mean_over_pairs_of_seeds() -> None:
    rng = np.random.default_rng(0)
    runs = rng.random((3, 12)).tolist()
    pairs = [agreement("", runs[i], runs[j]).kendall for i, j in ((0, 1), (0, 2), (1, 2))]
    assert ceiling(runs).kendall == pytest.approx(np.mean(pairs))


def test_what_is_enough_follows_the_ceiling() -> None:
    """0.6, or 0.8 of the ceiling where that is lower; the sentence says which it is."""

    def of(foreseen: float, top: float, low: float = 0.1) -> Ranking:
        measured = {"foreseen": foreseen, "ceiling": top}
        agreements = tuple(Agreement(m, tau, (low, 1.0), tau) for m, tau in measured.items())
        return Ranking("net", 12, 12, 2, 4, 2, "val_accuracy", 0.5, agreements)

    assert of(0.61, 0.95).is_enough
    assert not of(0.59, 0.95).is_enough
    assert of(0.41, 0.5).is_enough
    assert verdict(of(0.41, 0.5)).startswith("trust")
    assert verdict(replace(of(0.39, 0.5))).startswith("do not trust")
    # Where training alone is chance, nothing follows from agreeing with it.
    chance = of(-0.2, -0.3, low=-0.5)
    assert not chance.is_enough
    assert not of(0.2, 0.1, low=-0.2).is_enough
    assert "does not agree with itself" in verdict(chance)


def test_what_was_trained_alone_for_another_dataset_is_not_taken(storage: str) -> None:
    """A study may be deleted, and another made of its name; what was beside it is still there."""
    given: dict[str, Any] = {"architectures": 10, "seeds": 2, "short_epochs": 1}
    train(spec_of(), storage=storage, data_root=Path())
    rank("net", storage=storage, data_root=Path(), **given)
    delete_study(Store(storage), "net")
    other = spec_of(dataset={"name": "fakes.product", "nodes": 270})
    train(other, storage=storage, data_root=Path())
    with pytest.raises(UsageError, match=r"other architectures or options \(\[dataset\]\)"):
        rank("net", storage=storage, data_root=Path(), **given)
