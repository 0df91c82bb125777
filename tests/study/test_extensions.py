"""Extensions in studies: their order, their versions, their facts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes import stretching
from fakes.studies import fake_spec

from nas.compare import compare
from nas.compare._plan import _digest
from nas.fold import build_strategy
from nas.setting_up import set_up
from nas.spec import SpecError, StudySpec, load_spec
from nas.store import Store, StoreError
from nas.study import resume, search
from search_spaces import SearchSpace
from search_spaces.plugins import Plugin

ROOT = Path(__file__).resolve().parents[2]
STRETCH, SHIFT = "fakes.stretching", "fakes.shifting"


def spec_with(*, trials: int = 3, **tables: Any) -> StudySpec:
    """A study with `[extension.NAME]` tables, by default of `fakes.stretching`."""
    extension = tables.pop("extension", {STRETCH: {}})
    return fake_spec(trials, extension=extension, **tables)


def go(spec: StudySpec, storage: str) -> Store:
    search(spec, storage=storage, data_root=Path())
    return Store(storage)


class TestFile:
    def test_the_order_is_that_of_the_file(self, tmp_path: Path) -> None:
        """Through the file and through the database."""
        names = []
        for order in ((STRETCH, SHIFT), (SHIFT, STRETCH)):
            file = tmp_path / "mine.toml"
            tables = "".join(f'[extension."{name}"]\n' for name in order)
            file.write_text(
                '[study]\nobjectives = { val_accuracy = "maximize" }\n'
                '[space]\nname = "fakes.space"\n[dataset]\nname = "fakes.graph"\n'
                f"{tables}[budget]\ntrials = 1\n"
            )
            spec = load_spec(file)
            assert StudySpec.from_json(spec.to_json()) == spec
            assert [plugin.name for plugin in spec.extension] == list(order)
            names.append(set_up(spec, Path()).space.name)
        assert names == ["fake+stretched+shifted", "fake+shifted+stretched"]

    def test_the_command_line_sets_an_option_by_the_name_in_quotes(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.toml"
        file.write_text(
            '[study]\nobjectives = { val_accuracy = "maximize" }\n[dataset]\nname = "fakes.graph"\n'
            f'[extension."{STRETCH}"]\nversion = 2\nfact = "doubled"\n[budget]\ntrials = 1\n'
        )
        (plugin,) = load_spec(file, [f'extension."{STRETCH}".version=3']).extension
        assert plugin == Plugin(STRETCH, {"version": 3, "fact": "doubled"})
        with pytest.raises(SpecError, match=r"in quotes, as \[extension.\"mine.extension\"\]"):
            load_spec(file, [f"extension.{STRETCH}.version=3"])

    @pytest.mark.parametrize(
        ("extension", "said"),
        [
            ({STRETCH: {"factor": 3}}, r"fakes.stretching\"?\] factor: no option of the extension"),
            ({STRETCH: {"version": "2"}}, r"fakes.stretching\"?\] version: expected an integer"),
            ({STRETCH: {"does": "rotate"}}, r"does: expected .*stretch"),
            ({"stretching": {}}, "name a Python module of your own"),
            ({"fakes.nothing": {}}, "cannot be imported"),
            ({"fakes.evaluator": {}}, r"expected `def build\(space, task, \*, ...\)`"),
            ({STRETCH: 3}, "expected a table for each extension"),
            ({STRETCH: {}, SHIFT: {"does": "stretch"}}, "stretch"),
            (
                {STRETCH: {"fact": "doubled"}, SHIFT: {"fact": "doubled"}},
                'brings the fact "doubled" a second time',
            ),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_named_with_its_table(
        self, extension: Mapping[str, Any], said: str, storage: str
    ) -> None:
        with pytest.raises(SpecError, match=said) as refused:
            go(spec_with(extension=extension), storage)
        assert "[extension" in str(refused.value)

    @pytest.mark.parametrize("name", ["params", "macs", "latency_ms", "val_accuracy"])
    def test_a_fact_of_a_name_that_is_taken_is_refused(self, name: str, storage: str) -> None:
        spec = spec_with(extension={STRETCH: {"fact": "doubled", "called": name}})
        with pytest.raises(SpecError, match=f'brings the fact "{name}", which studies have'):
            go(spec, storage)


class TestIdentity:
    def test_a_study_goes_on_with_the_version_that_it_began_with(
        self, storage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = go(spec_with(), storage)
        assert resume("fake", storage=storage, data_root=Path(), trials=4).trials.ended == 4
        original = stretching.build

        def newer(space: SearchSpace, task: Any, *, version: int = 1) -> Any:
            return original(space, task, version=version + 1)

        monkeypatch.setattr(stretching, "build", newer)
        with pytest.raises(StoreError, match=r"space.version: \[1, 1\] -> \[1, 2\]"):
            resume("fake", storage=storage, data_root=Path(), trials=5)
        assert store.status("fake").trials.ended == 4

    def test_cache_keys_and_comparisons_depend_on_version_and_options(self) -> None:
        keys, digests = [], []
        for options in ({}, {}, {"version": 2}, {"fact": "doubled"}):
            setup = set_up(spec_with(extension={STRETCH: options}), Path())
            architecture = next(iter(setup.space))
            keys.append(setup.cache_key(architecture, 3))
            digests.append(_digest(setup, 5))
        assert keys[0] == keys[1] != keys[2]
        assert digests[0] == digests[1]
        assert len(set(digests)) == 3

    def test_what_is_cached_answers_for_its_own_study_alone(self, storage: str) -> None:
        """Code from elsewhere may change under the same name."""
        tables: dict[str, Any] = {"evaluator": {"name": "training", "epochs": 2}}
        store = go(spec_with(study={"name": "one"}, **tables), storage)
        go(spec_with(study={"name": "two"}, **tables), storage)
        assert not any(t.cached for t in store.trials("two") if t.architecture)


class TestFacts:
    EXTENSION: Mapping[str, Any] = {STRETCH: {"fact": "doubled"}}

    def test_they_may_be_objectives_and_constraints(self, storage: str) -> None:
        study = {
            "objectives": {"val_accuracy": "maximize", "doubled": "minimize"},
            "constraints": ["doubled <= 120"],
        }
        store = go(spec_with(trials=12, study=study, extension=self.EXTENSION), storage)
        trials = store.trials("fake")
        assert all(t.metrics["doubled"] == 2 * t.metrics["params"] for t in trials)
        assert {t.state for t in trials} == {"complete", "infeasible"}
        assert all((t.metrics["doubled"] <= 120) == (t.state == "complete") for t in trials)
        unknown = spec_with(study={"name": "other", "objectives": {"doubled": "minimize"}})
        with pytest.raises(SpecError, match='does not give "doubled"'):
            go(unknown, storage)

    def test_strategies_know_them(self) -> None:
        setup = set_up(spec_with(extension=self.EXTENSION), Path())
        problem = build_strategy(setup).problem
        assert "doubled" in problem.known
        architecture = next(iter(setup.space))
        facts = problem.facts(architecture)
        assert facts is not None
        assert facts["doubled"] == 2 * facts["params"]

    def test_they_are_counted_without_values(self) -> None:
        setup = set_up(spec_with(extension={STRETCH: {"fact": "on_meta"}}), Path())
        assert setup.facts(next(iter(setup.space)))["on_meta"] == 1.0

    def test_a_number_of_another_library_is_one(self, storage: str) -> None:
        store = go(spec_with(extension={STRETCH: {"fact": "of_numpy"}}), storage)
        assert all(type(t.metrics["of_numpy"]) is float for t in store.trials("fake"))

    def test_one_that_is_not_finite_fails_its_candidate_alone(self, storage: str) -> None:
        store = go(spec_with(trials=12, extension={STRETCH: {"fact": "infinite_for_2"}}), storage)
        for trial in store.trials("fake"):
            assert trial.architecture is not None
            is_faulty = trial.architecture.choices["stretch"] == 2
            assert trial.state == ("failed" if is_faulty else "complete")
            if trial.failure is not None:
                assert "infinite_for_2 is inf, expected a finite number" in trial.failure["message"]
        assert store.status("fake").trials.failed > 0

    def test_one_that_raises_fails_its_candidate(self, storage: str) -> None:
        with pytest.raises(Exception, match="KeyError: 'no such layer'"):
            go(spec_with(trials=12, extension={STRETCH: {"fact": "raising"}}), storage)
        assert {t.state for t in Store(storage).trials("fake")} == {"failed"}

    def test_a_comparison_bounds_them_too(self) -> None:
        study = {"objectives": {"val_accuracy": "maximize"}, "constraints": ["doubled <= 120"]}
        spec = spec_with(trials=8, study=study, extension=self.EXTENSION)
        made = compare(spec, ["evolution"], seeds=1, data_root=Path(), workers=1)
        assert {run.trials for runs in made.runs.values() for run in runs} == {8}
        assert any(run.infeasible for runs in made.runs.values() for run in runs)
