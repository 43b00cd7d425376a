"""What each worker process does first; whatever fails here leaves the worker alive."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from importlib import import_module

# The function that workers call when they start, as "module.function".
PRELOAD = "TUNE_JOBS_PRELOAD"


def prepare() -> None:
    """Hear the signals that Ray's own processes block, and call what prepares for trials.

    What a trial starts would block the signals as well, and could not be ended by them.

    Ray starts another worker for one that fails here, without end. A module that cannot be imported
    is reported by the first trial instead, which imports it too.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGHUP})
    module, _, name = os.environ.get(PRELOAD, "").rpartition(".")
    if module:
        with suppress(Exception, SystemExit):
            getattr(import_module(module), name)()
