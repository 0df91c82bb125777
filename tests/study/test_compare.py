"""Comparisons: a run is a study, seeds are paired, sums are right, nothing is done twice."""

import math
import os
import re
import shlex
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fakes.studies import PREPARED, SMALL_POPULATION, TWO_OBJECTIVES, fake_spec
from fakes.table import worth

from nas import api
from nas.compare import (
    Bench,
    Comparison,
    ComparisonError,
    Run,
    Standing,
    Step,
    compare,
    entrants,
    holm,
    paired_interval,
    run_one,
)
from nas.setting_up import set_up
from nas.spec import StudySpec, spec_from_mapping
from nas.store import Store
from nas.strategies import Finished, Objective
from nas.study import search
from search_spaces import UsageError, plugins

ACCURACY = (Objective("val_accuracy", "maximize"),)
PAIR = {"val_accuracy": "maximize", "latency_ms": "minimize"}


def table_spec(strategy: str = "random", **tables: Any) -> StudySpec:
    """A study of hashes over 32 architectures that random search draws evenly."""
    spec: dict[str, dict[str, Any]] = {
        "study": {"name": "hashes"},
        "space": {"name": "fakes.space", "kinds": ["plain"], "levels": 2},
        "strategy": {"name": strategy, **SMALL_POPULATION.get(strategy, {})},
        "evaluator": {"name": "fakes.table"},
        "budget": {"trials": 20},
    }
    return spec_from_mapping({t: {**spec.get(t, {}), **tables.get(t, {})} for t in spec | tables})


def bench_of(spec: StudySpec, folder: Path) -> Bench:
    setup = set_up(spec, Path())
    dataset = setup.sealed((folder / "dataset").as_uri())
    return Bench(setup, dataset, (folder / "checkpoints").as_uri())


def run_of(values: list[float], strategy: str = "random", seed: int = 0) -> Run:
    """A run that found these values, each better than the one before, one a trial."""
    steps = tuple(Step(i, (-v,), f"{v}") for i, v in enumerate(values))
    return Run(strategy, seed, ACCURACY, len(values), steps)


class TestRunIsAStudy:
    @pytest.mark.parametrize(
        ("strategy", "batch"),
        [(name, 1) for name in (*plugins.names("strategy"), "fakes.heir")]
        + [(name, 4) for name in ("evolution", "linas", "fakes.heir", "fakes.witness")],
    )
    def test_trial_by_trial(self, strategy: str, batch: int, storage: str, tmp_path: Path) -> None:
        """Architectures, outcomes and losses, with candidates that fail and break bounds."""
        spec = fake_spec(
            18,
            strategy,
            study={"seed": 3, "batch": batch, "constraints": ["params <= 60", "val_loss <= 0.95"]},
            space={"kinds": ["plain", "wide", "broken"]},
            evaluator={"fail_when_a_is": [2], "nan_when_a_is": [5]},
        )
        search(spec, storage=storage, data_root=Path())
        trials = Store(storage).trials("fake")
        ended: list[Finished] = []
        bench = bench_of(spec.model_copy(), tmp_path)
        (entrant,) = (e for e in entrants([strategy], spec) if e.plugin.name == strategy)
        run = run_one(bench, entrant, 3, 18, ended.append)
        # What is prepared is charged, and leaves fewer trials than a study of as many has.
        assert (len(ended) < 18) == (strategy in PREPARED)
        trials = trials[: len(ended)]
        assert [(f.ordinal, f.architecture, f.outcome) for f in ended] == [
            (t.number, t.architecture, t.state) for t in trials
        ]
        values = [-f.losses[0] if f.losses else None for f in ended]
        assert values == [t.metrics.get("val_accuracy") for t in trials]
        assert [f.violation for f in ended] == [t.violation for t in trials]
        best = run.best_at(18)
        assert best is not None
        complete = [t.metrics["val_accuracy"] for t in trials if t.state == "complete"]
        assert -best.losses[0] == max(complete)
        assert run.failed == sum(t.state == "failed" for t in trials) > 0
        assert run.infeasible == sum(t.state == "infeasible" for t in trials)
        # linas proposes nothing that breaks a bound on what is known.
        assert run.infeasible > 0 or strategy == "linas"

    def test_batches_are_those_of_the_study_or_else_of_the_strategy(self, tmp_path: Path) -> None:
        found = {}
        for given in (None, 3):
            study = {"name": "hashes"} | ({"batch": given} if given else {})
            spec = table_spec(study=study)
            bench = bench_of(spec, tmp_path)
            for entrant in entrants(["random", "evolution", "fakes.witness"], spec):
                found[entrant.label, given] = bench.batch(entrant)
        assert found == {
            ("random", None): 8,
            ("evolution", None): 1,
            ("fakes.witness", None): 4,
            ("random", 3): 3,
            ("evolution", 3): 3,
            ("fakes.witness", 3): 3,
        }

    def test_inherited_weights(self, storage: str, tmp_path: Path) -> None:
        """Each trial starts from the weights that a study would give it."""
        logs = tmp_path / "study.log", tmp_path / "run.log"
        specs = [fake_spec(6, "fakes.heir", evaluator={"log": str(log)}) for log in logs]
        search(specs[0], storage=storage, data_root=Path())
        (heir,) = (e for e in entrants(["fakes.heir"], specs[1]) if e.plugin.name != "random")
        run_one(bench_of(specs[1], tmp_path), heir, 0, 6)
        assert logs[0].read_text() == logs[1].read_text()
        parents = [line.split()[3] for line in logs[1].read_text().splitlines()]
        assert [parent == "None" for parent in parents] == [True] + [False] * 5

    def test_a_shorter_run_is_the_beginning_of_a_longer_one(self, tmp_path: Path) -> None:
        spec = fake_spec(30, "evolution")
        bench = bench_of(spec, tmp_path)
        _, evolution = entrants(["evolution"], spec)
        short, long = (run_one(bench, evolution, 0, n) for n in (12, 30))
        assert short.steps == tuple(s for s in long.steps if s.trial < 12)

    def test_an_exhausted_space_ends_a_run(self) -> None:
        comparison = compare(table_spec(), ["evolution"], seeds=2, trials=100)
        assert {run.trials for runs in comparison.runs.values() for run in runs} == {32}
        row = comparison.rows([100])[1]
        assert row.difference_to_random == 0
        assert row.interval == (0, 0)
        assert row.p_holm == 1

    def test_ten_failures_at_once_stop_it(self) -> None:
        spec = fake_spec(20, evaluator={"fail_when_a_is": list(range(8))})
        with pytest.raises(ComparisonError, match=r"first 10 candidates .* the loss is nan"):
            compare(spec, ["random"], seeds=1)


