"""The code in the documents works as it is written there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_what_is_shown_of_the_examples_is_in_them() -> None:
    """Word for word: `tests/test_examples.py` runs them, so what is shown works.

    But for blank lines and indentation, which a method that is shown alone has otherwise.
    """

    def words(text: str) -> str:
        return "\n".join(line.strip() for line in text.splitlines() if line.strip())

    document = (DOCS / "plugins.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\(\.\./(examples/\S+)\):\n\n```\w+\n(.*?)^```", document, re.M | re.S)
    assert {Path(file).stem for file, _ in shown} == {
        file.stem for file in (DOCS.parent / "examples" / "plugins").glob("*.py")
    } | {"study"}
    for file, code in shown:
        assert words(code) in words((DOCS.parent / file).read_text(encoding="utf-8")), file
    assert len(re.findall(r"^```(?:python|toml)", document, re.M)) == len(shown)


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
