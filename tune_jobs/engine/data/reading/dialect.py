"""The dialect of a CSV file: encoding, separator, decimal mark and lines of comment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tune_jobs.engine.formatting import count

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

HEAD = 2**17  # bytes of the file that are looked at
LINES = 100
MOST_SKIPPED = 30  # lines above the names

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
        skipped: lines of comment, or a title, above the names.
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
            f"below {count(self.skipped, 'line')} of comment" if self.skipped else "",
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
    skipped = _count_preamble(lines, found) if lines else 0
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
    """Return the separator that most lines have equally often."""
    best, best_score = ",", (0.0, 0)
    bare = [QUOTED.sub("", line) for line in lines[:LINES]]
    for mark in SEPARATORS:
        counts = Counter(line.count(mark) for line in bare)
        usual, lines_of_it = counts.most_common(1)[0] if counts else (0, 0)
        score = (lines_of_it / max(1, len(bare)), usual)
        if usual and score > best_score:
            best, best_score = mark, score
    return best


def _count_preamble(lines: Sequence[str], separator: str) -> int:
    """Count the lines above the names: comments, and a title that no separator divides.

    A first line that begins with ``#`` and has as many columns as the next one is names.
    """
    usual = Counter(line.count(separator) for line in lines[:LINES]).most_common(1)[0][0]
    for place, line in enumerate(lines[:MOST_SKIPPED]):
        divided = separator in line
        below = lines[place + 1].count(separator) if place + 1 < len(lines) else 0
        if line.startswith("#") and not (divided and line.count(separator) == below):
            continue
        if line and (divided or not usual):
            return place
    return 0


def _find_decimal(lines: Sequence[str], separator: str) -> str:
    """Return a comma if fractions are written with one; never in a file that commas separate."""
    if separator == ",":
        return "."
    cells = [cell.strip(' "') for line in lines[:LINES] for cell in line.split(separator)]
    commas = sum(1 for cell in cells if COMMAED.fullmatch(cell))
    return "," if commas > sum(1 for cell in cells if DOTTED.fullmatch(cell)) else "."