class TestCharge:
    def test_a_seed_s_architectures_are_evaluated_once_and_charged_to_all(
        self, tmp_path: Path
    ) -> None:
        log = tmp_path / "log"
        spec = fake_spec(15, "evolution", evaluator={"log": str(log)})
        comparison = compare(spec, ["evolution"], seeds=2)
        assert [run.trials for runs in comparison.runs.values() for run in runs] == [15] * 4
        lines = log.read_text().splitlines()
        # The first six of evolution are those of random search with the same seed.
        assert len(lines) == len(set(lines)) <= 4 * 15 - 2 * 6
        assert {line.split()[1] for line in lines} == {"0", "1"}

    def test_random_is_always_there(self) -> None:
        for names in (["evolution"], ["evolution", "random"], ["random"]):
            comparison = compare(table_spec(), names, seeds=1, trials=3)
            assert comparison.baseline == "random"
            assert set(comparison.runs) == {"random", *names}

    def test_options_make_two_of_a_strategy(self) -> None:
        wanted = ["evolution:population=6:sample=3", "evolution:population=12"]
        comparison = compare(table_spec(), wanted, seeds=3)
        assert list(comparison.runs) == ["random", *wanted]
        assert comparison.runs[wanted[0]][0].steps != comparison.runs[wanted[1]][0].steps

    def test_the_study_file_configures_its_strategy(self) -> None:
        spec = table_spec("evolution")
        (_, own), (_, other) = (entrants([t], spec) for t in ("evolution", "evolution:sample=2"))
        assert dict(own.plugin.options) == {"population": 6, "sample": 3}
        assert dict(other.plugin.options) == {"population": 6, "sample": 2}
        assert len(entrants(["evolution", "evolution:population=6:sample=3"], spec)) == 2

    def test_a_list_as_an_option(self) -> None:
        with pytest.raises(UsageError, match=r"population: expected an integer >= 1, got \[1, 2\]"):
            entrants(["evolution:population=[1, 2]"], table_spec())


