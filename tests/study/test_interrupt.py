"""Ctrl-C waits for the end of a transaction."""

import os
import signal
import threading

import pytest
import sqlalchemy as sa

from nas.interrupt import uninterrupted
from nas.store import Store


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    steps = []

    def interrupted() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("after the signal")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps == ["after the signal"]


def test_without_the_block_it_does_not_wait() -> None:
    """Control."""
    steps = []

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("after the signal")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps == []


def test_the_handler_is_restored_and_other_threads_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    inside = []

    def work() -> None:
        with uninterrupted():
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]


def test_an_interrupted_transaction_is_committed_and_holds_no_lock(storage: str) -> None:
    store = Store(storage)

    def interrupted() -> None:
        with store.writing() as connection:
            connection.execute(sa.text("create table kept (x integer)"))
            os.kill(os.getpid(), signal.SIGINT)
            connection.execute(sa.text("insert into kept values (1)"))

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with store.writing() as connection:
        assert connection.scalar(sa.text("select count(*) from kept")) == 1
