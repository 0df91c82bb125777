"""The front measured on its device when a search has ended, and repaired from the record."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes.device import timing, write_profile
from fakes.studies import fake_spec

import nas as api
from evaluators.latency.values import Timing
from nas.cli import main
from nas.latency import remeasure as module
from nas.latency.remeasure import remeasure
from nas.record import Progress, TrialRecord
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import SpecError, StudySpec
from nas.store import Store
from nas.store.checking import check
from nas.store.exporting import export_study
from nas.store.housekeeping import delete_study
from nas.store.importing import import_study
from nas.store.latencies import store_latencies
from nas.study import resume, search
from search_spaces import Architecture, UsageError

TWO = {"val_accuracy": "maximize", "latency_ms": "minimize"}
Say = Callable[[str], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("devices")
    write_profile(folder)
    write_profile(folder, name="board", elsewhere=True)
    return folder


@pytest.fixture(autouse=True)
def _devices(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DEVICES", str(made))


def spec_of(trials: int = 24, *, measured: bool = False, **tables: Any) -> StudySpec:
    latency = {"device": "here", "remeasure": measured, **tables.pop("latency", {})}
    study = {"objectives": TWO, **tables.pop("study", {})}
    return fake_spec(trials, study=study, latency=latency, **tables)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Path:
    """A database with a finished study, of which nothing is measured."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_DEVICES", str(made))
        spec = spec_of(study={"constraints": ["latency_ms <= 0.25"]})
        search(spec, storage=f"sqlite:///{folder / 'nas.db'}", data_root=Path())
    return folder


@pytest.fixture
def store(searched: Path, tmp_path: Path) -> Store:
    shutil.copytree(searched, tmp_path / "of")
    return Store(f"sqlite:///{tmp_path / 'of' / 'nas.db'}")


class Bench:
    """In place of a device: times by a rule, and keeps what was asked of it."""

    def __init__(self, rule: Callable[[float], float], noisy: bool = False) -> None:
        self._rule, self._noisy = rule, noisy
        self.asked: list[list[str]] = []

    def __call__(self, setup: Setup, architectures: Sequence[Architecture]) -> list[Timing]:
        self.asked.append([architecture.key for architecture in architectures])
        predicted = [setup.facts(a)["latency_ms"] for a in architectures]
        return [timing(self._rule(ms), noisy=self._noisy) for ms in predicted]


def measured(store: Store, bench: Any) -> list[str]:
    """Measure the front of the study; returns what was said."""
    said: list[str] = []
    setup = set_up(StudySpec.from_json(store.spec("fake")), Path())
    remeasure(store, setup, said.append, bench)
    return said


def numbers(front: Sequence[TrialRecord]) -> list[int]:
    return [trial.number for trial in front]


def values(trial: TrialRecord) -> tuple[float, float]:
    return trial.settled["val_accuracy"], trial.settled["latency_ms"]


