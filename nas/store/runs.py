"""Runs: a process that drives a study begins one, beats, and ends it."""

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from nas.store.alive import (
    BEAT_SECONDS,
    GRACE_SECONDS,
    OWN_RUNS,
    Run,
    host_of,
    is_same_machine,
    open_runs,
    this_host,
)
from nas.store.clock import database_time
from nas.store.engine import StoreError, StoreFailedError
from nas.store.read import Store
from nas.store.schema import runs


def begin_run(connection: sa.Connection, study: int, name: str, *, join: bool) -> str:
    """Record a run of a study, whose row is locked; return its id. Runs that are gone are ended.

    Args:
        join: whether other processes may be driving the study.

    Raises:
        StoreError: another driver is alive, and this one must be alone; or it is on another
            machine, and the database is SQLite.
    """
    for run in open_runs(connection, study):
        if not run.is_alive:
            connection.execute(sa.update(runs).where(runs.c.id == run.id).values(ended=True))
        elif connection.dialect.name == "sqlite" and not is_same_machine(run.host):
            raise StoreError(
                f"{_driven(name, run)}: SQLite serves the processes of one machine; use PostgreSQL "
                "for several (nas storage export and import move a study), or wait until that one "
                f"has been silent for {GRACE_SECONDS:.0f} s"
            )
        elif not join:
            raise StoreError(
                f"{_driven(name, run)}; help it with: nas worker {name}, stop it, or wait until it "
                f"has been silent for {GRACE_SECONDS:.0f} s"
            )
    run_id = uuid.uuid4().hex
    OWN_RUNS.add(run_id)
    connection.execute(
        sa.insert(runs).values(
            id=run_id,
            study_id=study,
            host=this_host(),
            pid=os.getpid(),
            beat=database_time(),
            ended=False,
            step=0,
        )
    )
    return run_id


def _driven(name: str, run: Run) -> str:
    return (
        f'study "{name}" is being run by process {run.pid} on {host_of(run.host)}, which last gave '
        f"a sign {run.silent_seconds:.0f} s ago"
    )


@contextmanager
def heartbeat(sign: Callable[[], None]) -> Iterator[None]:
    """Give a sign of life every `BEAT_SECONDS`, from a thread, until the block ends."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                sign()
            except (StoreError, StoreFailedError):
                # The database may be back at the next beat; the driver's own writes will tell.
                continue

    thread = threading.Thread(target=beat, name="nas-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def driving(store: Store, name: str) -> Iterator[None]:
    """Drive a study for the time of a block: no other process may, and none cleans up meanwhile.

    Raises:
        StoreError: another driver is alive.
    """
    with store.writing() as connection:
        study = store.row(connection, name, lock=True)["id"]
        run_id = begin_run(connection, study, name, join=False)
    mine = sa.update(runs).where(runs.c.id == run_id)

    def beat() -> None:
        with store.writing() as connection:
            connection.execute(mine.values(beat=database_time()))

    try:
        with heartbeat(beat):
            yield
    finally:
        OWN_RUNS.discard(run_id)
        with store.writing() as connection:
            connection.execute(mine.values(ended=True))
