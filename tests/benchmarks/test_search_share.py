"""benchmarks/search_share.py: what takes time is charged for it, in the program as it is."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import search_share
from share_probe import sitecustomize as probe

# A program that is called as ours is; where it "trains", it imports one more module of its own.
PROGRAM = {
    "nas/__init__.py": "",
    "nas/__main__.py": "from evaluators.engine.cohort import Cohort\nCohort().advance()\n",
    "evaluators/__init__.py": "",
    "evaluators/engine/__init__.py": "",
    "evaluators/engine/later.py": "sum(range(3_000_000))\n",
    "evaluators/engine/cohort.py": """
class Cohort:
    def advance(self):
        import evaluators.engine.later
        sum(range(1_000_000))
""",
}


class Hours:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def thread_time(self) -> float:
        return self.now

    perf_counter = process_time = thread_time

    def work(self, seconds: float) -> None:
        self.now += seconds


def phases_of(folder: Path) -> Mapping[str, tuple[float, float]]:
    return search_share._phases(folder)


def test_what_a_phase_calls_of_another_is_charged_to_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = Hours()
    monkeypatch.setattr(probe, "time", hours)
    clock = probe.Clock(str(tmp_path))
    training, record = [*probe.PHASES].index("training"), [*probe.PHASES].index("record")

    def write() -> None:
        hours.work(3)

    def train() -> None:
        hours.work(10)
        clock.call(record, write, (), {})
        clock.call(training, hours.work, (5,), {})

    hours.work(100)  # of no phase
    clock.call(training, train, (), {})
    found = phases_of(tmp_path)
    assert found["training"] == (15.0, 15.0)
    assert found["record"] == (3.0, 3.0)
    assert sum(cpu for cpu, _ in found.values()) == 18.0


def test_a_phase_that_fails_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = Hours()
    monkeypatch.setattr(probe, "time", hours)
    clock = probe.Clock(str(tmp_path))
    with pytest.raises(TypeError):
        clock.call(1, hours.work, ("no number",), {})
    hours.work(7)
    assert all(cpu == 0 for cpu, _ in phases_of(tmp_path).values())


def written(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_program_of_a_tree_is_what_is_measured(tmp_path: Path) -> None:
    found = search_share.share(written(tmp_path, PROGRAM), tmp_path, trials=1)
    assert 0 < found["training_cpu_seconds"] < found["cpu_seconds"]
    # What is imported in the middle of training is no training, and three times as long.
    assert found["imports_cpu_seconds"] > found["training_cpu_seconds"]
    parts = [found[f"{name}_cpu_seconds"] for name in (*probe.PHASES, "rest")]
    assert sum(parts) == pytest.approx(found["cpu_seconds"])
    assert found["share_outside"] == pytest.approx(found["outside_seconds"] / found["cpu_seconds"])


def test_a_tree_whose_training_the_probe_does_not_know_is_refused(tmp_path: Path) -> None:
    renamed = {name: text.replace("advance", "proceed") for name, text in PROGRAM.items()}
    with pytest.raises(SystemExit, match="nothing that the probe knows as training"):
        search_share.share(written(tmp_path, renamed), tmp_path, trials=1)


def test_a_search_that_fails_is_no_measurement(tmp_path: Path) -> None:
    broken = PROGRAM | {"nas/__main__.py": "raise SystemExit('no such dataset')\n"}
    with pytest.raises(SystemExit, match="no such dataset"):
        search_share.share(written(tmp_path, broken), tmp_path, trials=1)


def test_every_phase_but_imports_is_found_in_the_program() -> None:
    """By name: what is renamed would silently become the rest."""
    code = """
import importlib
from share_probe.sitecustomize import PHASES
for phase, modules in PHASES.items():
    for name, functions in modules.items():
        module = importlib.import_module(name.rstrip("."))
        for function in functions.replace("*", "").split():
            value = module
            for part in function.split("."):
                value = getattr(value, part)
            print(phase, function)
"""
    paths = [str(Path(search_share.__file__).parent), str(search_share.TREE)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}\n{code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "training Cohort.advance" in done.stdout
