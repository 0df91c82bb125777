"""`[log]`: TensorBoard and MLflow have what the record has, each trial once, whatever happens."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from nas._tables import LogTable
from nas.cli import main
from nas.store import Store
from nas.watching.loggers import NEEDS, Subject
from nas.watching.points import ENDED, Point
from nas.watching.tensorboard import LogError, open_logger

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
NAS = [sys.executable, "-m", "nas"]
STUDY = """
[study]
name = "told"
objectives = { val_accuracy = "maximize", params = "minimize" }
[space]
depth = [1]
operators = ["gcn", "linear"]
width = [4, 8]
pre_layers = [0]
post_layers = [0]
[dataset]
name = "digits_knn"
[strategy]
name = "random"
[evaluator]
epochs = 6
[halving]
epochs = [2]
reduction = 2
[budget]
trials = 8
"""
Curves = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Told:
    """A study in a folder, with where it is logged to."""

    folder: Path

    @property
    def storage(self) -> str:
        return f"sqlite:///{self.folder / 'nas.db'}"

    @property
    def store(self) -> Store:
        return Store.open_existing(self.storage)

    def line(self, *more: str, kinds: tuple[str, ...] = ("tensorboard", "mlflow")) -> list[str]:
        """A search that is logged into the folder."""
        spec = self.folder / "told.toml"
        places = {"tensorboard": self.folder / "runs", "mlflow": self.folder / "mlflow"}
        log = "".join(f'{kind} = "{places[kind]}"\n' for kind in kinds)
        spec.write_text(f"{STUDY}\n[log]\n{log}")
        return ["search", str(spec), "--storage", self.storage, *more]

    @property
    def events(self) -> list[tuple[str, int, float]]:
        """Every point of every file of TensorBoard."""
        found = []
        for file in sorted((self.folder / "runs" / "told").glob("events.*")):
            for event in EventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "scalars":
                        found.append((value.tag, event.step, value.tensor.float_val[0]))
        return found

    @property
    def tensorboard(self) -> Curves:
        curves: Curves = {}
        for tag, step, value in self.events:
            curves.setdefault(tag, []).append((step, value))
        return curves

    @property
    def runs(self) -> list[Any]:
        client = MlflowClient(f"sqlite:///{self.folder / 'mlflow' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("gnn-nas")
        return list(client.search_runs([experiment.experiment_id]))

    @property
    def mlflow(self) -> Curves:
        client = MlflowClient(f"sqlite:///{self.folder / 'mlflow' / 'mlflow.db'}")
        (run,) = self.runs
        histories = {
            tag: client.get_metric_history(run.info.run_id, tag) for tag in run.data.metrics
        }
        return {tag: [(m.step, m.value) for m in each] for tag, each in histories.items()}


def called(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Logged to both, with one trial confirmed, and resumed when it was done."""
    study = Told(tmp_path_factory.mktemp("told"))
    assert called(*study.line("--quiet")).stderr == ""
    called("confirm", "told", "--trial", "0", "--seeds", "2", "--storage", study.storage)
    called("resume", "told", "--storage", study.storage)
    return study


@pytest.mark.parametrize("where", ["tensorboard", "mlflow"])
def test_curves_are_those_of_the_record(told: Told, where: str) -> None:
    """Every metric of every trial at its number, its decisions, its rungs, and the best so far."""
    curves: Curves = getattr(told, where)
    records = told.store.trials("told")
    order = sorted(records, key=lambda record: record.seq or 0)
    assert len(order) == 8
    for metric in ("val_accuracy", "params", "val_loss"):
        wanted = {record.number: record.metrics[metric] for record in records}
        assert dict(curves[f"trial/{metric}"]) == pytest.approx(wanted, rel=1e-6)
    assert sorted(curves[ENDED]) == sorted((r.number, r.seq) for r in records)
    for record in records:
        assert record.architecture is not None
        chosen = record.architecture.choices
        assert dict(curves["decision/layer0.width"])[record.number] == chosen["layer0.width"]
        place = ["gcn", "linear"].index(str(chosen["layer0.operator"]))
        assert dict(curves["decision/layer0.operator"])[record.number] == place
    rungs = dict(curves["rung/2/val_accuracy"])
    complete = {record.number for record in records if record.state == "complete"}
    assert rungs.keys() == complete
    for number in complete:
        first = told.store.evaluations("told", number)[0]
        assert rungs[number] == pytest.approx(first["metrics"]["val_accuracy"], rel=1e-6)
    best = max(record.metrics["val_accuracy"] for record in order if record.number in complete)
    assert dict(curves["best/val_accuracy"])[order[-1].number] == pytest.approx(best, rel=1e-6)
    values = [dict(curves["best/val_accuracy"]).get(record.number, 0.0) for record in order]
    assert values == sorted(values)