class TestSums:
    def test_random_has_the_mean_of_the_closed_form(self) -> None:
        """The best of n drawn without repetition from 32 values, over 300 seeds."""
        comparison = compare(table_spec(), ["random"], seeds=300, trials=12)
        space = set_up(table_spec(), Path()).space
        values = sorted(worth(a, "val_accuracy") for a in space)
        assert len(values) == 32
        for row in comparison.rows([1, 4, 12]):
            n = row.trials
            ways = [math.comb(i, n - 1) / math.comb(32, n) for i in range(32)]
            expected = sum(w * v for w, v in zip(ways, values, strict=True))
            assert row.mean is not None
            assert row.stderr is not None
            assert abs(row.mean - expected) < 4 * row.stderr
            assert row.stderr < 0.02
            # What it has on test is that of the best on validation, not the best on test.
            assert row.test_mean == pytest.approx(row.mean - 0.1)

    def test_a_planted_table(self) -> None:
        """Seeds differ by much and strategies by little: only pairs show it."""
        noise = [0.0, 0.3, 0.1, 0.5]
        gain = [0.01, 0.02, 0.03, 0.02]
        runs = {
            "random": [run_of([v / 2, v], seed=s) for s, v in enumerate(noise)],
            "better": [
                run_of([v / 2, v + g], "better", s)
                for s, (v, g) in enumerate(zip(noise, gain, strict=True))
            ],
        }
        first, last = (Comparison(ACCURACY, 2, runs, "random").rows([n])[1] for n in (1, 2))
        assert first.difference_to_random == 0
        assert last.mean == pytest.approx(0.225 + 0.02)
        assert last.stderr == pytest.approx(
            statistics.stdev([v + g for v, g in zip(noise, gain, strict=True)]) / 2
        )
        assert last.difference_to_random == pytest.approx(0.02)
        # t(3) at 97.5 % is 3.182446, the standard error sqrt(2/3)/2 of a hundredth.
        half = 3.182446 * math.sqrt(2 / 3) / 2 * 0.01
        assert last.interval == pytest.approx((0.02 - half, 0.02 + half))
        # 2 P(t(3) > 4.898979)
        assert last.p_holm == pytest.approx(0.016276, abs=1e-5)

    def test_no_difference_is_more_than_all(self) -> None:
        """Of accuracies: at most 1; one in percent has an interval as it comes."""
        gain = [0.3, 0.9]
        for unit, largest in ((1, 1.0), (100, 100 * (0.6 + 12.7062 * 0.3))):
            runs = {
                "random": [run_of([0.0], seed=s) for s in range(2)],
                "better": [run_of([unit * g], "better", s) for s, g in enumerate(gain)],
            }
            row = Comparison(ACCURACY, 1, runs, "random").rows()[1]
            assert row.interval is not None
            assert row.interval[1] == pytest.approx(largest, rel=1e-4)

    def test_the_interval_misses_as_often_as_it_says(self) -> None:
        """Of 2,000 comparisons of equally good ones, 5 % have an interval without 0."""
        rng = np.random.default_rng(0)
        missed = 0
        for _ in range(2000):
            interval, p = paired_interval(rng.normal(size=5).tolist())
            assert interval is not None
            assert p is not None
            assert (interval[0] > 0 or interval[1] < 0) == (p < 0.05)
            missed += p < 0.05
        assert 80 <= missed <= 120

    def test_equal_differences_prove_little(self) -> None:
        """Two seeds that differ alike, as on a table of coarse values, are no proof."""
        assert paired_interval([0.81 - 0.8, 0.71 - 0.7]) == (None, 0.5)
        assert paired_interval([0.02] * 10) == (None, 2 * 0.5**10)
        assert paired_interval([0.0, 0.0, 0.0]) == ((0.0, 0.0), 1.0)

    def test_holm(self) -> None:
        assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
        assert holm([]) == []
        assert holm([0.9, 0.8]) == [1.0, 1.0]

    def test_one_seed_has_no_spread(self) -> None:
        first, second = compare(table_spec(), ["evolution"], seeds=1).rows()
        assert first.difference_to_random is None
        assert second.difference_to_random is not None
        assert second.stderr is second.interval is second.p_holm is None

    def test_a_run_without_a_feasible_trial_has_no_mean(self) -> None:
        spec = table_spec(study={"constraints": ["latency_ms <= 0.05"]})
        comparison = compare(spec, ["evolution"], seeds=4, trials=32)
        one, all_of_them = (comparison.rows([n])[0] for n in (1, 32))
        assert one.mean is None
        assert one.without > 0
        assert all_of_them.mean is not None
        assert all_of_them.without == 0

    def test_several_objectives(self) -> None:
        """The volume of the front of all trials, up to the point that the table gives."""
        spec = table_spec(study={"objectives": PAIR})
        comparison = compare(spec, ["nsga2:population=6"], seeds=3, trials=32)
        assert comparison.reference == {"val_accuracy": 0.0, "latency_ms": 1.0}
        space = set_up(spec, Path()).space
        points = [(worth(a, "latency_ms"), worth(a, "val_accuracy")) for a in space]
        # Between one latency and the next larger one, the best accuracy at most as slow counts.
        exact, edge = 0.0, 1.0
        for latency, _ in sorted(points, reverse=True):
            exact += (edge - latency) * max(v for speed, v in points if speed <= latency)
            edge = latency
        for row in comparison.rows():
            assert row.mean == pytest.approx(exact)
            assert row.test_mean is None
        small = comparison.rows([5])
        assert all(row.mean is not None and row.mean < exact for row in small)
        point = {"val_accuracy": 0.5, "latency_ms": 0.5}
        given = compare(spec, ["random"], seeds=1, trials=32, reference=point)
        assert given.rows()[0].mean != pytest.approx(exact)

    def test_a_minimized_metric_keeps_its_direction(self) -> None:
        spec = table_spec(study={"objectives": {"latency_ms": "minimize"}})
        row = compare(spec, ["random"], seeds=2, trials=32).rows()[0]
        space = set_up(spec, Path()).space
        assert row.mean == min(worth(a, "latency_ms") for a in space)


