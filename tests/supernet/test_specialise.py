"""A trained supernet, specialised: one search for all bounds, on planted times of a device."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from fakes.device import timing, write_profile
from torch import nn

import nas
from evaluators import Prepared, Prepares, tensors
from evaluators.artifacts import store_url
from evaluators.latency.values import Timing
from nas.cli import main
from nas.export._weights import tensor_bytes
from nas.export.load import load_bundle
from nas.latency.remeasure import Measure
from nas.latency.remeasure import measured as on_this_device
from nas.opening import Opened, opened
from nas.setup import Setup
from nas.spec import StudySpec, load_spec, spec_from_mapping
from nas.store import Store
from nas.study import search
from nas.supernet import ENDINGS
from nas.supernet._leaving import Network, _tell_slices, supernet_of
from nas.supernet._problem import problem_of
from nas.supernet._searching import Searching, Voice
from nas.supernet.specialising import (
    Leaving,
    Request,
    Specialisation,
    SpecialiseError,
    Winner,
    specialise,
)
from nas.supernet.training import train
from search_spaces import Architecture, UsageError
from search_spaces.frozen import FrozenMapping

SPACE = {
    "name": "gnn",
    "depth": [1, 2, 3],
    "operators": ["linear", "gcn"],
    "width": [2, 4, 8, 16],
    "activation": ["relu"],
    "normalization": ["none"],
    "connectivity": ["plain"],
    "pre_layers": [0],
    "post_layers": [0],
    "output": ["linear"],
}
TRAINING = {"epochs": 12, "steps": 10, "samples": 40, "dropout": 0.0, "alone_epochs": 8}
BOUNDS = (0.4, 0.6, 0.8, 1.2, 1.6, 2.0, 4.0)
FEW = 30


def spec_of(name: str = "net", evaluator: dict[str, Any] | None = None, **study: Any) -> StudySpec:
    return spec_from_mapping(
        {
            "study": {"name": name, **study},
            "space": SPACE,
            "dataset": {"name": "fakes.product"},
            "strategy": {"name": "random"},
            "evaluator": {"name": "inherited", **TRAINING, **(evaluator or {})},
            "budget": {"trials": 1},
        }
    )


def planted(architecture: Architecture, nodes: int) -> float:
    """Milliseconds: layers and their widths."""
    depth = int(architecture.choices["depth"])
    widths = [int(architecture.choices[f"layer{i}.width"]) for i in range(depth)]
    return 0.05 + sum(0.1 + 0.0002 * width * nodes for width in widths)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with profiles, and a database with a study whose supernet is trained."""
    folder = tmp_path_factory.mktemp("supernet")
    status = train(spec_of(), storage=f"sqlite:///{folder / 'nas.db'}", data_root=Path())
    assert status.trials.ended == 0
    space = study_of(folder).setup.space
    (folder / "devices").mkdir()
    for name, elsewhere in (("here", False), ("board", True)):
        write_profile(
            folder / "devices",
            name=name,
            elsewhere=elsewhere,
            space=space,
            milliseconds=planted,
            sizes=(75, 150, 300, 600),
        )
    return folder


def study_of(made: Path, name: str = "net") -> Opened:
    store = Store(f"sqlite:///{made / 'nas.db'}")
    return opened(store, name, Path(), with_latency=False)


