"""Blocks about Cora and CiteSeer, where these are, with small spaces, few epochs and few trials."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from .pages import ROOT, Block, shell, shortened

pytestmark = pytest.mark.slow
runs = pytest.mark.runs
SMALL = '--set space.depth=[1] --set \'space.operators=["tag","linear"]\' --set space.width=[8,16]'


@runs("docs/study_file.md", "--name deep")
def test_keys_are_given_over_the_file(
    shown: Sequence[Block], data_root: Path, tmp_path: Path
) -> None:
    """On CiteSeer."""
    small = "cora.toml --trials 2 --set halving.epochs=[2] --set evaluator.epochs=4"
    text = shortened(shown[0].text, {"cora.toml": small})
    done = shell(text, tmp_path, NAS_DATA_ROOT=str(data_root))
    assert done.returncode == 0, done.stderr
    assert "deep: 2 trials" in done.stdout


@runs("docs/evaluation.md", "nas rank cheap")
def test_nothing_is_trained(shown: Sequence[Block], data_root: Path, tmp_path: Path) -> None:
    """The study is that on Cora, with the objective of the page's comment."""
    cora, _, _ = (ROOT / "studies" / "cora.toml").read_text().partition("[strategy]")
    cora = shortened(cora, {'val_accuracy = "maximize"': 'val_accuracy_zero_cost = "maximize"'})
    cora = shortened(cora, {"dropout = [": "#", "\nlr = [": "\n#", "weight_decay = [": "#"})
    rest = '[evaluator]\nname = "zero_cost"\nalone_epochs = 2\n[budget]\ntrials = 3\n'
    start = {line for line in cora.splitlines() if "train.lr" in line}
    (tmp_path / "cheap.toml").write_text(shortened(cora, dict.fromkeys(start, "")) + rest)
    changes = {
        "--data-root data": f"--data-root {data_root}",
        "rank cheap": "rank cheap --architectures 10",
        "confirm cheap": "confirm cheap --seeds 2",
    }
    done = shell(shortened(shown[0].text, changes), tmp_path)
    assert done.returncode == 0, done.stderr


@runs("docs/transformation.md", "nas show transformation_cora 12")
def test_networks_grow(shown: Sequence[Block], data_root: Path, tmp_path: Path) -> None:
    small = "cora.toml --trials 14 --set evaluator.epochs=2 --set space.width=[8,16]"
    changes = {
        "studies/transformation_cora.toml": f"studies/transformation_{small}",
        "confirm transformation_cora": "confirm transformation_cora --top 1 --seeds 2",
        "--data-root data": f"--data-root {data_root}",
    }
    done = shell(shortened(shown[0].text, changes), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "morphism" in done.stdout


@runs("docs/supernet.md", "nas supernet rank", "nas latency profile study.toml", "found.winners")
def test_a_supernet_is_trained_and_sliced(
    shown: Sequence[Block], data_root: Path, tmp_path: Path
) -> None:
    """The device is profiled before both pages' commands that ask for it, in a few seconds."""
    whole, specialised, python = (block.text for block in shown)
    train, _, slices = whole.partition("nas supernet rank")
    study = "nas supernet train studies/supernet_cora.toml"
    epochs = "--set evaluator.epochs=2 --set evaluator.alone_epochs=3 --set budget.trials=3"
    text = shortened(train, {study: f"{study} {SMALL} {epochs}"})
    short = f"nas latency profile studies/supernet_cora.toml {SMALL} --minutes 0.0001"
    profile, _, again = specialised.partition("\n")
    profile = shortened(profile, {"nas latency profile study.toml": short})
    text += f"for i in 1 2 3; do {profile.partition('#')[0]}; done\n"
    changes = {
        "rank supernet_cora": "rank supernet_cora --architectures 10 --seeds 2",
        "--top 3 --seeds 10": "--top 1 --seeds 2",
        "--latency 2,5,10": "--latency 200,500 --evaluations 20",
    }
    text += shortened(f"nas supernet rank{slices}", changes)
    changes = {
        "specialise study": "specialise supernet_cora",
        "--out bundles": "--out again",
        "--latency 2,5,10": "--latency 200,500 --evaluations 20",
    }
    text = f"export NAS_DATA_ROOT={data_root}\n{text}{shortened(again, changes)}"
    done = shell(text.replace("--data-root data", f"--data-root {data_root}"), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "bundles" / "200ms" / "model.pt2").exists()
    changes = {
        'Study("study")': 'Study("supernet_cora")',
        "[2, 5, 10]": "[200, 500]",
        'out="bundles"': 'out="python", evaluations=20',
    }
    (tmp_path / "specialise.py").write_text(shortened(python, changes))
    done = shell("python specialise.py", tmp_path, NAS_DATA_ROOT=str(data_root))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "python" / "500ms" / "manifest.json").exists()
