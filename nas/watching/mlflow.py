"""A study in MLflow: one run in the experiment `gnn-nas`.

MLflow keeps one row for equal points of a curve, so that what was sent and not heard of is sent
again; and a trial whose last point is there is not sent at all.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.watching.loggers import Logger, Standing, Subject
from nas.watching.points import ENDED, Point

# MLflow would tell its makers that it is used.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Stdout is for what a command prints.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, ViewType
from mlflow.exceptions import MlflowException

if TYPE_CHECKING:
    from mlflow.entities import Run

# It says on stderr which tables it makes.
logging.getLogger("mlflow").setLevel(logging.WARNING)

EXPERIMENT, STUDY = "gnn-nas", "nas.study"
_RUNNING = "RUNNING"
# Reasons of a study's end that are its user's wish.
_ASKED = ("interrupted", "prepared")
# Of one request, as MLflow's API has it.
_METRICS, _PARAMS, _LETTERS = 1000, 100, 6000


class MLflow:
    """The run of one study."""

    def __init__(self, client: MlflowClient, run: str) -> None:
        self._client, self._run = client, run
        self._ended = {point.step for point in client.get_metric_history(run, ENDED)}

    def write(self, points: Sequence[Point]) -> None:
        if points and points[-1].tag == ENDED and points[-1].step in self._ended:
            return
        metrics = [Metric(p.tag, p.value, int(p.seconds * 1000), p.step) for p in points]
        for first in range(0, len(metrics), _METRICS):
            self._client.log_batch(self._run, metrics=metrics[first : first + _METRICS])

    def mark(self, standing: Standing) -> None:
        """As MLflow's own runs do: FINISHED, FAILED, or KILLED where it was asked to stop.

        A study that goes on is RUNNING again; MLflow keeps the time of its last end until the next.
        """
        status = _RUNNING
        if standing.state == "finished":
            status = "FINISHED"
        elif standing.state != "running":
            status = "KILLED" if standing.reason in _ASKED else "FAILED"
        if self._client.get_run(self._run).info.status == status:
            return
        if status == _RUNNING:
            self._client.update_run(self._run, status)
        else:
            self._client.set_terminated(self._run, status, int(standing.seconds * 1000))

    def close(self) -> None:
        """Nothing is open between two requests."""


def open_logger(place: str, subject: Subject) -> Logger | None:
    """A logger into the run of a study, which is made where there is none.

    Args:
        place: a tracking URI, or a folder, which then has a database and artifacts.
    """
    uri, artifacts = _tracking(place)
    client = MlflowClient(tracking_uri=uri)
    experiment = _experiment(client, artifacts)
    runs = _runs(client, experiment, subject)
    if not runs:
        tags = {STUDY: subject.identity}
        made = client.create_run(experiment, run_name=subject.name, tags=tags)
        runs = _runs(client, experiment, subject)
        if runs[0].info.run_id != made.info.run_id:  # another process was faster
            client.delete_run(made.info.run_id)
        else:
            _describe(client, made.info.run_id, subject)
    return MLflow(client, runs[0].info.run_id)


def _tracking(place: str) -> tuple[str, str | None]:
    if "://" in place or place == "databricks":
        return place, None
    folder = Path(place).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


def _experiment(client: MlflowClient, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
        except MlflowException:  # made by another process meanwhile, or there is a fault to hear of
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
    return str(found.experiment_id)


def _runs(client: MlflowClient, experiment: str, subject: Subject) -> "list[Run]":
    """Those of the study, the first one first."""
    found = client.search_runs(
        [experiment],
        f"tags.`{STUDY}` = '{subject.identity}'",
        ViewType.ACTIVE_ONLY,
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
    )
    return list(found)


def _describe(client: MlflowClient, run: str, subject: Subject) -> None:
    params = [Param(name, text[:_LETTERS]) for name, text in subject.settings.items()]
    for first in range(0, len(params), _PARAMS):
        client.log_batch(run, params=params[first : first + _PARAMS])
