"""SIGINT and SIGTERM: they end a run in good order, wherever it is; at the second one at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tune_jobs.engine.trials.stopping import RunStopper

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """What a signal does to a run: a search is asked to end, whatever else is broken off.

    The second signal ends the process as it would have without this. In a thread that is not the
    main one Python hands over no signals.
    """

    def __init__(self) -> None:
        self._stopper: RunStopper | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Take signals from now on; to be called again when Ray has put in handlers of its own."""
        if threading.current_thread() is threading.main_thread():
            found: dict[int, Any] = {
                number: signal.signal(number, self._take) for number in SIGNALS
            }
            self._before = self._before or found

    def leave(self) -> None:
        """Leave signals to whoever had them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def asking(self, stopper: RunStopper) -> Iterator[None]:
        """Let a signal ask for an end during a block; whoever runs it sees to that."""
        self._stopper = stopper
        try:
            yield
        finally:
            self._stopper = None

    def _take(self, _number: int, _frame: Any) -> None:
        self.leave()
        if self._stopper is None:
            raise KeyboardInterrupt
        self._stopper.requested = True


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Take the first signal of a block in."""
    interruption = Interruption()
    interruption.listen()
    try:
        yield interruption
    except SystemExit as ended:  # while Ray starts it has a handler that does this
        if ended.code == signal.SIGTERM:
            raise KeyboardInterrupt from None
        raise
    finally:
        interruption.leave()
