"""Everything that is printed goes through here: foreign text shows, and acts on no terminal."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from tune_jobs.engine.credentials import hide_credentials
from tune_jobs.engine.formatting import visible


def write(text: object, stream: TextIO | None = None, *, end: str = "\n") -> None:
    """Print text, with what acts on a terminal or is unknown to its encoding replaced.

    Text and end are one write, so that lines of two threads do not mix.

    Args:
        text: may come from anyone: exceptions, names, files, a cluster.
        stream: standard output by default.
        end: printed after it.
    """
    to = sys.stdout if stream is None else stream
    if to is None:  # a process without a console
        return
    encoding = getattr(to, "encoding", None) or "utf-8"
    to.write(visible(text).encode(encoding, errors="replace").decode(encoding) + end)
    to.flush()


class VisibleLines(logging.Formatter):
    """Formats log records for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return visible(hide_credentials(super().format(record)))
