"""SIGINT and SIGTERM end a run in good order, wherever it is; a second signal ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tune_jobs.engine.errors import mistake_of_exit
from tune_jobs.engine.trials.stopping import RunStopper

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], object] | int | None


class Interruption:
    """The effect of a signal on a run: a search is asked to end, anything else is broken off.

    The second signal ends the process as it would have without this. Python delivers signals to
    the main thread only.
    """

    def __init__(self) -> None:
        self._stopper: RunStopper | None = None
        self._before: dict[int, Handler] = {}

    def listen(self) -> None:
        """Take signals from now on; call it again after Ray has installed its own handlers."""
        if threading.current_thread() is threading.main_thread():
            found: dict[int, Handler] = {
                number: signal.signal(number, self._take) for number in SIGNALS
            }
            self._before = self._before or found

    def leave(self) -> None:
        """Restore the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def asking(self, stopper: RunStopper) -> Iterator[None]:
        """Let a signal ask the stopper for an end during a block."""
        self._stopper = stopper
        try:
            yield
        finally:
            self._stopper = None

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.leave()
        if self._stopper is None:
            raise KeyboardInterrupt
        self._stopper.requested = True


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handle the first signal of a block.

    Raises:
        JobError: if code of the job ends the process.
    """
    interruption = Interruption()
    interruption.listen()
    try:
        yield interruption
    except SystemExit as ended:  # while Ray starts it has a handler that does this
        if ended.code == signal.SIGTERM:
            raise KeyboardInterrupt from None
        raise mistake_of_exit(ended) from ended
    finally:
        interruption.leave()