class TestRepair:
    def test_where_measurements_agree_nothing_changes(self, store: Store) -> None:
        before = numbers(store.front("fake"))
        bench = Bench(lambda ms: ms)
        said = measured(store, bench)
        assert numbers(store.front("fake")) == before
        assert [len(keys) for keys in bench.asked] == [len(before)]
        assert said[-1] == "the front as measured: no other than predicted"
        assert numbers(store.fronts("fake"))[: len(before)] == before

    def test_what_breaks_the_bound_when_measured_leaves_the_front(self, store: Store) -> None:
        """The slower half of what is feasible takes three times as long as predicted."""
        before = store.front("fake")
        slow = {t.number for t in before if t.metrics["latency_ms"] > 0.14}
        assert slow
        assert len(slow) < len(before)
        said = measured(store, Bench(lambda ms: 3 * ms if ms > 0.14 else ms))
        after = store.front("fake")
        assert slow.isdisjoint(numbers(after))
        assert all(trial.measured for trial in after)
        assert all(trial.settled["latency_ms"] <= 0.25 for trial in after)
        plural = "s" * (len(slow) != 1)
        assert f"trial{plural} {', '.join(map(str, sorted(slow)))} left it" in said[-1]
        # Not on any later front either; what ended is as it was.
        assert slow.isdisjoint(numbers(store.fronts("fake")))
        assert {store.trial("fake", n).state for n in slow} == {"complete"}

        one, kept = min(slow), after[0].number
        shown = CliRunner().invoke(main, ["show", "fake", str(one), "--storage", store.storage])
        assert "\nbreaks        latency_ms <= 0.25 as measured\n" in shown.stdout
        assert re.search(r"\n  noisy +no\n", shown.stdout)
        assert "energy_mj" not in shown.stdout
        lines = CliRunner().invoke(main, ["trials", "fake", "--storage", store.storage]).stdout
        head, *rows = lines.splitlines()
        assert "measured_latency_ms" in head
        marked = {int(row.split()[0]) for row in rows if ", breaks a bound" in row}
        assert slow <= marked
        assert kept not in marked
        assert all(store.trial("fake", n).settled["latency_ms"] > 0.25 for n in marked)

    def test_the_best_values_are_of_trials_that_keep_their_bounds(self, store: Store) -> None:
        predicted = store.status("fake").best
        best = store.front("fake")[0]
        assert predicted["val_accuracy"] == best.metrics["val_accuracy"]
        store_latencies(store, "fake", {best.number: timing(9.0).to_json()})
        found, front = store.status("fake").best, store.front("fake")
        assert found["val_accuracy"] == max(values(t)[0] for t in front)
        assert found == {metric: front[0].settled[metric] for metric in found}
        assert found["val_accuracy"] < predicted["val_accuracy"]

    def test_what_is_noisy_is_shown_and_counts_as_its_prediction(self, store: Store) -> None:
        """It is measured again by the next run; the control is quiet, and breaks the bound."""
        before = store.front("fake")
        said = measured(store, Bench(lambda ms: 100 * ms, noisy=True))
        assert numbers(store.front("fake")) == numbers(before)
        assert [t.settled for t in store.front("fake")] == [t.metrics for t in before]
        assert all(t.measured["latency_ms"] > 0.25 for t in store.front("fake"))
        (line,) = [text for text in said if "too busy" in text]
        assert "predictions count for them; measure again with: nas resume fake" in line
        again = Bench(lambda ms: 100 * ms)
        measured(store, again)
        assert {t.architecture.key for t in before if t.architecture} <= {
            key for keys in again.asked for key in keys
        }
        assert not set(numbers(before)) & set(numbers(store.front("fake")))

    def test_a_device_that_is_slower_throughout_changes_nothing(self, store: Store) -> None:
        """Those that are not measured would be slower too; the control is one that is not."""
        before = numbers(store.front("fake"))
        bench = Bench(lambda ms: 1.1 * ms)
        measured(store, bench)
        assert numbers(store.front("fake")) == before
        assert sum(map(len, bench.asked)) == len(before)

    def test_recipes_share_what_is_measured_of_their_network(
        self, store: Store, storage: str
    ) -> None:
        options = {"kinds": ["plain"], "widths": [4], "levels": 2}
        search(spec_of(8, space=options), storage=storage, data_root=Path())
        store = Store(storage)
        bench = Bench(lambda ms: ms)
        measured(store, bench)
        (front,) = store.front("fake")
        assert sum(map(len, bench.asked)) == 1
        assert front.architecture is not None
        for trial in store.trials("fake"):
            assert trial.architecture is not None
            same = trial.architecture.structure_key == front.architecture.structure_key
            assert bool(trial.measured) == same
        assert sum(bool(trial.measured) for trial in store.trials("fake")) == 2

    def test_others_take_the_place_of_what_is_dominated(self, store: Store) -> None:
        """The first ones measured are slower than all others; these come forward, and are
        measured, until what is on the front is."""
        first = {t.architecture.key for t in store.front("fake") if t.architecture}

        class Biased(Bench):
            def __call__(self, setup: Setup, architectures: Sequence[Architecture]) -> list[Timing]:
                self.asked.append([a.key for a in architectures])
                return [timing(0.2 if a.key in first else 0.05) for a in architectures]

        bench = Biased(lambda ms: ms)
        said = measured(store, bench)
        front = store.front("fake")
        assert len(bench.asked) > 1
        assert all(trial.measured for trial in front)
        assert any(t.architecture.key not in first for t in front if t.architecture)
        assert "joined it" in said[-1]
        keys = [key for asked in bench.asked for key in asked]
        assert len(set(keys)) == len(keys)
        # It is the front of what is known: nobody dominates, by what counts.
        for one in front:
            for other in store.fronts("fake"):
                better = values(other)[0] >= values(one)[0] and values(other)[1] <= values(one)[1]
                assert not better or values(other) == values(one)

    def test_it_ends_after_some_fronts_and_says_so(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is measured turns out slower than what is not; the control has time for that."""
        monkeypatch.setattr(module, "LEAST", 1)
        monkeypatch.setattr(module, "MOST", 1)
        first = len(store.front("fake"))
        bench = Bench(lambda ms: 0.24 + ms / 100)
        said = measured(store, bench)
        asked = sum(map(len, bench.asked))
        assert asked == first
        left = [t for t in store.front("fake") if not t.measured]
        assert left
        assert f"of the front are not measured, {asked} were" in said[-1]
        monkeypatch.setattr(module, "LEAST", 24)
        measured(store, bench)
        assert all(trial.measured for trial in store.front("fake"))

    def test_what_cannot_be_measured_is_told_and_left(self, store: Store) -> None:
        def bench(setup: Setup, architectures: Sequence[Architecture]) -> list[Timing | str]:
            found: list[Timing | str] = [
                timing(setup.facts(a)["latency_ms"]) for a in architectures
            ]
            return ["no compiler", *found[1:]]

        before = store.front("fake")
        said = measured(store, bench)
        assert said[1] == f"warning: trial {before[0].number} was not measured: no compiler"
        assert [bool(t.measured) for t in store.front("fake")] == [False] + [True] * (
            len(before) - 1
        )


class TestRecord:
    def test_it_is_kept_and_only_what_is_missing_is_measured(self, store: Store) -> None:
        front = store.front("fake")
        kept = timing(front[0].metrics["latency_ms"])
        store_latencies(store, "fake", {front[0].number: kept.to_json()})
        bench = Bench(lambda ms: ms)
        measured(store, bench)
        assert sum(map(len, bench.asked)) == len(front) - 1
        store_latencies(store, "fake", {front[0].number: timing(99.0).to_json()})
        assert store.trial("fake", front[0].number).measured == kept.to_json()
        again = Bench(lambda ms: ms)
        measured(store, again)
        assert again.asked == []

    def test_it_moves_with_its_study_is_checked_and_goes_with_it(
        self, store: Store, database: str
    ) -> None:
        measured(store, Bench(lambda ms: 0.9 * ms))
        lines: list[str] = []

        class File:
            write = staticmethod(lines.append)

        counts = export_study(store, "fake", File())  # type: ignore[arg-type]
        assert counts["latency"] == len([t for t in store.trials("fake") if t.measured]) > 0
        other = Store(database)
        import_study(other, lines, "a file")
        again: list[str] = []
        File.write = staticmethod(again.append)
        export_study(other, "fake", File())  # type: ignore[arg-type]
        assert again == lines
        assert numbers(other.front("fake")) == numbers(store.front("fake"))
        assert other.trials("fake")[0].measured == store.trials("fake")[0].measured
        with other.writing() as connection:
            connection.exec_driver_sql("UPDATE nas_latencies SET ordinal = ordinal + 1000")
        (record,) = [f for f in check(database) if f.verdict == "wrong"]
        assert record.check == "record"
        assert "measured latencies have no trial" in record.found
        delete_study(other, "fake")
        with other.reading() as connection:
            left = connection.exec_driver_sql("SELECT count(*) FROM nas_latencies").scalar_one()
        assert left == 0

    def test_a_kill_in_the_middle_loses_nothing_that_was_measured(self, store: Store) -> None:
        """Killed in its second batch: the first is there, and the next run measures the rest."""
        code = (
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from fakes.device import timing\n"
            "from nas.latency import remeasure as module\n"
            "from nas.setting_up import set_up\n"
            "from nas.spec import StudySpec\n"
            "from nas.store import Store\n"
            "store = Store(sys.argv[1])\n"
            "setup = set_up(StudySpec.from_json(store.spec('fake')), Path())\n"
            "module.TOGETHER = 1\n"
            "asked = []\n"
            "def bench(setup, architectures):\n"
            "    asked.append(architectures)\n"
            "    if len(asked) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return [timing(setup.facts(a)['latency_ms']) for a in architectures]\n"
            "module.remeasure(store, setup, print, bench)\n"
        )
        front = store.front("fake")
        assert len(front) > 1
        killed = subprocess.run([sys.executable, "-c", code, store.storage], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert [t.number for t in store.front("fake") if t.measured] == [front[0].number]
        bench = Bench(lambda ms: ms)
        measured(store, bench)
        assert sum(map(len, bench.asked)) == len(front) - 1
        assert all(t.measured for t in store.front("fake"))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """In place of this machine, for studies that measure by themselves."""
    bench = Bench(lambda ms: 1.01 * ms, noisy=True)
    monkeypatch.setattr(module, "measured", bench)
    return bench


class TestStudy:
    def test_the_progress_of_a_longer_run_has_its_target(self, storage: str) -> None:
        search(fake_spec(2), storage=storage, data_root=Path())
        told: list[Progress] = []
        resume("fake", storage=storage, data_root=Path(), trials=4, progress=told.append)
        assert {p.status.target for p in told} == {4}

    def test_a_finished_search_measures_its_front_and_shows_both(
        self, storage: str, bench: Bench, tmp_path: Path
    ) -> None:
        status = search(spec_of(12, measured=True), storage=storage, data_root=Path())
        assert (status.state, status.drivers) == ("finished", 0)
        front = Store(storage).front("fake")
        assert all(trial.measured for trial in front)
        said = CliRunner().invoke(main, ["front", "fake", "--storage", storage]).stdout
        head = said.splitlines()[0].split()
        assert head[1:5] == ["val_accuracy", "latency_ms", "measured_latency_ms", "noisy"]
        shown = CliRunner().invoke(
            main, ["front", "fake", "--storage", storage, "--format", "json"]
        )
        rows: list[Mapping[str, Any]] = json.loads(shown.stdout)
        for row, trial in zip(rows, front, strict=True):
            assert row["measured_latency_ms"] == trial.measured["latency_ms"]
            assert row["measured_latency_ms"] == pytest.approx(1.01 * row["metrics"]["latency_ms"])
            assert row["noisy"] is True
        one = ["show", "fake", str(front[0].number), "--storage", storage]
        assert "\nmeasured\n  latency_ms " in CliRunner().invoke(main, one).stdout
        study = api.Study("fake", storage=storage, data_root=tmp_path)
        assert study.front() == front
        frame = study.to_frame()
        assert frame["measured_latency_ms"].notna().sum() == len(front)

    def test_without_predictions_a_front_has_no_such_columns(self, storage: str) -> None:
        search(fake_spec(3), storage=storage, data_root=Path())
        shown = CliRunner().invoke(
            main, ["front", "fake", "--storage", storage, "--format", "json"]
        )
        (row,) = json.loads(shown.stdout)
        assert list(row) == ["trial", "architecture", "decisions", "metrics"]

    def test_resuming_a_finished_study_measures_what_is_missing(
        self, storage: str, bench: Bench
    ) -> None:
        search(spec_of(12), storage=storage, data_root=Path())
        assert bench.asked == []
        resume("fake", storage=storage, data_root=Path())
        assert bench.asked == []  # remeasure = false
        study = api.Study("fake", storage=storage)
        front = study.remeasure()
        assert all(trial.measured for trial in front)
        asked = len(bench.asked)
        assert study.remeasure() == front
        assert len(bench.asked) == asked + 1  # they were noisy

        search(
            spec_of(12, measured=True, study={"name": "other"}), storage=storage, data_root=Path()
        )
        with Store(storage).writing() as connection:
            connection.exec_driver_sql("DELETE FROM nas_latencies")
        status = resume("other", storage=storage, data_root=Path())
        assert status.state == "finished"
        assert all(trial.measured for trial in Store(storage).front("other"))

    def test_one_of_another_device_is_not_measured_and_says_why(
        self, storage: str, bench: Bench
    ) -> None:
        said: list[str] = []
        spec = spec_of(4, measured=True, latency={"device": "board", "accept_device": True})
        search(spec, storage=storage, data_root=Path(), progress=lambda p: said.append(p.message))
        assert bench.asked == []
        (line,) = [text for text in said if text.startswith("the front is not measured")]
        assert 'the profile "board" is of a board, this is ' in line
        with pytest.raises(UsageError, match='cannot be measured here: the profile "board"'):
            api.Study("fake", storage=storage).remeasure()

    def test_one_without_latency_cannot_be_measured(self, storage: str) -> None:
        search(fake_spec(2), storage=storage, data_root=Path())
        with pytest.raises(SpecError, match=r"has no \[latency\]"):
            api.Study("fake", storage=storage).remeasure()

    def test_ctrl_c_meanwhile_leaves_a_finished_study(
        self, storage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stopped(setup: Setup, architectures: Sequence[Architecture]) -> list[Timing]:
            os.kill(os.getpid(), signal.SIGINT)
            return []

        monkeypatch.setattr(module, "measured", stopped)
        with pytest.raises(KeyboardInterrupt):
            search(spec_of(6, measured=True), storage=storage, data_root=Path())
        status = Store(storage).status("fake")
        assert (status.state, status.drivers) == ("finished", 0)
        monkeypatch.setattr(module, "measured", Bench(lambda ms: ms))
        resume("fake", storage=storage, data_root=Path())
        assert all(trial.measured for trial in Store(storage).front("fake"))


def test_networks_are_timed_on_this_machine(store: Store) -> None:
    """Untrained ones, in one go; how long they take is nobody's business here."""
    setup = set_up(StudySpec.from_json(store.spec("fake")), Path())
    first, second = [t.architecture for t in store.front("fake") if t.architecture][:2]
    broken = set_up(fake_spec(1, space={"kinds": ["broken"]}), Path()).space
    bad = next(iter(broken))
    found = module.measured(setup, [first, bad, second])
    assert [type(one) for one in found] == [Timing, str, Timing]
    assert "a broken kind of layer" in str(found[1])
    assert all(one.latency_ms > 0 for one in found if isinstance(one, Timing))
