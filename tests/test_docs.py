"""The code in the documents works as it is written there."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
DOCUMENT = (DOCS / "plugins.md").read_text(encoding="utf-8")


def test_the_documented_plug_ins(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    modules = re.findall(r"^```python\n(.*?# (mine/\w+\.py)\n.*?)^```", DOCUMENT, re.M | re.S)
    assert len(modules) == 3
    for code, place in modules:
        (tmp_path / place).write_text(code)
    (study,) = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.M | re.S)
    (tmp_path / "own.toml").write_text(study)
    nas = [sys.executable, "-m", "nas"]
    command = [*nas, "search", "own.toml", "--format", "json"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["trials"]["complete"] == 6
    trials = subprocess.run(
        [*nas, "trials", "own", "--format", "json"], cwd=tmp_path, capture_output=True, check=True
    )
    chosen = [trial["decisions"] for trial in json.loads(trials.stdout)]
    mine = [d for d in chosen if d["layer0.operator"] == "mine.operator"]
    assert mine
    assert all("layer0.steps" in d for d in mine)
    assert not any("layer0.steps" in d for d in chosen if d not in mine)
    exported = [*nas, "export", "own", "--trial", str(chosen.index(mine[0])), "--to", "bundle"]
    subprocess.run(exported, cwd=tmp_path, capture_output=True, check=True)
    wrong = [*nas, "search", "own.toml", "--set", "strategy.random_shar=1.0", "--name", "b"]
    refused = subprocess.run(wrong, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert 'did you mean "random_share"' in refused.stderr


def test_the_documented_keys_of_the_benchmark(tmp_path: Path) -> None:
    """The Python of the study file's page, run as a script."""
    text = (DOCS / "study_file.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    (tmp_path / "keys.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "keys.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "'links': '0001'" in done.stdout


def test_the_documented_python_of_latency(tmp_path: Path) -> None:
    """A profile of half a minute, made and used as the page does."""
    text = (DOCS / "latency.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    shutil.copytree(DOCS.parent / "studies", tmp_path / "studies")
    (tmp_path / "predict.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "predict.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    mean, low, high = map(float, re.findall(r"\d+\.\d+", done.stdout))
    assert 0 <= low <= mean <= high
    assert (tmp_path / "devices" / "here.npz").exists()
