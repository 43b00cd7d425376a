"""A finding of the lint: a file, a line, and the rule that the line breaks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """A mistake in a file.

    Attributes:
        path: the file, as it was given.
        line: counted from 1.
        text: what is wrong, with the value found and the rule; one line.
    """

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"
