"""Signals end a run in good order, wherever it is; a second signal ends it at once.

SIGINT, SIGTERM and SIGHUP do; a SIGHUP that is ignored, as under nohup, stays ignored. What breaks
a run off from another thread, such as the death of its Ray, comes as a signal, too: it reaches the
main thread wherever it waits.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tune_jobs.engine.cluster.stderr import find_terminals, leave_terminals
from tune_jobs.engine.errors import JobError, mistake_of_exit
from tune_jobs.engine.trials.stopping import RunStopper

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BREAK = signal.SIGUSR2  # Tune takes SIGUSR1

# Seconds after which a search that was asked to end is broken off: Ray may wait for a worker that
# died of the same signal, and schedulers kill what has not ended after 30.
LONGEST_END = 20.0

Handler = Callable[[int, FrameType | None], object] | int | None


class BrokenOff(BaseException):  # no Exception: Tune must not handle it
    """The reason why a run cannot continue, on its way up."""

    def __init__(self, reason: JobError) -> None:
        super().__init__(reason)
        self.reason = reason


class Interruption:
    """The effect of a signal on a run: a search is asked to end, anything else is broken off.

    The second signal ends the process as it would have without this. Python delivers signals to
    the main thread only.
    """

    def __init__(self) -> None:
        self._stopper: RunStopper | None = None
        self._before: dict[int, Handler] = {}
        self._reason: JobError | None = None
        self._is_caught = self._is_signalled = False
        self._terminals = find_terminals()
        self._listener: int | None = None
        self._insisting: threading.Timer | None = None

    def listen(self) -> None:
        """Take signals from now on; call it again after Ray has installed its own handlers."""
        if threading.current_thread() is not threading.main_thread():
            return
        found: dict[int, Handler] = {BREAK: signal.signal(BREAK, self._break)}
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                found[number] = signal.signal(number, self._take)
        self._before = self._before or found
        self._listener = threading.get_ident()

    def leave(self) -> None:
        """Restore the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def asking(self, stopper: RunStopper) -> Iterator[None]:
        """Let a signal ask the stopper for an end during a block.

        Raises:
            KeyboardInterrupt: if the block has not ended some seconds after that.
        """
        self._stopper = stopper
        try:
            yield
        finally:
            self._stopper = None
            if self._insisting is not None:
                self._insisting.cancel()

    def break_off(self, reason: JobError) -> None:
        """Raise an error wherever the run is; another thread calls this, until it is caught."""
        self._reason = self._reason or reason
        if self._listener is not None and not self._is_caught:
            signal.pthread_kill(self._listener, BREAK)

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Turn whatever ends a block that was broken off into the reason.

        Where C++ runs, Python turns the exception that breaks off into another one.

        Raises:
            JobError: the reason.
        """
        try:
            yield
        except BaseException:
            if self._reason is None or self._is_caught:
                raise
            self._is_caught = True
            if self._is_signalled:
                raise KeyboardInterrupt from None
            raise self._reason from None

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_terminals(self._terminals)
        if self._reason is not None and not self._is_signalled:
            self._is_signalled = True  # the run ends already
            return
        self._is_signalled = True
        self._restore()
        if self._stopper is None:
            raise KeyboardInterrupt
        self._stopper.requested = True
        self._insisting = threading.Timer(LONGEST_END, self._insist)
        self._insisting.daemon = True
        self._insisting.start()

    def _insist(self) -> None:
        if self._listener is not None:
            signal.pthread_kill(self._listener, BREAK)

    def _break(self, _number: int, _frame: FrameType | None) -> None:
        is_late = self._is_signalled and self._stopper is not None
        if self._is_caught or (self._reason is None and not is_late):
            return
        if self._reason is None or self._is_signalled:
            raise KeyboardInterrupt
        raise BrokenOff(self._reason)

    def _restore(self) -> None:
        """Restore the handlers of signals that end a run."""
        for number in {*self._before} - {BREAK}:
            signal.signal(number, self._before[number])


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handle the first signal of a block.

    Raises:
        JobError: if code of the job ends the process, or the block is broken off for a reason.
    """
    interruption = Interruption()
    interruption.listen()
    try:
        with interruption.catching():
            yield interruption
    except SystemExit as ended:  # while Ray starts it has a handler that does this
        if ended.code == signal.SIGTERM:
            raise KeyboardInterrupt from None
        raise mistake_of_exit(ended) from ended
    finally:
        interruption.leave()