@pytest.fixture(autouse=True)
def _devices(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DEVICES", str(made / "devices"))
    monkeypatch.setenv("NAS_STORAGE", f"sqlite:///{made / 'nas.db'}")


def asked(bounds: Sequence[float] = BOUNDS, **other: Any) -> Request:
    given = {"device": "here", "evaluations": FEW, "measures": False, **other}
    return Request(tuple(bounds), **given)


def found_by(
    made: Path,
    request: Request,
    *,
    name: str = "net",
    leaving: Leaving | None = None,
    voice: Voice | None = None,
    measure: Measure = on_this_device,
) -> Specialisation:
    return specialise(
        name,
        request,
        storage=f"sqlite:///{made / 'nas.db'}",
        data_root=Path(),
        leaving=leaving or Leaving(),
        voice=voice or Voice(),
        measure=measure,
    )


def cli(*arguments: str) -> Result:
    given = ["supernet", "specialise", *arguments]
    return CliRunner().invoke(main, given, catch_exceptions=False)


def keys(found: Specialisation) -> list[str]:
    return [w.architecture.key if w.architecture else "" for w in found.winners]


@pytest.fixture(scope="module")
def found(made: Path) -> Specialisation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_DEVICES", str(made / "devices"))
        return found_by(made, asked())


class TestWinners:
    def test_each_keeps_its_bound_as_surely_as_is_asked(
        self, made: Path, found: Specialisation
    ) -> None:
        """The control: by the prediction alone, more do."""
        ends = [w.metrics["latency_high_ms"] for w in found.winners]
        assert all(end <= bound for end, bound in zip(ends, BOUNDS, strict=True))
        unsure = found_by(made, asked(confidence=0.5))
        assert all(w.metrics["latency_ms"] <= w.bound_ms for w in unsure.winners)
        assert any(w.metrics["latency_high_ms"] > w.bound_ms for w in unsure.winners)

    @pytest.mark.parametrize("strategy", ["linas", "nsga2:population=8", "evolution"])
    @pytest.mark.parametrize("rank_by", ["foreseen", "read_out", "slice"])
    def test_a_wider_bound_has_no_worse_one(self, made: Path, strategy: str, rank_by: Any) -> None:
        """And the widest has a better one than the tightest."""
        of = found_by(made, asked(strategy=strategy, rank_by=rank_by))
        values = [w.metrics[of.metric] for w in of.winners]
        assert of.metric == "val_accuracy" + ENDINGS[rank_by]
        assert values == sorted(values)
        assert values[-1] > values[0]

    def test_they_are_the_same_again(self, made: Path, found: Specialisation) -> None:
        """The control: in a study with another seed they are others, or were searched otherwise."""
        told: list[tuple[int, int]] = []
        again = found_by(made, asked(), voice=Voice(lambda *of: told.append(of)))
        assert replace(again, seconds=found.seconds) == found
        assert told == [(n + 1, FEW) for n in range(FEW)]

        def order(seed: int) -> list[str]:
            study = study_of(made).setup.spec.study.model_copy(update={"seed": seed})
            setup = study_of(made).setup
            made_with = replace(setup, spec=setup.spec.model_copy(update={"study": study}))
            seen = searching(made, asked(evaluations=10), made_with).candidates(Voice())
            return [one.architecture.key for one in seen]

        assert order(0) == order(0) != order(1)

    def test_a_bound_of_the_study_is_kept_too(self, made: Path, found: Specialisation) -> None:
        """The control: without it the widest bound has a larger network."""
        small = spec_of("small", {"epochs": 2, "samples": 10}, constraints=["params <= 60"])
        train(small, storage=f"sqlite:///{made / 'nas.db'}", data_root=Path())
        bounded = found_by(made, asked([0.6, 4.0], evaluations=15), name="small")
        assert all(w.metrics["params"] <= 60 for w in bounded.winners)
        assert found.winners[-1].metrics["params"] > 60

    def test_what_is_learned_of_shuffled_values_finds_nothing(self, made: Path) -> None:
        """Its best is no better than its worst; the control is what was learned of the right ones.

        By the slices of a random sample.
        """
        setup, request = study_of(made).setup, asked([4.0], strategy="random", evaluations=50)
        search = searching(made, request, setup)
        drawn = [one.architecture for one in search.candidates(Voice())]
        sliced = [e.metrics["val_accuracy"] for e in search.evaluated(drawn)]

        def gain(setup: Setup) -> float:
            """By how much the slice foreseen to be the best is better than the last."""
            job = searching(made, request, setup).job(drawn[0])
            expected = supernet_of(setup, job).foresight(drawn)
            return sliced[int(expected.argmax())] - sliced[int(expected.argmin())]

        right = gain(setup)
        assert right > np.ptp(sliced) / 2
        assert abs(np.mean([gain(shuffled(made, setup, seed)) for seed in range(20)])) < right / 2


def searching(made: Path, request: Request, setup: Setup) -> Searching:
    problem = problem_of(setup, request, "a test")
    place = store_url(made / "checkpoints")
    dataset = setup.sealed(place)
    assert dataset is not None
    return Searching(problem, request, dataset, place, ())


def shuffled(made: Path, setup: Setup, seed: int) -> Setup:
    """With a supernet whose slices have each other's values."""
    assert isinstance(setup.evaluator, Prepares)
    key = setup.evaluator.preparation.key
    done, marks = setup.prepared[key], ("preparation", "of a preparation", "gnn-nas preparation 1")
    header, state = tensors.read(done.artifact, *marks)
    seeded = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(state["samples/trained"]), generator=seeded)
    state |= {name: state[name][order] for name in ("samples/begun", "samples/trained")}
    other = tensors.write(store_url(made / "shuffled"), "preparation", header, state)
    return replace(setup, prepared={key: Prepared(done.preparation, other, done.last)})


