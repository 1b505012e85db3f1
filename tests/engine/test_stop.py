"""A signal is kept until a run can stop."""

import signal
import threading

import pytest

from uncrowd.engine.stop import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_kept_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.signal is None
        signal.raise_signal(number)
        assert stop.signal == number
    assert signal.getsignal(number) == before


def test_another_thread_leaves_signals_as_they_are() -> None:
    """Python delivers signals only to the main thread, so the thread of a server cannot take them over."""
    before, within = signal.getsignal(signal.SIGTERM), []

    def enter() -> None:
        with StopRequest() as stop:
            within.append((signal.getsignal(signal.SIGTERM), stop.signal))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert within == [(before, None)]
