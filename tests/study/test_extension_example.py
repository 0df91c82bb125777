"""The extension of the examples: few bits are few bits, on every way to train and out of here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from evaluators import Evaluation, Job, _paths
from evaluators.checkpoint import best_weights
from evaluators.datasets import save_sealed
from evaluators.engine.tracing import UnreadableError
from evaluators.run import run
from nas.export.bundle import export_trial
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import SpecError, StudySpec, spec_from_mapping
from nas.store import Store
from nas.study import resume, search
from search_spaces import Architecture

ROOT = Path(__file__).resolve().parents[2]
NAME = "examples.plugins.extension"


@pytest.fixture(autouse=True)
def _examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def spec_with(bits: Any = (32, 2, 4), **tables: Any) -> StudySpec:
    spec: dict[str, Any] = {
        "study": {"name": "bits", "objectives": {"val_accuracy": "maximize"}},
        "space": {"depth": [1], "operators": ["gcn"], "width": [16], "pre_layers": [0]},
        "dataset": {"name": "fakes.graph", "nodes": 90},
        "strategy": {"name": "random"},
        "extension": {NAME: {"bits": list(bits)}},
        "evaluator": {"epochs": 8},
        "budget": {"trials": 4},
    }
    return spec_from_mapping({**spec, **tables})


@pytest.fixture
def setup() -> Setup:
    return set_up(spec_with(), Path())


def of_bits(setup: Setup, bits: int) -> Architecture:
    return setup.space.fill(lambda d: d.choices[0], {"weight_bits": bits})


def built(setup: Setup, bits: int) -> nn.Module:
    torch.manual_seed(0)
    return setup.space.network(of_bits(setup, bits), setup.task).eval()


def predictions(setup: Setup, network: nn.Module) -> Tensor:
    assert setup.dataset is not None
    with torch.no_grad():
        made: Tensor = network(setup.dataset.x, setup.dataset.edge_index)
    return made


def job_of(setup: Setup, bits: int, folder: Path, until_epoch: int = 8) -> Job:
    assert setup.dataset is not None
    store = folder.as_uri()
    dataset = save_sealed(setup.dataset, store)
    return setup.job(of_bits(setup, bits), dataset, store, until_epoch)


def distinct(weights: Any) -> int:
    """How many values there are among them."""
    return len(set(weights.flatten().tolist()))


def numbers(evaluation: Evaluation) -> dict[str, float]:
    assert evaluation.failure is None
    return {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}


def test_few_bits_predict_otherwise_and_all_bits_as_without_the_extension(setup: Setup) -> None:
    plain = set_up(spec_with(extension={}), Path())
    torch.manual_seed(0)
    network = plain.space.network(plain.space.fill(lambda d: d.choices[0]), plain.task).eval()
    expected = predictions(setup, network)
    assert torch.equal(predictions(setup, built(setup, 32)), expected)
    assert not torch.allclose(predictions(setup, built(setup, 2)), expected, atol=1e-3)


@pytest.mark.parametrize("bits", [2, 4])
def test_weights_are_as_few_as_the_bits_can_number(bits: int, setup: Setup, tmp_path: Path) -> None:
    """After training too; the weights that are trained are more."""
    (evaluation,) = run([job_of(setup, bits, tmp_path)])
    assert evaluation.artifact is not None
    network = built(setup, bits)
    network.load_state_dict(best_weights(evaluation.artifact))
    maps = [m for m in network.modules() if type(m).__name__ == "RoundedLinear"]
    assert len(maps) == 2
    for module in maps:
        rounded, trained = module.weight(), module.linear.weight  # type: ignore[operator,union-attr]
        assert 2 <= distinct(rounded) <= 2**bits < distinct(trained)
    leaving = setup.space.deployed(network, of_bits(setup, bits))
    assert not [m for m in leaving.modules() if type(m).__name__ == "RoundedLinear"]
    assert all(distinct(p) <= 2**bits for p in leaving.parameters() if p.dim() == 2)
    torch.testing.assert_close(predictions(setup, leaving), predictions(setup, network))


@pytest.mark.parametrize("bits", [32, 2])
def test_the_fast_path_and_the_usual_loop_agree(
    bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dropout, which each draws in its own way."""
    setup = set_up(spec_with(evaluator={"epochs": 8, "dropout": 0.0}), Path())
    (fast,) = run([job_of(setup, bits, tmp_path)])
    assert fast.notes["path"] != "stock"

    def unreadable(*_: Any) -> None:
        raise UnreadableError("it is not to be read")

    monkeypatch.setattr(_paths, "_program", unreadable)
    (usual,) = run([job_of(setup, bits, tmp_path)])
    assert usual.notes["path"] == "stock"
    assert numbers(usual) == pytest.approx(numbers(fast), abs=1e-4)


def test_a_checkpoint_goes_on_as_if_nothing_had_been(setup: Setup, tmp_path: Path) -> None:
    whole, half = run([job_of(setup, 2, tmp_path), job_of(setup, 2, tmp_path, 3)])
    (on,) = run([replace(job_of(setup, 2, tmp_path), resume=half.artifact)])
    assert numbers(on) == numbers(whole)
    assert numbers(half) != numbers(whole)


def test_a_study_finds_goes_on_and_exports(storage: str, tmp_path: Path) -> None:
    """What leaves has rounded weights, and predicts what was measured."""
    spec = spec_with(bits=(2,), study={"name": "bits", "objectives": {"weight_bytes": "minimize"}})
    search(spec, storage=storage, data_root=Path())
    resume("bits", storage=storage, data_root=Path(), trials=5)
    trials = Store(storage).trials("bits")
    assert len(trials) == 5
    assert all(t.architecture and t.architecture.choices["weight_bits"] == 2 for t in trials)
    assert all(0 < t.metrics["weight_bytes"] < t.metrics["params"] for t in trials)
    export_trial("bits", "best", tmp_path / "bundle", storage=storage, data_root=Path())
    weights = load_file(tmp_path / "bundle" / "weights.safetensors")
    maps = [w for name, w in weights.items() if w.ndim == 2 and name.endswith("weight")]
    assert maps
    assert all(distinct(w) <= 4 for w in maps)


@pytest.mark.parametrize("bits", [[2.5], ["8"], 8, [True]], ids=str)
def test_bits_are_whole_numbers(bits: Any, storage: str) -> None:
    spec = spec_with(extension={NAME: {"bits": bits}})
    with pytest.raises(SpecError, match=r"bits: expected .*list of integers"):
        search(spec, storage=storage, data_root=Path())