class TestStored:
    def test_what_is_stored_is_not_run_again(self, storage: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        spec = fake_spec(8, evaluator={"log": str(log)})
        first = compare(spec, ["random"], seeds=2, storage=storage)
        count = len(log.read_text().splitlines())
        assert compare(spec, ["random"], seeds=2, storage=storage).rows() == first.rows()
        assert len(log.read_text().splitlines()) == count
        more = compare(spec, ["random"], seeds=3, storage=storage)
        assert list(more.runs["random"][:2]) == list(first.runs["random"])
        assert len(log.read_text().splitlines()) == count + 8

    def test_what_differs_is_another_comparison(self, storage: str) -> None:
        def rows() -> int:
            with closing(sqlite3.connect(storage.removeprefix("sqlite:///"))) as db:
                return int(db.execute("select count(*) from nas_comparisons").fetchone()[0])

        compare(table_spec(), ["evolution:population=6"], seeds=2, storage=storage)
        assert rows() == 4
        changes: list[dict[str, Any]] = [
            {"space": {"levels": 3}},
            {"evaluator": {"seconds": 1e-9}},
            {"study": {"constraints": ["latency_ms <= 0.9"]}},
            {"study": {"objectives": {"latency_ms": "minimize"}}},
            {"budget": {"trials": 21}},
        ]
        for number, change in enumerate(changes, start=2):
            compare(table_spec(**change), ["evolution:population=6"], seeds=2, storage=storage)
            assert rows() == 4 * number
        before = rows()
        compare(table_spec(), ["evolution:population=7"], seeds=2, storage=storage)
        assert rows() == before + 2
        compare(table_spec(study={"name": "other"}), ["random"], seeds=2, storage=storage)
        compare(table_spec(), ["evolution:population=6"], seeds=1, storage=storage)
        assert rows() == before + 2

    def test_changed_code_does_not_answer(
        self, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A strategy of one's own is edited, what it imports too, and keeps its name."""
        from nas.compare._source import source_digest

        monkeypatch.syspath_prepend(str(tmp_path))
        package = tmp_path / "mine"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "strategy.py").write_text("from mine import parts\nimport json\n")
        (package / "parts.py").write_text("A = 1\n")
        before = source_digest.__wrapped__("mine.strategy")
        assert source_digest.__wrapped__("mine.strategy") == before
        (package / "parts.py").write_text("A = 2\n")
        assert source_digest.__wrapped__("mine.strategy") != before

    def test_a_run_comes_back_as_it_was(self, storage: str) -> None:
        spec = table_spec(study={"objectives": PAIR})
        made = compare(spec, ["nsga2"], seeds=2, storage=storage)
        assert compare(spec, ["nsga2"], seeds=2, storage=storage) == made

    def test_several_processes_make_the_same_runs(self, storage: str) -> None:
        spec = fake_spec(12, "evolution", study={"objectives": dict(TWO_OBJECTIVES)})
        point = {"val_accuracy": 0.0, "params": 1000.0}
        standings: list[Any] = []
        alone, together = (
            compare(
                spec,
                ["evolution", "nsga2:population=6"],
                seeds=2,
                reference=point,
                workers=workers,
                progress=standings.append,
            )
            for workers in (1, 2)
        )
        assert alone.rows([4, 12]) == together.rows([4, 12])
        for label, runs in alone.runs.items():
            others = together.runs[label]
            assert [run.steps for run in runs] == [run.steps for run in others]
        assert standings[-1].done == standings[-1].wanted == 6
        assert standings[-1].share == 1

    def test_a_fault_in_a_worker_is_raised_here(self) -> None:
        spec = fake_spec(12, evaluator={"raise_when_a_is": [3]})
        with pytest.raises(RuntimeError, match="ZeroDivisionError: a fault of the program"):
            compare(spec, ["random"], seeds=2, workers=2)


STUDY = """
[study]
name = "hashes"
[space]
name = "fakes.space"
[evaluator]
name = "fakes.table"
seconds = 0.005
[budget]
trials = 60
"""


def _stored(folder: Path) -> dict[tuple[str, int], str]:
    """{(label, seed): trace} of the runs that the database has."""
    try:
        with closing(sqlite3.connect(f"file:{folder}/nas.db?mode=ro", uri=True)) as db:
            rows = db.execute("select label, seed, trace from nas_comparisons")
            return {(label, seed): trace for label, seed, trace in rows}
    except sqlite3.OperationalError:  # not made yet
        return {}


def test_killed_and_finished_is_as_uninterrupted(tmp_path: Path) -> None:
    """kill -9 of the command alone: its workers die, runs that had ended stay, the rest follows."""
    command = [sys.executable, "-m", "nas", "compare", "hashes.toml", "--seeds", "4"]
    command += ["--strategies", "evolution,nsga2", "--workers", "2"]
    (tmp_path / "hashes.toml").write_text(STUDY)
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(_stored(tmp_path)) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    kept = _stored(tmp_path)
    assert 3 <= len(kept) < 12
    wanted = {"seeds": 4, "strategies": ["evolution", "nsga2"]}
    whole = api.compare(tmp_path / "hashes.toml", **wanted, storage=None)
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    finished = api.compare(tmp_path / "hashes.toml", **wanted, storage=storage)
    assert finished.rows() == whole.rows()
    traces = [[[r.steps for r in runs] for runs in c.runs.values()] for c in (whole, finished)]
    assert traces[0] == traces[1]
    assert len(_stored(tmp_path)) == 12
    assert _stored(tmp_path) == _stored(tmp_path) | kept


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "hashes.toml").write_text(STUDY)
    command = [sys.executable, "-m", "nas", "compare", "hashes.toml", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--strategies", "evolution", "--seeds", "100"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not _stored(tmp_path):
        assert process.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "the same command goes on" in said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive


def test_checkpoints_are_gone_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one seed at a time are kept, in a folder that is gone with the comparison."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept: list[int] = []

    def count(standing: Standing) -> None:
        kept.append(len([f for f in tmp_path.rglob("checkpoints/**/*") if f.is_file()]))

    compare(fake_spec(4), ["evolution"], seeds=3, progress=count)
    assert kept[0] == 0
    assert max(kept) <= 8
    assert kept[-1] > 0
    assert not list(tmp_path.iterdir())


def test_the_python_twin(storage: str) -> None:
    tables = {"study": {"name": "a"}, "space": {"name": "fakes.space"}}
    tables["evaluator"] = {"name": "fakes.table"}
    comparison = api.compare(tables, ["evolution"], seeds=[4, 9], trials=5, storage=storage)
    assert [run.seed for run in comparison.runs["random"]] == [4, 9]
    with pytest.raises(UsageError, match="overrides"):
        api.compare(tables, ["evolution"], overrides=["study.seed=1"])
    for seeds in ([], [1, 1], [-1], 0):
        with pytest.raises(UsageError, match="seeds: expected"):
            api.compare(tables, ["evolution"], seeds=seeds)


@pytest.mark.slow
def test_the_documented_output(tmp_path: Path) -> None:
    """The numbers of docs/comparing.md are those of the commands beside them."""
    root = Path(__file__).resolve().parents[2]
    document = (root / "docs" / "comparing.md").read_text(encoding="utf-8")
    shown = re.findall(r"^<!-- output of: nas (.*?) -->\n```text\n(.*?)^```", document, re.M | re.S)
    assert len(shown) == 2
    for command, output in shown:
        result = subprocess.run(
            [sys.executable, "-m", "nas", *shlex.split(command)],
            cwd=root,
            env={**os.environ, "NAS_STORAGE": f"sqlite:///{tmp_path / 'nas.db'}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout == output
