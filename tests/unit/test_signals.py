"""Signals, sent for real to this process."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from fasthep_validate.signals import stoppable


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