@pytest.mark.parametrize("where", ["tensorboard", "mlflow"])
def test_nothing_sealed_is_logged(told: Told, where: str) -> None:
    """Test was measured by then, and is not there."""
    curves = getattr(told, where)
    assert "trial/val_accuracy" in curves
    assert not [tag for tag in curves if "test" in tag]


def test_a_run_has_what_the_study_was_begun_with(told: Told) -> None:
    """Its name, the tables of its file, and what the numbers of decisions stand for."""
    (run,) = told.runs
    assert run.info.run_name == "told"
    assert run.data.params["strategy.name"] == "random"
    assert run.data.params["study.objectives"] == "val_accuracy maximize, params minimize"
    assert run.data.params["choices.layer0.operator"] == "0 gcn, 1 linear"
    assert not [name for name in run.data.params if name.startswith("log")]


def points(study: Told) -> Iterator[Counter[tuple[str, int]]]:
    yield Counter((tag, step) for tag, step, _ in study.events)
    yield Counter((tag, step) for tag, each in study.mlflow.items() for step, _ in each)


def test_resuming_what_is_done_adds_nothing(told: Told) -> None:
    """The fixture has."""
    for counted in points(told):
        assert counted
        assert set(counted.values()) == {1}


def test_killed_and_resumed_every_trial_is_logged_once(tmp_path: Path) -> None:
    """kill -9 while trials end all the time, twice; then to the end."""
    study = Told(tmp_path)
    line = study.line("--trials", "60", "--quiet", "--set", "evaluator.epochs=60")
    for arguments, least in ((line, 5), (["resume", "told", "--storage", study.storage], 20)):
        with subprocess.Popen(
            [*NAS, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
        ) as process:
            deadline = time.monotonic() + 120
            while len(_logged(study)) < least and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            process.send_signal(signal.SIGKILL)
        ended = study.store.status("told").trials.ended
        assert least <= ended < 60  # it was killed in the middle
    called("resume", "told", "--storage", study.storage)
    assert study.store.status("told").trials.ended == 60
    for counted in points(study):
        assert set(counted.values()) == {1}
        assert {step for tag, step in counted if tag == ENDED} == set(range(60))


def _logged(study: Told) -> set[int]:
    try:
        return {step for tag, step, _ in study.events if tag == ENDED}
    except Exception:  # a file whose head is being written
        return set()


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_a_logger_that_fails_stops_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where the study's folder should be, a server that is not there: a warning, once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    study = Told(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "told").write_text("in the way")
    line = study.line("--set", "log.mlflow=http://127.0.0.1:9")
    line += ["--set", f'log.tensorboard="{tmp_path / ("runs" if kind == "tensorboard" else "tb")}"']
    result = called(*line)
    assert study.store.status("told").trials.ended == 8
    warnings = [text for text in result.stderr.splitlines() if text.startswith("warning")]
    assert sum(f"is logged to {kind}: " in text for text in warnings) == 1
    assert (tmp_path / "tb" / "told").exists() == (kind == "mlflow")


def test_waiting_for_a_server_is_short_and_no_time_of_the_search(tmp_path: Path) -> None:
    """Nothing listens there, and MLflow asks again for minutes: the end comes in seconds.

    Asking in vain ends by itself after half a minute or more, and so would either of these times.
    """
    study = Told(tmp_path)
    line = study.line("--set", "log.mlflow=http://127.0.0.1:9", kinds=("mlflow",))
    process = subprocess.run([*NAS, *line], capture_output=True, text=True, env=ENVIRONMENT)
    ended = time.time()
    assert process.returncode == 0, process.stderr
    assert "mlflow takes too long" in process.stderr
    status = study.store.status("told")
    assert status.seconds < 20
    assert ended - datetime.fromisoformat(status.changed).timestamp() < 20


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('log.mlflow="ftp://host/x"', r'\[log\] mlflow: expected .* http://.* got "ftp://host/x"'),
        ('log.mlflow="FILE/below"', r"\[log\] mlflow: expected a folder, got .* is a file"),
        ('log.tensorboard="FILE"', r"\[log\] tensorboard: expected a folder, got .* is a file"),
        ('log.tensorboard="FILE/below"', r"\[log\] tensorboard: expected a folder, .* is a file"),
    ],
)
@pytest.mark.parametrize("dry", [False, True])
def test_what_cannot_be_logged_to_is_refused(
    value: str, message: str, dry: bool, tmp_path: Path
) -> None:
    """Before anything is stored, and by --dry-run."""
    (tmp_path / "file").write_text("in the way")
    line = Told(tmp_path).line("--set", value.replace("FILE", str(tmp_path / "file")), kinds=())
    result = called(*line, *(["--dry-run"] if dry else []), code=2)
    assert re.search(message, result.stderr), result.stderr
    assert "told" not in called("list", "--storage", f"sqlite:///{tmp_path / 'nas.db'}").stdout


