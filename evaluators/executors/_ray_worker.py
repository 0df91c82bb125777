"""The side of a Ray actor: where a node keeps what batches read, and how one is evaluated.

The dataset lies in a file of the node, which each actor maps copy-on-write: one copy for all of
them, and what one writes into it in place the others do not see. An array straight from the object
store would be shared for writing, too.
"""

import fcntl
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import ray
from ray.exceptions import RayError

from evaluators import artifacts, sharing, stopping
from evaluators.artifacts import ArtifactError
from evaluators.executors import _worker
from evaluators.executors._pool import WorkerLostError
from evaluators.executors._worker import Raised
from evaluators.executors.inline import one_thread
from evaluators.preparation import Work
from evaluators.run import run
from evaluators.values import Artifact, Evaluation

# What is called while a batch is evaluated.
CONTROL = "control"
# Artifacts by their hashes: their bytes, or references to them in the object store.
Contents: TypeAlias = Mapping[str, Any]
Outcome: TypeAlias = Sequence[Evaluation] | Raised


class Worker:
    """One worker. `evaluate` runs in one thread, `interrupt` and `leave` in another.

    Args:
        driver: a name that no other driver has.
        path: where the driver finds modules; what of it exists here is searched last.
        shares_gpu: for `evaluators.sharing`.
    """

    def __init__(self, driver: str, path: Sequence[str], shares_gpu: bool) -> None:
        sys.path += [entry for entry in path if entry not in sys.path and Path(entry).exists()]
        sharing.declare(shares_gpu)
        _worker.prepare()
        self._folder = NodeFolder(driver)

    def begin(self) -> int:
        """Called before each batch: that it answers tells that the batch was begun."""
        return os.getpid()

    def evaluate(
        self, content: bytes, checkpoints: Contents, datasets: Contents
    ) -> tuple[bytes, Contents]:
        """Evaluate a batch; returns its `Outcome`, pickled, and the artifacts that it names.

        Pickled here, as are the jobs: Ray's own way takes a millisecond longer.

        Args:
            content: the jobs, pickled.
            checkpoints: the bytes of what the jobs read besides.
            datasets: references to those that this worker may not have seen.
        """
        jobs: Sequence[Work] = ()
        made: dict[str, bytes] = {}
        outcome: Outcome
        try:
            jobs = pickle.loads(content)  # noqa: S301 - from our own driver
            for sha256, reference in datasets.items():
                self._folder.fetch(sha256, reference)
            with self._folder.store() as store, one_thread():
                for sha256, checkpoint in checkpoints.items():
                    _keep(store, sha256, checkpoint)
                outcome = run([self._here(job, store) for job in jobs])
                for artifact in (found.artifact for found in outcome):
                    if artifact is not None:
                        made[artifact.sha256] = artifacts.path(artifact).read_bytes()
        except BaseException as error:
            outcome = _worker.raised(error, jobs)
        return pickle.dumps(outcome), made

    def _here(self, job: Work, store: str) -> Work:
        """The job with the places of this node: of its dataset, its checkpoints and its results."""
        return job.moved(store, job.dataset and self._folder.artifact(job.dataset.sha256))

    @ray.method(concurrency_group=CONTROL)  # type: ignore[untyped-decorator]  # ray has no types
    def interrupt(self) -> None:
        stopping.request()

    @ray.method(concurrency_group=CONTROL)  # type: ignore[untyped-decorator]
    def leave(self) -> None:
        """Before the end: the last one of a node clears its folder away."""
        self._folder.leave()


class NodeFolder:
    """A folder that the actors of one driver have in common on a node.

    Each of them holds a lock on it, which ends with its process, however that ends. A folder
    without one is swept by whoever comes next.
    """

    def __init__(self, driver: str) -> None:
        self._prefix = f"gnn-nas-{os.getuid()}-"
        self._path = Path(tempfile.gettempdir()) / f"{self._prefix}{driver}"
        self._lock = self._enter()
        self._store = artifacts.store_url(self._path / "artifacts")
        for other in self._path.parent.glob(f"{self._prefix}*"):
            _sweep(other)

    def _enter(self) -> int:
        while True:
            self._path.mkdir(mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):
                lock = os.open(self._path, os.O_RDONLY)
                fcntl.flock(lock, fcntl.LOCK_SH)
                # Unless somebody has swept it between the lines above.
                if os.path.samestat(os.fstat(lock), self._path.stat()):
                    return lock
                os.close(lock)

    def leave(self) -> None:
        os.close(self._lock)
        _sweep(self._path)

    def artifact(self, sha256: str) -> Artifact:
        return Artifact(self._store, sha256)

    def fetch(self, sha256: str, reference: Any) -> None:
        """Have a dataset here, from the object store where no other actor has brought it."""
        # One after the other: two who write it at once would each map a file of their own.
        with (self._path / "fetching").open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            with suppress(ArtifactError):
                artifacts.path(self.artifact(sha256))
                return
            try:
                content = ray.get(reference)
            except RayError as error:
                raise WorkerLostError(f"the object store has lost a dataset: {error}") from error
            _keep(self._store, sha256, memoryview(content))

    @contextmanager
    def store(self) -> Iterator[str]:
        """The URL of a store for one batch; its folder is there when something is written."""
        folder = self._path / f"batch-{os.getpid()}"
        try:
            yield artifacts.store_url(folder)
        finally:
            if folder.exists():
                shutil.rmtree(folder, ignore_errors=True)


def _keep(store: str, sha256: str, content: bytes | memoryview) -> None:
    if artifacts.write(store, content).sha256 != sha256:
        raise ArtifactError(f"the artifact {sha256[:12]} was damaged on its way to this node")


def _sweep(folder: Path) -> None:
    """Delete the folder of a driver unless an actor of it is alive."""
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
