"""Signals, and what breaks a run off from another thread."""

import os
import signal
import threading
import time

import pytest

from tune_jobs.engine.errors import ClusterError
from tune_jobs.engine.trials import interruption as interruption_module
from tune_jobs.engine.trials.interruption import Interruption, interruptible

DIED = ClusterError("Ray's raylet has ended")


class Asked:
    """What a signal asks for an end."""

    requested = False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_a_search_for_its_end_and_breaks_anything_else_off(number) -> None:
    found = signal.getsignal(number)
    if found is signal.SIG_IGN:  # the tests run under nohup
        signal.signal(number, signal.SIG_DFL)
    before = signal.getsignal(number)
    with interruptible() as interruption, interruption.asking(stopper := Asked()):
        os.kill(os.getpid(), number)
    assert stopper.requested
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), number)

    assert signal.getsignal(number) is before
    signal.signal(number, found)


def test_a_search_that_does_not_end_when_asked_is_broken_off(monkeypatch) -> None:
    monkeypatch.setattr(interruption_module, "LONGEST_END", 0.1)
    with (
        pytest.raises(KeyboardInterrupt),
        interruptible() as interruption,
        interruption.asking(stopper := Asked()),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
    assert stopper.requested


def test_a_search_that_ends_when_asked_is_not(monkeypatch) -> None:
    monkeypatch.setattr(interruption_module, "LONGEST_END", 0.1)
    with interruptible() as interruption:
        with interruption.asking(Asked()):
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)


def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as interruption, interruption.asking(stopper := Asked()):
            os.kill(os.getpid(), signal.SIGHUP)
        assert not stopper.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def break_off(interruption: Interruption) -> threading.Thread:
    thread = threading.Thread(target=interruption.break_off, args=(DIED,))
    thread.start()
    return thread


def test_another_thread_breaks_off_what_waits() -> None:
    with pytest.raises(ClusterError, match="has ended"), interruptible() as interruption:
        break_off(interruption)
        try:
            time.sleep(600)
        except Exception:  # noqa: BLE001  # as Tune does
            pytest.fail("Tune would handle it")


def test_what_ends_already_is_not_broken_off_again_and_takes_one_more_signal() -> None:
    written = False
    with pytest.raises(ClusterError), interruptible() as interruption:
        try:
            with interruption.catching():
                break_off(interruption)
                time.sleep(600)
        finally:
            break_off(interruption).join()
            os.kill(os.getpid(), signal.SIGTERM)
            written = True

    assert written


def test_a_run_that_was_told_to_end_before_its_ray_died_is_interrupted() -> None:
    stopper = Asked()
    with (
        pytest.raises(KeyboardInterrupt),
        interruptible() as interruption,
        interruption.asking(stopper),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        break_off(interruption)
        time.sleep(600)

    assert stopper.requested
