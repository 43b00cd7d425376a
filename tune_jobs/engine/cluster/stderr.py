"""Standard output and error as the system sees them, C++ included: kept aside, or left."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress


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


def find_terminals() -> list[int]:
    """Return which of standard output and standard error are terminals."""
    return [number for number in (1, 2) if os.isatty(number)]


def leave_terminals(numbers: Sequence[int]) -> None:
    """Write nowhere what went to terminals that have been closed; writing to them would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in numbers:
        with suppress(OSError):
            os.dup2(nowhere, number)
    os.close(nowhere)