class TestMeasured:
    def test_measurements_have_the_last_word(self, made: Path, found: Specialisation) -> None:
        """What takes thrice as long as predicted leaves its bounds to the next best."""
        slow = set(keys(found)[1:])

        def measure(setup: Setup, architectures: Sequence[Architecture]) -> list[Timing]:
            predicted = [(a, setup.facts(a)["latency_ms"]) for a in architectures]
            return [timing(3 * ms if a.key in slow else ms) for a, ms in predicted]

        measured = found_by(made, asked(measures=True), measure=measure)
        times = [w.timing.latency_ms for w in measured.winners if w.timing is not None]
        assert len(times) == len(BOUNDS)
        assert all(ms <= bound for ms, bound in zip(times, BOUNDS, strict=True))
        assert keys(measured)[1:-1] != keys(found)[1:-1]
        values = [w.metrics[measured.metric] for w in measured.winners]
        assert values == sorted(values)

    def test_what_is_noisy_does_not_count(self, made: Path, found: Specialisation) -> None:
        said: list[str] = []

        def measure(setup: Setup, architectures: Sequence[Architecture]) -> list[Timing]:
            return [timing(2 * setup.facts(a)["latency_ms"], noisy=True) for a in architectures]

        voice = Voice(say=said.append)
        noisy = found_by(made, asked(measures=True), measure=measure, voice=voice)
        assert keys(noisy) == keys(found)
        assert all(w.timing is not None and w.timing.noisy for w in noisy.winners)
        assert "too busy or unsteady" in said[-1]

    def test_what_no_noise_explains_does(self, made: Path, found: Specialisation) -> None:
        def measure(setup: Setup, architectures: Sequence[Architecture]) -> list[Timing]:
            return [timing(50 * setup.facts(a)["latency_ms"], noisy=True) for a in architectures]

        noisy = found_by(made, asked(measures=True), measure=measure)
        assert {*keys(noisy)} & {*keys(found)[2:]} == set()

    def test_a_bound_that_nothing_keeps_when_measured_has_no_winner(self, made: Path) -> None:
        said: list[str] = []

        def measure(setup: Setup, architectures: Sequence[Architecture]) -> list[Timing]:
            return [timing(1.0) for _ in architectures]

        of = found_by(
            made,
            asked([0.4, 4.0], measures=True),
            measure=measure,
            voice=Voice(say=said.append),
        )
        assert of.winners[0] == Winner(0.4)
        assert of.winners[1].timing == timing(1.0)
        assert said[-1].startswith("warning: no candidate keeps 0.4 ms")

    def test_where_predictions_are_far_off_only_what_was_measured_wins(self, made: Path) -> None:
        """And it is said by how much: a profile of a busy machine, say."""
        said: list[str] = []

        def measure(setup: Setup, architectures: Sequence[Architecture]) -> list[Timing]:
            return [timing(40 * setup.facts(a)["latency_ms"]) for a in architectures]

        of = found_by(
            made, asked([4.0], measures=True), measure=measure, voice=Voice(say=said.append)
        )
        (winner,) = of.winners
        assert winner.architecture is None or winner.timing is not None
        assert any("the median takes 40.0 times what was predicted" in line for line in said)

    def test_on_this_device_and_on_no_other(self, made: Path) -> None:
        arguments = ["net", "--latency", "4", "--evaluations", "12", "--format", "json"]
        (here,) = json.loads(cli(*arguments, "--device", "here").stdout)["winners"]
        assert here["measured_latency_ms"] > 0
        assert here["noisy"] in (True, False)
        result = cli(*arguments, "--device", "board", "--accept-device")
        (board,) = json.loads(result.stdout)["winners"]
        assert board["measured_latency_ms"] is None
        assert 'not measured: the profile "board" is of a board' in result.stderr


