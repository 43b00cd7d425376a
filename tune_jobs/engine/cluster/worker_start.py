"""What each worker process does first; whatever fails here leaves the worker alive."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module

# The function that workers call when they start, as "module.function".
PRELOAD = "TUNE_JOBS_PRELOAD"


def prepare() -> None:
    """Call the function that prepares a worker for trials.

    Ray starts another worker for one that fails here, without end. A module that cannot be imported
    is reported by the first trial instead, which imports it too.
    """
    module, _, name = os.environ.get(PRELOAD, "").rpartition(".")
    if module:
        with suppress(Exception, SystemExit):
            getattr(import_module(module), name)()
