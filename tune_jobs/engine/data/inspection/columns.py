"""The columns of a table as a person wants to see them: what each is, and what is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.arrays import without_dictionary
from tune_jobs.engine.data.column_kinds import kind_of
from tune_jobs.engine.data.inspection.facts import ColumnFacts
from tune_jobs.engine.data.kinds.kind import Column
from tune_jobs.engine.formatting import count

MOST_COLUMNS = 100  # that are looked at: a wide table is read in time proportional to its columns
EXAMPLES, LENGTH = 3, 18

NAMES = {
    "numeric": "number",
    "boolean": "yes/no",
    "categorical": "category",
    "date": "date",
    "words": "text",
    "empty": "empty",
}


def describe_columns(
    whole: pa.Table, preprocessing: Mapping[str, Any], uses: Mapping[str, str]
) -> tuple[ColumnFacts, ...]:
    """Describe the first columns of a table.

    Args:
        whole: the table, with the types that its texts mean.
        preprocessing: what was learnt.
        uses: what is done with columns that are no features, by name.
    """
    learnt = {column["name"]: column for column in preprocessing["columns"]}
    return tuple(
        _describe(name, whole[name], learnt.get(name), uses.get(name))
        for name in whole.column_names[:MOST_COLUMNS]
    )


def use_of(column: Column) -> str:
    """Say what is done with a column."""
    kind = column["kind"]
    if kind == "categorical":
        return f"{count(len(column['categories']), 'code')}, 0 for others and missing"
    if kind == "words":
        return f"bag of {count(len(column['words']), 'word')}"
    marked = ", missing marked" if column["indicator"] else ""
    if kind == "date":
        return f"{', '.join(column['parts'])}{marked}"
    return ("0 or 1" if kind == "boolean" else "standardised") + marked


def _describe(
    name: str, values: pa.ChunkedArray, column: Column | None, use: str | None
) -> ColumnFacts:
    kind = kind_of(values.type)
    plain = without_dictionary(values)
    known = pc.unique(plain.drop_null())
    texts = [text for text in map(_show, known[: 2 * EXAMPLES].to_pylist()) if text]
    shown = column["kind"] if column else kind.name if kind else str(values.type)
    return ColumnFacts(
        _cut(name) or "''",
        NAMES.get(shown, shown),
        kind.count_missing(values) if kind else values.null_count,
        len(known),
        tuple(texts[:EXAMPLES]),
        use or (use_of(column) if column else "left out"),
    )


def _show(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if hasattr(value, "isoformat"):
        return str(value).removesuffix(" 00:00:00")
    return _cut(" ".join(str(value).split()))


def _cut(text: str) -> str:
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 3]}..."
