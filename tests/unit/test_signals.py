"""Signals, sent for real to this process."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import pytest

from fasthep_validate.signals import held, stoppable


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_interrupts(signum: int) -> None:
    with stoppable() as stopped, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signum)
    assert stopped.signum == signum


def test_later_signals_are_not_heard() -> None:
    cleaned = False
    with stoppable() as stopped:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned = True
    assert cleaned
    assert stopped.signum == signal.SIGTERM


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    with suppress(RuntimeError), stoppable() as stopped:
        assert signal.getsignal(signal.SIGTERM) not in before
        raise RuntimeError
    assert stopped.signum == 0
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_held_back_until_all_is_done(signum: int) -> None:
    steps = []
    with stoppable() as stopped:
        try:
            with held():
                os.kill(os.getpid(), signum)
                steps.append("closed")
            steps.append("not reached")
        except KeyboardInterrupt:
            steps.append("interrupted")
    assert steps == ["closed", "interrupted"]
    assert stopped.signum == signum


def test_without_a_signal_holding_changes_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    with suppress(RuntimeError), held():
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_hear_no_signals() -> None:
    heard = []

    def work() -> None:
        with stoppable() as stopped, held():
            heard.append(stopped.signum)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [0]
