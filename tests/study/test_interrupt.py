"""Ctrl-C waits for the end of a transaction."""

import os
import signal
import threading

import pytest
import sqlalchemy as sa

from evaluators import stopping
from nas.interrupt import Stop, uninterrupted
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_raises(number: signal.Signals) -> None:
    """Also where nobody handles SIGTERM, which would end the process."""
    before = signal.getsignal(number)
    stop = Stop()
    with stop.listening():
        assert not stopping.requested()
        os.kill(os.getpid(), number)
        assert stop.asked
        assert stopping.requested()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert not stopping.requested()


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        stop = Stop()
        with stop.listening():
            os.kill(os.getpid(), signal.SIGTERM)
        assert not stop.asked
    finally:
        signal.signal(signal.SIGTERM, before)


def test_two_signals_in_a_transaction_are_two(storage: str) -> None:
    """Both wait for its end; then the first asks, and the second raises."""
    stop = Stop()

    def interrupted() -> None:
        with Store(storage).writing():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with stop.listening(), pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stop.asked
