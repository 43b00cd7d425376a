"""What is known of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.engine.formatting import count

MOST_CLASSES = 10  # that are shown


@dataclass(frozen=True)
class ColumnFacts:
    """What is known of a column.

    Attributes:
        name: the column's.
        kind: number, yes/no, category, date, text or empty.
        missing: rows without a value.
        distinct: different values.
        examples: some of them.
        use: what is done with it.
    """

    name: str
    kind: str
    missing: int
    distinct: int
    examples: tuple[str, ...]
    use: str


def as_lines(columns: Sequence[ColumnFacts], total: int) -> list[str]:
    """Return a table of the columns as lines of text."""
    head = ("column", "kind", "missing", "distinct", "examples", "use")
    rows = [
        (c.name, c.kind, f"{c.missing:,}", f"{c.distinct:,}", ", ".join(c.examples), c.use)
        for c in columns
    ]
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(width) if place in (2, 3) else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    more = total - len(columns)
    return [*lines, f"and {count(more, 'more column')}"] if more else lines


def say_classes(classes: Mapping[Any, int]) -> str:
    """Return the rows of each class, the most frequent first, with their share."""
    total = sum(classes.values())
    often = sorted(classes.items(), key=lambda pair: -pair[1])
    shown = [f"{name} {rows:,} ({100 * rows / total:.3g} %)" for name, rows in often[:MOST_CLASSES]]
    more = [f"and {len(often) - MOST_CLASSES:,} more"] if len(often) > MOST_CLASSES else []
    return ", ".join([*shown, *more])