class TestLeaving:
    def test_a_bundle_predicts_what_the_slice_predicted(self, made: Path, tmp_path: Path) -> None:
        """Weights as they are; the control is the other winner's bundle."""
        out = tmp_path / "bundles"
        of = found_by(made, asked([0.6, 4.0]), leaving=Leaving(out))
        study = study_of(made)
        dataset = study.setup.sealed(study.artifacts)
        assert study.setup.dataset is not None
        units = torch.arange(study.setup.dataset.x.size(0))
        logits = {}
        for winner in of.winners:
            assert winner.architecture is not None
            assert winner.bundle == out / f"{winner.bound_ms:g}ms"
            job = study.setup.job(winner.architecture, dataset, study.artifacts, 1)
            net = supernet_of(study.setup, job)
            logits[winner.bound_ms] = net.subnets.evaluated(net.weights, winner.architecture, units)
            bundle = load_bundle(winner.bundle)
            given = bundle.predict(study.setup.dataset.x, study.setup.dataset.edge_index)
            torch.testing.assert_close(given, logits[winner.bound_ms], atol=1e-4, rtol=1e-4)
            known = {name: m.value for name, m in bundle.manifest.metrics.items()}
            written = (winner.bundle / "weights.safetensors").read_bytes()
            assert known.pop("model_bytes") == tensor_bytes(written)
            assert known == pytest.approx(dict(winner.exported))
            assert known["val_accuracy"] == pytest.approx(winner.metrics["val_accuracy"])
            assert bundle.manifest.architecture == winner.architecture.key
            origin = bundle.manifest.provenance
            assert (origin.study, origin.trial, origin.slice) == ("net", None, True)
            assert (origin.latency_bound_ms, origin.device) == (winner.bound_ms, "here")
            readme = (winner.bundle / "README.md").read_text()
            assert f'for at most {winner.bound_ms:g} ms on "here"' in readme
            assert "Its weights are a part of a supernet's" in readme
        assert not torch.allclose(logits[0.6], logits[4.0], atol=0.1)
        with pytest.raises(UsageError, match="is there already and is not empty"):
            found_by(made, asked([4.0]), leaving=Leaving(out))

    def test_retrained_it_has_weights_of_its_own(self, made: Path, tmp_path: Path) -> None:
        leaving = Leaving(tmp_path / "alone", retrain=True)
        (winner,) = found_by(made, asked([0.6], evaluations=5), leaving=leaving).winners
        assert winner.exported["val_loss"] != pytest.approx(winner.metrics["val_loss"], rel=1e-3)
        manifest = json.loads((tmp_path / "alone" / "0.6ms" / "manifest.json").read_text())
        assert manifest["metrics"]["val_loss"]["value"] == winner.exported["val_loss"]
        assert manifest["provenance"]["retrained"]
        assert not manifest["provenance"]["slice"]

    def test_fine_tuned_weights_are_what_is_exported(self, made: Path, tmp_path: Path) -> None:
        """They are better on training data; the control is the slice."""
        request, out = asked([0.6], evaluations=5), tmp_path / "tuned"
        (plain,) = found_by(made, request).winners
        tuned = found_by(made, replace(request, fine_tune_epochs=3), leaving=Leaving(out))
        (winner,) = tuned.winners
        assert winner.architecture == plain.architecture
        assert winner.metrics["val_loss"] != plain.metrics["val_loss"]
        assert winner.exported["val_accuracy"] == winner.metrics["val_accuracy"]

    def test_a_study_file_begins_with_the_winners(self, made: Path, tmp_path: Path) -> None:
        """And trains them, when it is searched."""
        file = tmp_path / "own.toml"
        found = found_by(made, asked([0.4, 4.0]), leaving=Leaving(write_study=file))
        spec = load_spec(file)
        assert spec.study.name == "own"
        assert spec.evaluator.name == "training"
        storage = f"sqlite:///{tmp_path / 'own.db'}"
        search(spec, storage=storage, data_root=Path())
        trials = Store(storage).trials("own")
        assert [t.architecture.key for t in trials if t.architecture] == keys(found)
        assert {t.epochs for t in trials} == {TRAINING["alone_epochs"]}

    def test_slices_that_reach_less_than_is_foreseen_are_told_of(
        self, made: Path, tmp_path: Path
    ) -> None:
        """A slice is chosen by what it would reach alone; where it reaches as much, no word."""
        (winner,) = found_by(made, asked([4.0], evaluations=5)).winners
        assert winner.architecture is not None

        def said(foreseen: float, *, is_slice: bool) -> list[str]:
            metrics = FrozenMapping({"val_accuracy_foreseen": foreseen})
            exported = FrozenMapping({"val_accuracy": 0.5})
            bundles = {4.0: Network(winner.architecture, nn.Identity(), exported, is_slice)}
            told: list[str] = []
            given = replace(winner, metrics=metrics, exported=exported)
            _tell_slices([given], bundles, "val_accuracy", Voice(say=told.append))
            return told

        (warning,) = said(0.6, is_slice=True)
        assert "4 ms: 0.500 of 0.600" in warning
        assert "--retrain" in warning
        assert said(0.51, is_slice=True) == said(0.6, is_slice=False) == []

    def test_what_is_known_of_the_ranking_is_said_first(self, made: Path) -> None:
        result = cli("net", "--latency", "4", "--evaluations", "12", "--device", "here")
        assert "is not measured yet: nas supernet rank net" in result.stderr

    def test_interrupted_nothing_is_left(self, made: Path, tmp_path: Path) -> None:
        def interrupt(done: int, _wanted: int) -> None:
            if done == 5:
                raise KeyboardInterrupt

        leaving = Leaving(tmp_path / "out", write_study=tmp_path / "own.toml")
        with pytest.raises(KeyboardInterrupt):
            found_by(made, asked(), leaving=leaving, voice=Voice(interrupt))
        assert list(tmp_path.iterdir()) == []

    def test_from_python(self, made: Path, found: Specialisation) -> None:
        study = nas.Study("net", storage=f"sqlite:///{made / 'nas.db'}")
        again = study.specialise(BOUNDS, device="here", evaluations=FEW, measure=False)
        assert keys(again) == keys(found)


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--latency", "0"], 'expected a number > 0, got "0"'),
            (["--latency", "2,x"], 'expected a number > 0, got "x"'),
            (["--latency", "nan"], 'expected a number > 0, got "nan"'),
            (["--latency", "2,5,2"], "expected each bound once, got 2 twice"),
            ([], "--latency: missing"),
            (["--latency", "2", "--retrain"], "name a folder for them: --out DIR"),
            (["--latency", "2", "--format", "pt"], 'did you mean "pt2"'),
            (["--latency", "2", "--strategy", "agnn"], "agnn"),
            (["--latency", "2", "--strategy", "lina"], 'did you mean "linas"'),
            (["--latency", "2", "--device", "her"], 'did you mean "here"'),
            (["--latency", "2", "--device", "board"], "of another device: a board"),
            (["--latency", "2", "--confidence", "1"], "expected a number >= 0.5 and < 1"),
        ],
    )
    def test_a_command_that_cannot_be_meant(self, arguments: list[str], said: str) -> None:
        given = arguments if "--device" in arguments else [*arguments, "--device", "here"]
        result = cli("net", *given)
        assert result.exit_code == 2, result.output
        assert said in result.stderr
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
        assert not result.stdout

    def test_another_device_names_the_option(self) -> None:
        result = cli("net", "--latency", "2", "--device", "board")
        assert "--accept-device" in result.stderr

    def test_without_a_device_there_is_none(self) -> None:
        result = cli("net", "--latency", "2")
        assert result.exit_code == 2
        assert "name a profile, see: nas latency devices" in result.stderr

    def test_a_bound_that_nothing_keeps_has_the_nearest(self, made: Path) -> None:
        """Nothing is searched; the bound that it names is kept by something."""
        told: list[int] = []
        with pytest.raises(SpecialiseError, match=r"keeps latency_ms <= 0\.01 in 95 %") as error:
            found_by(made, asked([0.01, 4.0]), voice=Voice(lambda done, _: told.append(done)))
        assert told == []
        assert "depth=1" in str(error.value)
        least = float(str(error.value).partition("ask for ")[2].partition(" ms")[0])
        (winner,) = found_by(made, asked([least], evaluations=2)).winners
        assert winner.architecture is not None
        assert planted(winner.architecture, 300) == pytest.approx(least, rel=0.35)

    def test_a_study_without_a_supernet(self, made: Path) -> None:
        spec = spec_of("plain")
        tables = spec.to_json() | {"evaluator": {"name": "training", "epochs": 1}}
        search(
            StudySpec.from_json(tables), storage=f"sqlite:///{made / 'nas.db'}", data_root=Path()
        )
        result = cli("plain", "--latency", "2", "--device", "here")
        assert result.exit_code == 2
        assert 'expected a study with [evaluator] name = "inherited"' in result.stderr

    def test_one_that_is_not_trained_yet(self, made: Path) -> None:
        tables = spec_of("young").to_json() | {"budget": {"seconds": 0.01}}
        search(
            StudySpec.from_json(tables), storage=f"sqlite:///{made / 'nas.db'}", data_root=Path()
        )
        result = cli("young", "--latency", "2", "--device", "here")
        assert result.exit_code == 2
        assert 'the supernet of study "young" is trained up to epoch' in result.stderr
        assert "nas " in result.stderr

    def test_a_study_that_is_not_there(self) -> None:
        result = cli("nett", "--latency", "2", "--device", "here")
        assert result.exit_code == 2
        assert 'did you mean "net"' in result.stderr

    def test_a_study_file_that_is_there(self, tmp_path: Path) -> None:
        file = tmp_path / "own.toml"
        file.write_text("mine")
        given = ["net", "--latency", "2", "--device", "here", "--write-study", str(file)]
        result = cli(*given)
        assert result.exit_code == 2
        assert "exists; it is left as it is" in result.stderr
        assert file.read_text() == "mine"

    def test_a_supernet_that_is_lost(self, made: Path, tmp_path: Path) -> None:
        import shutil

        shutil.copytree(made, tmp_path / "copy")
        setup = study_of(tmp_path / "copy").setup
        assert isinstance(setup.evaluator, Prepares)
        artifact = setup.prepared[setup.evaluator.preparation.key].artifact
        from evaluators.artifacts import path

        path(artifact).unlink()
        with pytest.raises(UsageError, match=artifact.sha256[:12]):
            found_by(tmp_path / "copy", asked())


def test_the_formats_agree(found: Specialisation) -> None:
    bounds = ",".join(f"{bound:g}" for bound in BOUNDS)
    given = ["net", "--latency", bounds, "--device", "here", "--evaluations", str(FEW)]
    given += ["--no-measure", "--format"]
    value, rows = json.loads(cli(*given, "json").stdout), cli(*given, "csv").stdout.splitlines()
    assert [row["architecture"] for row in value["winners"]] == keys(found)
    assert value["evaluations"] == FEW
    head = rows[0].split(",")
    assert [row.split(",")[head.index("architecture")] for row in rows[1:]] == keys(found)
    text = cli(*given, "text").stdout
    assert all(key[:12] in text for key in keys(found))
