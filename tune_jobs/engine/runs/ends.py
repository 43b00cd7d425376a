"""The end of a run: everything that has to be done then, by whichever thread can do it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.outcome import EXIT_CODES
from tune_jobs.engine.runs.finish import outcome_of_error
from tune_jobs.engine.terminal import write


class Ends(ExitStack[bool | None]):
    """What has to be done when a block ends, last first, and once.

    If a part of Ray dies while a thread waits for it in C++, neither a signal nor an exception
    reaches that thread. Another one then does what has to be done, and ends the process.

    Args:
        outer: what has to be done after it.
        conclude: called with the error that ends the process; says it and returns the exit code.
    """

    def __init__(
        self, outer: Ends | None = None, conclude: Callable[[BaseException], int] | None = None
    ) -> None:
        super().__init__()
        self._outer, self._conclude = outer, conclude or conclude_plainly
        self._untaken = threading.Lock()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do it in the thread that leaves the block, unless another one is doing it."""
        if not self._untaken.acquire(blocking=False):
            threading.Event().wait()  # until the other thread ends the process
        super().__exit__(kind, error, trace)

    def end_process(self, reason: JobError, at_last: Callable[[], None]) -> None:
        """Do it because of an error, and end the process; nothing if it is being done already.

        Args:
            reason: why the process ends.
            at_last: called when all is done.
        """
        if not self._untaken.acquire(blocking=False):
            return
        code = reason.exit_code
        try:
            code = self._end(reason)
        finally:
            try:
                at_last()
            finally:
                os._exit(code)

    def _end(self, error: BaseException) -> int:
        try:
            super().__exit__(type(error), error, error.__traceback__)
        except BaseException as changed:  # noqa: BLE001  # it is said
            error = changed
        return self._conclude(error) if self._outer is None else self._outer._end(error)


def conclude_plainly(error: BaseException) -> int:
    """Say on standard error what ends the process, and return the exit code that it stands for."""
    write(f"error: {error}", sys.stderr)
    return EXIT_CODES[outcome_of_error(error)]
