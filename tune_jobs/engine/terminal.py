"""Everything that is printed goes through here: foreign text shows, and acts on no terminal."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from tune_jobs.engine.credentials import hide_credentials
from tune_jobs.engine.formatting import visible


def write(text: object, stream: TextIO | None = None, *, end: str = "\n") -> None:
    """Print text, with what acts on a terminal or is unknown to its encoding replaced.

    Args:
        text: may come from anyone: exceptions, names, files, a cluster.
        stream: standard output by default.
        end: printed after it.
    """
    to = sys.stdout if stream is None else stream
    encoding = getattr(to, "encoding", None) or "utf-8"
    shown = visible(text).encode(encoding, errors="replace").decode(encoding)
    print(shown, file=to, end=end, flush=True)


class VisibleLines(logging.Formatter):
    """Formats log records for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return visible(hide_credentials(super().format(record)))
