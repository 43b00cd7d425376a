"""The dialect of a CSV file: encoding, separator, decimal mark and lines of comment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

HEAD = 2**17  # bytes of the file that are looked at
LINES = 100

MARKS = ((b"\xff\xfe\x00\x00", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
FALLBACK = "cp1252"  # what Excel writes in Western Europe and America; it holds Latin-1's letters

QUOTED = re.compile(r'"[^"]*"')
DOTTED, COMMAED = (re.compile(rf"[-+]?\d*{mark}\d+") for mark in (r"\.", ","))


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        encoding: as Python calls it.
        separator: between columns.
        decimal: the mark before fractions.
        skipped: lines of comment above the names.
        is_guessed: True if the encoding is a guess, for the bytes are not UTF-8.
    """

    encoding: str = "utf8"
    separator: str = ","
    decimal: str = "."
    skipped: int = 0
    is_guessed: bool = False

    def __str__(self) -> str:
        """Return what is unlike a plain file, for a note; nothing if it is plain."""
        separated = SEPARATORS.get(self.separator, repr(self.separator))
        found = [
            self.encoding.upper() if self.encoding != "utf8" else "",
            f"separated by {separated}" if self.separator != "," else "",
            "with decimal commas" if self.decimal == "," else "",
            f"below {self.skipped} lines of comment" if self.skipped else "",
        ]
        return ", ".join(filter(None, found))


def sniff(
    path: Path,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
) -> Dialect:
    """Find the dialect of a file from its beginning; what is given is taken as it is.

    Raises:
        LookupError: if there is no such encoding.
    """
    with pa.input_stream(str(path), compression="detect") as stream:
        head = stream.read(HEAD)
    code = encoding or _find_encoding(head)
    text = head.decode(code, errors="replace").removeprefix("\ufeff")
    lines = text.splitlines()
    if len(head) == HEAD:
        lines = lines[:-1]
    found = separator or _find_separator([line for line in lines if line[:1] not in ("", "#")])
    skipped = _count_comments(lines, found)
    mark = decimal or _find_decimal(lines[skipped + 1 :], found)
    return Dialect(code, found, mark, skipped)


def _find_encoding(head: bytes) -> str:
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    even, odd = head[0:2000:2], head[1:2000:2]
    if odd and odd.count(0) > 0.4 * len(odd) and not even.count(0):
        return "utf-16-le"
    if even and even.count(0) > 0.4 * len(even) and not odd.count(0):
        return "utf-16-be"
    return "utf8"


def _find_separator(lines: Sequence[str]) -> str:
    """Return the separator that most lines have as often as the first does."""
    best, best_score = ",", (0.0, 0)
    bare = [QUOTED.sub("", line) for line in lines[:LINES]]
    for mark in SEPARATORS:
        counts = [line.count(mark) for line in bare]
        if not counts or not counts[0]:
            continue
        score = (counts.count(counts[0]) / len(counts), counts[0])
        if score > best_score:
            best, best_score = mark, score
    return best


def _count_comments(lines: Sequence[str], separator: str) -> int:
    """Count the lines above the names: those that begin with ``#`` and do not look like names."""
    first = next((n for n, line in enumerate(lines) if line[:1] not in ("", "#")), 0)
    if not any(line.startswith("#") for line in lines[:first]):
        return 0
    last = max(n for n, line in enumerate(lines[:first]) if line.startswith("#"))
    columns = lines[first].count(separator)
    return last if columns and lines[last].count(separator) == columns else first


def _find_decimal(lines: Sequence[str], separator: str) -> str:
    """Return a comma if fractions are written with one; never in a file that commas separate."""
    if separator == ",":
        return "."
    cells = [cell.strip(' "') for line in lines[:LINES] for cell in line.split(separator)]
    commas = sum(1 for cell in cells if COMMAED.fullmatch(cell))
    return "," if commas > sum(1 for cell in cells if DOTTED.fullmatch(cell)) else "."
