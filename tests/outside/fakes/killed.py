"""A study in a process of its own, killed when it commits."""

import os
import signal
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.spec import StudySpec
from nas.store import Store
from nas.study import resume, search


def go(spec: StudySpec, storage: str, kill_at_commit: int | None) -> None:
    """Search or resume, in a child process; at the given commit it is killed."""
    if kill_at_commit is not None:
        commits = iter(range(kill_at_commit))

        def die(_: object) -> None:
            if next(commits, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "commit", die)
    name = spec.study.name
    known = Path(storage.removeprefix("sqlite:///")).exists() and any(
        s.name == name for s in Store(storage).studies()
    )
    if known:
        resume(name, storage=storage, data_root=Path())
    else:
        search(spec, storage=storage, data_root=Path())
