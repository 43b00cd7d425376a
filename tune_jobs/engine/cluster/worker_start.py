"""What each worker process does first; whatever fails here leaves the worker alive."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from importlib import import_module

# The function that workers call when they start, as "module.function".
PRELOAD = "TUNE_JOBS_PRELOAD"

# The umask of the user, in octal digits.
UMASK = "TUNE_JOBS_UMASK"


def prepare() -> None:
    """Leave what keeps Ray's own processes apart, and call what prepares for trials.

    Those block signals, and what they write is open to their user alone. What a trial starts could
    not be ended by the signals, and what it writes to a shared storage could not be read by others.

    Ray starts another worker for one that fails here, without end. A module that cannot be imported
    is reported by the first trial instead, which imports it too.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGHUP})
    if umask := os.environ.get(UMASK):
        os.umask(int(umask, 8))
    module, _, name = os.environ.get(PRELOAD, "").rpartition(".")
    if module:
        with suppress(Exception, SystemExit):
            getattr(import_module(module), name)()
