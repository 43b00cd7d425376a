"""What is known of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.engine.formatting import count

HEADS = ("column", "kind", "missing", "distinct", "examples", "use")

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

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table shows, below ``HEADS``."""
        counts = (f"{self.missing:,}", f"{self.distinct:,}")
        return (self.name, self.kind, *counts, ", ".join(self.examples), self.use)


@dataclass(frozen=True)
class TableFacts:
    """What a report says of the table that was learnt from.

    Attributes:
        columns: the first ones.
        width: the number of all columns.
        classes: the rows of each class, by its name; empty for numbers and several targets.
        notes: how the source was read, if not as it is.
        warnings: what is allowed but probably not meant.
    """

    columns: tuple[ColumnFacts, ...]
    width: int
    classes: Mapping[str, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def as_lines(columns: Sequence[ColumnFacts], total: int) -> list[str]:
    """Return a table of the columns as lines of text."""
    rows = [column.cells for column in columns]
    widths = [max(len(row[place]) for row in [HEADS, *rows]) for place in range(len(HEADS))]
    lines = [
        "  ".join(
            cell.rjust(width) if place in (2, 3) else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [HEADS, *rows]
    ]
    more = total - len(columns)
    return [*lines, f"and {count(more, 'more column')}"] if more else lines


def say_classes(classes: Mapping[Any, int]) -> str:
    """Return the rows of each class, the most frequent first, with their share."""
    total = sum(classes.values())
    often = sorted(classes.items(), key=lambda pair: -pair[1])
    shown = [
        f"{name}: {rows:,} ({100 * rows / total:.3g} %)" for name, rows in often[:MOST_CLASSES]
    ]
    more = [f"and {len(often) - MOST_CLASSES:,} more"] if len(often) > MOST_CLASSES else []
    return ", ".join([*shown, *more])
