"""Runs: which process drives a study, and whether it is alive."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from nas.store.alive import OWN_RUNS, host_of, may_be_alive, this_host
from nas.store.engine import StoreError, StoreFailedError
from nas.store.read import BEAT_SECONDS, GRACE_SECONDS, Store
from nas.store.schema import runs


def begin_run(connection: sa.Connection, study: int, name: str) -> str:
    """Record a run of a study, whose row is locked; return its id. Runs that are gone are ended.

    Raises:
        StoreError: another driver is alive.
    """
    query = sa.select(runs).where(runs.c.study_id == study, sa.not_(runs.c.ended))
    for run in connection.execute(query).mappings().all():
        silent = time.time() - run["beat"]
        if silent < GRACE_SECONDS and may_be_alive(run["id"], run["host"], run["pid"]):
            raise StoreError(
                f'study "{name}" is being run by process {run["pid"]} on {host_of(run["host"])}, '
                f"which last gave a sign {silent:.0f} s ago; stop it, or wait until it has "
                f"been silent for {GRACE_SECONDS:.0f} s"
            )
        connection.execute(sa.update(runs).where(runs.c.id == run["id"]).values(ended=True))
    run_id = uuid.uuid4().hex
    OWN_RUNS.add(run_id)
    connection.execute(
        sa.insert(runs).values(
            id=run_id,
            study_id=study,
            host=this_host(),
            pid=os.getpid(),
            beat=time.time(),
            ended=False,
        )
    )
    return run_id


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
        run_id = begin_run(connection, store.row(connection, name, lock=True)["id"], name)
    mine = sa.update(runs).where(runs.c.id == run_id)

    def beat() -> None:
        with store.writing() as connection:
            connection.execute(mine.values(beat=time.time()))

    try:
        with heartbeat(beat):
            yield
    finally:
        with store.writing() as connection:
            connection.execute(mine.values(ended=True))