def test_a_run_of_mlflow_ends_and_goes_on_as_the_study_does(tmp_path: Path) -> None:
    """FINISHED with the time of the record, RUNNING while more trials are made, and again."""
    study = Told(tmp_path)
    called(*study.line("--quiet", kinds=("mlflow",)))
    (run,) = study.runs
    changed = datetime.fromisoformat(study.store.status("told").changed).timestamp()
    assert run.info.status == "FINISHED"
    assert run.info.end_time == pytest.approx(changed * 1000, abs=2)
    more = ["resume", "told", "--trials", "400", "--storage", study.storage]
    with subprocess.Popen([*NAS, *more, "--quiet"], env=ENVIRONMENT) as process:
        deadline = time.monotonic() + 60
        while study.runs[0].info.status != "RUNNING":
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    (run,) = study.runs
    assert run.info.status == "KILLED"
    ended = study.store.status("told").trials.ended
    called("resume", "told", "--trials", str(ended + 1), "--storage", study.storage)
    (again,) = study.runs
    assert again.info.status == "FINISHED"
    assert again.info.end_time > run.info.end_time


@pytest.mark.parametrize(
    "uri",
    [
        "https://me:hunter2@mlflow.example/",
        "https://hunter2@mlflow.example",
        "postgresql://me:hunter2@host/mlflow",
        "https://mlflow.example/?token=hunter2",
        "postgresql://host/mlflow?user=me&password=hunter2",
    ],
)
def test_credentials_are_refused_and_shown_nowhere(uri: str, tmp_path: Path) -> None:
    """Before anything is stored; not in the error, and not in its traceback."""
    study = Told(tmp_path)
    line = study.line("--set", f'log.mlflow="{uri}"', "--debug")
    result = called(*line, code=2)
    assert "MLFLOW_TRACKING_PASSWORD" in result.stderr
    assert "[log] mlflow" in result.stderr
    assert "hunter2" not in result.output + result.stderr
    assert not (tmp_path / "nas.db").exists()


def test_uris_without_credentials_are_taken() -> None:
    """The control of the last one."""
    for uri in ("http://127.0.0.1:5000", "sqlite:///mlflow.db", "mlflow", "databricks://profile"):
        assert LogTable(mlflow=uri).mlflow == uri


def test_what_is_not_installed_is_said_before_the_search(tmp_path: Path) -> None:
    """With the command that installs it; nothing is stored."""
    study = Told(tmp_path)
    for kind, package in NEEDS.items():
        code = (
            f"import sys; sys.modules[{package!r}] = None\n"
            f"from nas.cli import main; main({study.line(kinds=(kind,))!r})"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT
        )
        assert result.returncode == 2
        assert f"[log] {kind}" in result.stderr
        assert f"pip install 'gnn-nas[{kind}]'" in result.stderr


def test_every_key_has_an_extra_and_is_documented() -> None:
    """A new kind of logger is one module, one key, one extra and a line of the documents."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    document = (ROOT / "docs" / "study_file.md").read_text()
    table = document.partition("## `[log]`")[2].partition("\n## ")[0]
    assert set(LogTable.model_fields) == set(NEEDS)
    for kind in NEEDS:
        assert kind in project["optional-dependencies"]
        assert (ROOT / "nas" / "watching" / f"{kind}.py").exists()
        assert f"| `{kind}` |" in table


def test_a_folder_is_of_one_study_and_one_process(tmp_path: Path) -> None:
    """A second writer waits; another study of the name is refused, and not mixed with the first."""
    first = Subject("s", "one", {"strategy.name": "random"}, {"val_accuracy": "maximize"})
    logger = open_logger(str(tmp_path), first)
    assert logger is not None
    assert open_logger(str(tmp_path), first) is None
    logger.write([Point("trial/x", 0, 1.0, 0.0)])
    logger.close()
    with pytest.raises(LogError, match="another study"):
        open_logger(str(tmp_path), Subject("s", "two", {}, {}))
    again = open_logger(str(tmp_path), first)
    assert again is not None
    again.close()
    assert json.loads((tmp_path / "s" / "nas.json").read_text()) == {"study": "one"}


def test_a_truncated_file_is_read_up_to_there(tmp_path: Path) -> None:
    """What a killed writer had half written is written again, whole."""
    subject = Subject("s", "one", {}, {})
    logger = open_logger(str(tmp_path), subject)
    assert logger is not None
    logger.write([Point("trial/x", step, float(step), 0.0) for step in range(3)])
    logger.close()
    (file,) = (tmp_path / "s").glob("events.*")
    file.write_bytes(file.read_bytes()[:-7])
    again = open_logger(str(tmp_path), subject)
    assert again is not None
    again.write([Point("trial/x", step, float(step), 0.0) for step in range(4)])
    again.close()
    steps = []
    for each in sorted((tmp_path / "s").glob("events.*"), key=lambda f: f.stat().st_mtime):
        for event in EventFileLoader(str(each)).Load():
            steps += [event.step for value in event.summary.value if value.tag == "trial/x"]
    assert steps == [0, 1, 2, 3]
