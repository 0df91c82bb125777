"""Latency in a study: predicted before training, bounded with its spread, marked in the record."""

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes.device import planted_ms, write_profile
from fakes.studies import fake_spec

from evaluators.facts import facts
from nas.cli import main
from nas.compare import compare
from nas.constraints import Constraint, parse
from nas.feasible import refuse_infeasible, refuse_never_timed
from nas.setting_up import set_up
from nas.spec import SpecError, StudySpec, load_spec, spec_from_mapping
from nas.store import Store, StoreError
from nas.study import resume, search

TWO = {"val_accuracy": "maximize", "latency_ms": "minimize"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("devices")
    write_profile(folder)
    write_profile(folder, name="board", elsewhere=True)
    write_profile(folder, name="fast", runtime="compiled")
    write_profile(folder, name="large", sizes=(24, 48))
    return folder


@pytest.fixture
def devices(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of profiles, which a test may change."""
    folder = tmp_path / "devices"
    shutil.copytree(made, folder)
    monkeypatch.setenv("NAS_DEVICES", str(folder))
    return folder


def spec_of(trials: int = 8, constraints: list[str] | None = None, **tables: Any) -> StudySpec:
    study = {"objectives": TWO, "constraints": constraints or []}
    latency = {"device": "here", "remeasure": False, **tables.pop("latency", {})}
    return fake_spec(trials, study={**study, **tables.pop("study", {})}, latency=latency, **tables)


class TestStudyFile:
    @pytest.mark.parametrize(
        ("table", "said"),
        [
            ("", "device: missing; expected the name of a profile"),
            ('device = ""', "device: expected the name of a profile"),
            ('device = "a"\nrunime = "eager"', 'runime: unknown key; did you mean "runtime"?'),
            ('device = "a"\nruntime = "fast"', 'runtime: expected "eager" or "compiled", got'),
            ('device = "a"\nthreads = 0', "threads: expected an integer >= 1, got 0"),
            ('device = "a"\nconfidence = 1.0', "confidence: expected a number >= 0.5 and < 1, got"),
            ('device = "a"\naccept_device = 1', "accept_device: expected true or false, got 1"),
            ('device = "a"\nworkload = 5', "workload: expected a table of nodes, edges, skew, gr"),
            ('device = "a"\nworkload = {nodes = 5}', "[latency.workload] edges: missing; expected"),
            (
                'device = "a"\nworkload = {nodes = 5, edges = 9, skew = 1.0}',
                "[latency.workload] skew: expected a number >= 0 and < 1, got 1.0",
            ),
            (
                'device = "a"\nworkload = {nodes = 5, edges = 9, graph = 2}',
                '[latency.workload] graph: unknown key; did you mean "graphs"?',
            ),
        ],
    )
    def test_a_fault_is_named(self, tmp_path: Path, table: str, said: str) -> None:
        file = tmp_path / "a.toml"
        file.write_text(f'[dataset]\nname = "digits_knn"\n[budget]\ntrials = 1\n[latency]\n{table}')
        with pytest.raises(SpecError) as error:
            load_spec(file)
        assert str(error.value).startswith(f"{file}: [latency")
        assert said in str(error.value)

    def test_it_is_the_same_after_json_and_has_defaults(self) -> None:
        workload = {"nodes": 5, "edges": 9, "skew": 0.25}
        spec = spec_of(latency={"workload": workload, "runtime": "eager"})
        again = StudySpec.from_json(json.loads(json.dumps(spec.to_json())))
        assert again == spec
        assert again.digest == spec.digest
        assert again.latency is not None
        assert again.latency.workload is not None
        assert (again.latency.confidence, again.latency.workload.graphs) == (0.95, 1)
        assert fake_spec(1).latency is None

    def test_the_path_of_a_profile_is_beside_the_file_and_a_name_stays(
        self, tmp_path: Path
    ) -> None:
        text = '[dataset]\nname = "digits_knn"\n[budget]\ntrials = 1\n[latency]\ndevice = '
        (tmp_path / "a.toml").write_text(f'{text}"my/board.npz"')
        (tmp_path / "b.toml").write_text(f'{text}"board"')
        by_path, by_name = (load_spec(tmp_path / f"{stem}.toml").latency for stem in "ab")
        assert by_path is not None
        assert by_path.device == str(tmp_path / "my" / "board.npz")
        assert by_name is not None
        assert by_name.device == "board"


class TestProfile:
    @pytest.mark.parametrize(
        ("latency", "said"),
        [
            ({"device": "her"}, 'there is no profile of device "her".*did you mean "here"'),
            ({"runtime": "compiled"}, r'\[latency\] runtime: .*"here", eager, got compiled.*fast$'),
            ({"threads": 7}, r'threads: expected that of the profile "here", 1, got 7; no profile'),
            ({"device": "board"}, "of another device: a board.*--accept-device"),
        ],
    )
    def test_one_that_does_not_fit_is_refused(
        self, devices: Path, storage: str, latency: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(SpecError, match=f"(?s){said}"):
            search(spec_of(latency=latency), storage=storage, data_root=Path())
        assert Store(storage).studies() == []

    def test_without_one_latency_is_no_metric(self) -> None:
        with pytest.raises(SpecError, match=r'"latency_ms".*name a profile: \[latency\] device'):
            set_up(fake_spec(1, study={"objectives": TWO}), Path())

    def test_a_table_that_has_latencies_of_its_own_is_left_alone(self, devices: Path) -> None:
        tables = {
            "study": {"name": "t"},
            "space": {"name": "nas_bench_graph", "operators": ["gcn", "skip"]},
            "evaluator": {"name": "fakes.table"},
            "budget": {"trials": 3},
            "latency": {"device": "here"},
        }
        with pytest.raises(SpecError, match=r"\[latency\].*leave the table out"):
            set_up(spec_from_mapping(tables), Path())

    def test_what_was_never_timed_is_refused_by_name(self, devices: Path) -> None:
        """The control has the operator in its profile's place: it was timed."""
        spec = spec_of(space={"kinds": ["plain", "odd"]})
        with pytest.raises(SpecError, match=r"\[latency\] device: .*never timed"):
            refuse_never_timed(set_up(spec, Path()), "a.toml")
        refuse_never_timed(set_up(spec_of(), Path()), "a.toml")


class TestPrediction:
    def test_it_is_known_before_training_and_near_what_was_timed(
        self, devices: Path, storage: str
    ) -> None:
        search(spec_of(), storage=storage, data_root=Path())
        for trial in Store(storage).trials("fake"):
            assert trial.architecture is not None
            metrics = trial.metrics
            low, value, high = (metrics[f"latency_{end}ms"] for end in ("low_", "", "high_"))
            assert low < value < high
            assert value == pytest.approx(planted_ms(trial.architecture), rel=0.15)
            assert trial.evaluated["path"] == "planted"
            assert "latency" not in trial.evaluated
            assert not trial.measured

    def test_the_workload_decides(self, devices: Path) -> None:
        def of(**latency: Any) -> float:
            setup = set_up(spec_of(latency=latency), Path())
            wide = {"kind": "wide", "width": 16, "a": 0, "b": 0, "train.lr": 0.1}
            return setup.facts(setup.space.architecture(wide))["latency_ms"]

        own, same, more = (
            of(),
            of(workload={"nodes": 12, "edges": 11, "skew": 1 / 12}),
            of(workload={"nodes": 48, "edges": 47}),
        )
        assert own == pytest.approx(same)
        assert more > 1.5 * own

    @pytest.mark.parametrize("strategy", ["random", "evolution", "nsga2", "tpe", "linas", "local"])
    def test_every_strategy_searches_with_it(
        self, devices: Path, storage: str, strategy: str
    ) -> None:
        spec = spec_of(12, ["latency_ms <= 0.2"], strategy=strategy)
        search(spec, storage=storage, data_root=Path())
        trials = Store(storage).trials("fake")
        assert {trial.state for trial in trials} <= {"complete", "infeasible"}
        assert any(trial.state == "complete" for trial in trials)

    def test_an_evaluation_is_shared_and_its_predictions_are_not(
        self, devices: Path, storage: str
    ) -> None:
        """The same trials on another device, and without one: nothing is trained again."""
        options = {"depth": [1], "operators": ["linear"], "output": ["linear"], "width": [4, 8]}
        space = {"name": "gnn", **options, "connectivity": ["plain"], "normalization": ["none"]}
        tables: dict[str, Any] = {
            "space": {**space, "activation": ["relu"]},
            "evaluator": {"name": "training", "epochs": 1},
        }
        alone = {"objectives": {"val_accuracy": "maximize"}}
        for name, device in (("fake", "here"), ("other", "large")):
            spec = spec_of(2, study={**alone, "name": name}, latency={"device": device}, **tables)
            search(spec, storage=storage, data_root=Path(), progress=lambda _: None)
        without = fake_spec(2, study={**alone, "name": "without"}, **tables)
        search(without, storage=storage, data_root=Path())
        store = Store(storage)
        trials = map(store.trials, ("fake", "other", "without"))
        for first, second, third in zip(*trials, strict=True):
            assert first.architecture == second.architecture == third.architecture
            assert (first.cached, second.cached, third.cached) == (False, True, True)
            assert first.metrics["latency_ms"] != second.metrics["latency_ms"]
            assert first.metrics["val_loss"] == second.metrics["val_loss"]
            assert not any("latency" in metric for metric in third.metrics)
            assert "nodes 12 < 24" in second.evaluated["latency"]
            assert "latency" not in third.evaluated

    def test_a_comparison_searches_with_it_and_knows_profiles_apart(
        self, devices: Path, storage: str
    ) -> None:
        """Runs are kept for what they are comparable on; the control asks for the same again."""

        def compared(device: str) -> list[int]:
            spec = spec_of(4, ["latency_ms <= 0.2"], latency={"device": device})
            told: list[int] = []
            made = compare(
                spec,
                ["local"],
                seeds=1,
                storage=storage,
                data_root=Path(),
                reference={"val_accuracy": 0.0, "latency_ms": 1.0},
                progress=lambda standing: told.append(standing.done),
            )
            assert len(made.rows()) == 2
            return told

        assert compared("here")[0] == 0
        assert compared("here") == []
        assert compared("large")[0] == 0


class TestConstraint:
    def test_it_holds_the_end_of_the_spread_against_the_bound(self) -> None:
        """By hand: 90 % within a factor of 1.2 is a deviation of log 1.2 / 1.645."""
        metrics = {"latency_ms": 10.0, "latency_low_ms": 10 / 1.2, "latency_high_ms": 12.0}
        deviation = math.log(1.2) / 1.6448536
        upper = 10 * math.exp(1.2815516 * deviation)
        within = Constraint("latency_ms", "<=", upper * 1.0001, confidence=0.9)
        without = Constraint("latency_ms", "<=", upper * 0.9999, confidence=0.9)
        assert within.violation(metrics) == 0
        assert (without.violation(metrics) or 0) > 0
        assert Constraint("latency_ms", "<=", 12.0001, confidence=0.95).violation(metrics) == 0
        assert Constraint("latency_ms", ">=", 10 / 1.2001, confidence=0.95).violation(metrics) == 0
        # The prediction itself, where that is asked; and a value that has no spread.
        assert parse("latency_ms <= 10").violation(metrics) == 0
        measured = {"latency_ms": 10.0}
        assert Constraint("latency_ms", "<=", 10, confidence=0.95).violation(measured) == 0

    def test_what_breaks_it_is_not_trained(
        self, devices: Path, storage: str, tmp_path: Path
    ) -> None:
        """One that is predicted within the bound, but not surely enough, is infeasible too."""
        log = tmp_path / "log"
        bound = 1.02 * planted_ms(
            set_up(spec_of(), Path()).space.architecture(
                {"kind": "wide", "width": 8, "a": 0, "b": 0, "train.lr": 0.1}
            )
        )
        spec = spec_of(20, [f"latency_ms <= {bound}"], evaluator={"log": str(log)})
        search(spec, storage=storage, data_root=Path())
        store = Store(storage)
        trials = store.trials("fake")
        trained = [t for t in trials if store.evaluations("fake", t.number)]
        assert len(trained) == len(log.read_text().splitlines())
        assert {t.state for t in trained} == {"complete"}
        unsure = [t for t in trials if t.metrics["latency_ms"] <= bound and t not in trained]
        assert unsure
        assert {t.state for t in unsure} == {"infeasible"}
        assert all(t.violation > 0 and not t.epochs for t in unsure)

        relaxed = spec_of(
            20, [f"latency_ms <= {bound}"], study={"name": "relaxed"}, latency={"confidence": 0.5}
        )
        search(relaxed, storage=storage, data_root=Path())
        also = {t.number: t.state for t in store.trials("relaxed")}
        assert {also[t.number] for t in unsure} == {"complete"}

    def test_an_infeasible_one_is_refused_with_the_fastest(self, devices: Path) -> None:
        began = time.monotonic()
        setup = set_up(spec_of(1, ["latency_ms <= 0.01", "params <= 1"]), Path())
        with pytest.raises(SpecError) as error:
            refuse_infeasible(setup, "a.toml")
        assert time.monotonic() - began < 10
        said = str(error.value)
        assert said.startswith("a.toml: [study] constraints: no architecture of the space keeps ")
        assert (
            "keeps latency_ms <= 0.01 in 95 % of its measurements on here: the fastest of" in said
        )
        # Width 2 is the fastest of all.
        assert "width=2" in said
        predicted = float(said.partition("predicted to take ")[2].partition(" ms")[0])
        assert predicted == pytest.approx(0.124, rel=0.15)

    def test_where_another_bound_is_kept_by_none_the_prediction_is_short(
        self, devices: Path
    ) -> None:
        setup = set_up(spec_of(1, ["latency_ms <= 1.5", "params <= 1"]), Path())
        with pytest.raises(
            SpecError, match=r"has latency_ms = 0\.\d{1,4} \(predicted\), params = \d"
        ):
            refuse_infeasible(setup, "a.toml")

    def test_in_a_large_space_within_ten_seconds(
        self, devices: Path, storage: str, tmp_path: Path
    ) -> None:
        """On the space of graph networks; its profile knows linear layers alone."""
        (tmp_path / "a.toml").write_text(
            '[study]\nconstraints = ["latency_ms <= 0.0001"]\n[dataset]\nname = "digits_knn"\n'
            '[space]\noperators = ["linear"]\nnormalization = ["none"]\nactivation = ["relu"]\n'
            'connectivity = ["plain"]\noutput = ["linear"]\n'
            '[budget]\nseconds = 3600\n[latency]\ndevice = "here"\n'
        )
        began = time.monotonic()
        result = CliRunner().invoke(
            main, ["search", str(tmp_path / "a.toml"), "--storage", storage]
        )
        assert time.monotonic() - began < 10
        assert result.exit_code == 2, result.output
        assert "the fastest of" in result.stderr
        assert "is predicted to take" in result.stderr
        assert Store(storage).studies() == []


class TestMarks:
    def test_a_profile_of_another_machine_marks_every_record_and_is_told_once(
        self, devices: Path, storage: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "fake.toml"
        spec = spec_of(6, ["latency_ms <= 0.25"], latency={"device": "board"})
        file.write_text(_toml(spec))
        arguments = ["search", str(file), "--storage", storage]
        refused = CliRunner().invoke(main, arguments)
        assert refused.exit_code == 2
        assert "--accept-device" in refused.stderr
        taken = CliRunner().invoke(main, [*arguments, "--accept-device"])
        assert taken.exit_code == 0, taken.output
        mark = 'predicted from the profile of another device: "board"'
        assert taken.stderr.count(f"warning: {mark}") == 1
        trials = Store(storage).trials("fake")
        assert {trial.state for trial in trials} == {"complete", "infeasible"}
        assert {trial.evaluated["latency"] for trial in trials} == {mark}

    def test_resuming_elsewhere_must_be_accepted_too(self, devices: Path, storage: str) -> None:
        accepted = {"device": "board", "accept_device": True}
        search(spec_of(2, latency=accepted), storage=storage, data_root=Path())
        # As if it had been begun on the board itself.
        engine = Store(storage)
        with engine.writing() as connection:
            row = engine.row(connection, "fake")
            row["spec"]["latency"]["accept_device"] = False
            from nas.store.schema import studies

            connection.execute(studies.update().values(spec=row["spec"]))
        more = {"storage": storage, "data_root": Path(), "trials": 4}
        with pytest.raises(SpecError, match="of another device"):
            resume("fake", **more)
        resume("fake", **more, accept_device=True)
        assert "latency" in Store(storage).trial("fake", 3).evaluated

    def test_a_graph_larger_than_profiled_is_marked(self, devices: Path, storage: str) -> None:
        workload = {"nodes": 96, "edges": 95, "skew": 0.1}
        said: list[str] = []
        search(
            spec_of(4, latency={"workload": workload}),
            storage=storage,
            data_root=Path(),
            progress=lambda p: said.append(p.message) if p.message else None,
        )
        for trial in Store(storage).trials("fake"):
            assert "beyond what was profiled: nodes 96 > 48" in trial.evaluated["latency"]
        assert sum("beyond what was profiled" in line for line in said) == 1


class TestBinding:
    def test_a_changed_profile_is_refused_with_the_difference(
        self, devices: Path, storage: str
    ) -> None:
        search(spec_of(2), storage=storage, data_root=Path())
        shutil.copy(devices / "large.npz", devices / "here.npz")
        with pytest.raises(StoreError) as error:
            resume("fake", storage=storage, data_root=Path(), trials=3)
        assert "its space, dataset or latency profile has changed" in str(error.value)
        assert "latency.profile: " in str(error.value)
        assert "latency.device.name: here -> large" in str(error.value)

    def test_the_same_profile_goes_on(self, devices: Path, storage: str) -> None:
        search(spec_of(2), storage=storage, data_root=Path())
        assert resume("fake", storage=storage, data_root=Path(), trials=3).trials.ended == 3

    def test_what_needs_no_prediction_needs_no_profile(self, devices: Path, storage: str) -> None:
        """A search does; exporting and confirming do not."""
        search(spec_of(2), storage=storage, data_root=Path())
        (devices / "here.npz").unlink()
        spec = StudySpec.from_json(Store(storage).spec("fake"))
        set_up(spec, Path(), with_latency=False)
        with pytest.raises(SpecError, match="no profile of device"):
            set_up(spec, Path())


def test_a_profile_may_be_made_for_a_study_that_asks_for_predictions_already() -> None:
    """No [latency] yet; a search is refused, and told what to do."""
    spec = fake_spec(
        1, study={"objectives": {"val_accuracy": "maximize", "latency_ms": "minimize"}}
    )
    set_up(spec, Path(), with_latency=False)
    with pytest.raises(SpecError, match="to have it predicted, name a profile"):
        set_up(spec, Path())
    wrong = fake_spec(1, study={"constraints": ["latency_s <= 1"]})
    with pytest.raises(SpecError, match='did you mean "latency_ms"'):
        set_up(wrong, Path(), with_latency=False)


def test_a_device_is_accepted_or_not(tmp_path: Path, storage: str) -> None:
    (tmp_path / "a.toml").write_text(_toml(spec_of(2)))
    arguments = ["search", str(tmp_path / "a.toml"), "--storage", storage, "--accept-device"]
    result = CliRunner().invoke(main, [*arguments, "--set", "latency.accept_device = false"])
    assert result.exit_code == 2
    assert "are of one key; leave one out" in result.stderr
    alone = CliRunner().invoke(main, arguments)
    assert "of one key" not in alone.stderr


def test_peak_memory_is_a_fact_with_or_without_a_device(storage: str) -> None:
    spec = fake_spec(6, study={"constraints": ["peak_memory_bytes <= 900"]})
    search(spec, storage=storage, data_root=Path())
    setup = set_up(spec, Path())
    for trial in Store(storage).trials("fake"):
        assert trial.architecture is not None
        known = facts(setup.space, trial.architecture, setup.task)["peak_memory_bytes"]
        assert trial.metrics["peak_memory_bytes"] == known
        assert (trial.state == "infeasible") == (known > 900)


def _toml(spec: StudySpec) -> str:
    """The tables as a study file."""
    value = spec.to_json()
    value["study"]["objectives"] = dict(value["study"]["objectives"])

    def text(item: Any) -> str:
        if isinstance(item, dict):
            return "{" + ", ".join(f"{k} = {text(v)}" for k, v in item.items()) + "}"
        return json.dumps(item)

    return "".join(
        f"[{table}]\n" + "".join(f"{k} = {text(v)}\n" for k, v in content.items())
        for table, content in value.items()
    )
