"""A study in TensorBoard: one run, in a folder of its own, that is read before it is written on."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from nas.watching.loggers import Logger, Standing, Subject
from nas.watching.points import Point
from search_spaces import UsageError

_IDENTITY, _LOCK = "nas.json", "nas.lock"


class LogError(UsageError):
    """Nothing can be logged there."""


class TensorBoard:
    """The events of one study; what a process that was killed had written counts.

    Args:
        folder: of the study.
        lock: an open file whose lock says that nobody else writes there.
    """

    def __init__(self, folder: Path, lock: int, subject: Subject) -> None:
        self._lock = lock
        self._written = {pair for file in _event_files(folder) for pair in _points(file)}
        is_new = not self._written
        self._writer = SummaryWriter(str(folder))
        if is_new:
            self._begin(subject)

    def _begin(self, subject: Subject) -> None:
        rows = "\n".join(f"| {name} | {text} |" for name, text in subject.settings.items())
        self._writer.add_text("study", f"| key | value |\n|---|---|\n{rows}")
        metrics = {f"best/{metric}": 0.0 for metric in subject.objectives}
        make: Callable[..., Any] = hparams
        writer: Any = self._writer
        for summary in make(dict(subject.settings), metrics):
            writer.file_writer.add_summary(summary)

    def write(self, points: Sequence[Point]) -> None:
        for point in points:
            if (point.tag, point.step) not in self._written:
                self._writer.add_scalar(point.tag, point.value, point.step, point.seconds)
                self._written.add((point.tag, point.step))
        self._writer.flush()

    def mark(self, standing: Standing) -> None:
        """TensorBoard's runs have no states."""

    def close(self) -> None:
        self._writer.close()
        os.close(self._lock)


def open_logger(place: str, subject: Subject) -> Logger | None:
    """A logger into the folder of a study in the folder `place`; None while another writes there.

    Raises:
        LogError: the folder has another study of that name.
        OSError: it cannot be written to.
    """
    folder = Path(place) / subject.name
    folder.mkdir(parents=True, exist_ok=True)
    lock = _locked(folder / _LOCK)
    if lock is None:
        return None
    identity = folder / _IDENTITY
    if not identity.exists():
        identity.write_text(json.dumps({"study": subject.identity}), encoding="utf-8")
    if json.loads(identity.read_text(encoding="utf-8"))["study"] != subject.identity:
        os.close(lock)
        raise LogError(
            f"{folder} is of another study with this name; move it away, or give [log] "
            "tensorboard another folder"
        )
    return TensorBoard(folder, lock, subject)


def _locked(path: Path) -> int | None:
    """An open file with a lock that ends with this process; None where another has it."""
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows: one driver at a time is up to its user
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*"))


def _points(file: Path) -> Iterator[tuple[str, int]]:
    """(tag, step) of what is in a file, up to where its writer was killed."""
    for raw in RawEventFileLoader(str(file)).Load():
        event = Event.FromString(raw)
        for value in event.summary.value:
            yield value.tag, event.step
