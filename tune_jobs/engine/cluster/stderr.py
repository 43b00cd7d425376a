"""Keep aside what C++ prints on the screen: Python's own streams do not see it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stderr_aside() -> Iterator[Callable[[], str]]:
    """Keep from the screen what this process writes to standard error, C++ included.

    Yields:
        A function that returns what has been written so far.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)

        def written() -> str:
            return os.pread(aside.fileno(), 2**20, 0).decode(errors="replace")

        try:
            yield written
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
