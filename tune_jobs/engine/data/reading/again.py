"""Read new rows as those that a model was trained on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.arrays import coded, is_text
from tune_jobs.engine.data.reading.calendar_texts import parse_date
from tune_jobs.engine.data.reading.csv_files import UNNAMED
from tune_jobs.engine.data.reading.missing import NULLS, is_placeholder
from tune_jobs.engine.data.reading.numerals import Notation, parse_number
from tune_jobs.engine.data.reading.refine import (
    Reading,
    parse_days,
    with_nulls,
    with_plain_times,
)
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.formatting import count

logger = logging.getLogger(__name__)

TEXTS = ("categorical", "words")


def read_again(table: pa.Table, preprocessing: Mapping[str, Any]) -> pa.Table:
    """Return a table whose columns are read as they were when the model was trained.

    Raises:
        JobError: for a text that is not written as the numbers or dates of the column were.
    """
    table = _with_nameless(with_plain_times(table), preprocessing)
    places = {name: place for place, name in enumerate(table.column_names)}
    columns = list(table.columns)
    for column in preprocessing["columns"]:
        place = places.get(column["name"])
        if place is not None:
            columns[place] = _read(columns[place], column)
    return pa.Table.from_arrays(columns, names=table.column_names)


def _with_nameless(table: pa.Table, preprocessing: Mapping[str, Any]) -> pa.Table:
    """Return the table with its first column without a name, if a model of version 0.1 wants it."""
    wanted = any(column["name"] == "" for column in preprocessing["columns"])
    names = ["" if wanted and name.startswith(UNNAMED) else name for name in table.column_names]
    return table.rename_columns(names)


def _read(values: pa.ChunkedArray, column: Mapping[str, Any]) -> pa.ChunkedArray:
    reading: Reading = column.get("reading", Reading())
    if reading.get("form") == "day" and pa.types.is_integer(values.type):
        return parse_days(values)
    if not is_text(values.type):
        return values
    if column["kind"] in TEXTS:
        return _trim(values, column.get("categories", ()))
    if column["kind"] == "numeric":
        notation = Notation(reading.get("decimal", "."), reading.get("thousands", ""))
        return _parse(values, column, lambda text: parse_number(text, notation), pa.float64())
    if column["kind"] == "date":
        order = reading.get("order")
        return _parse(
            values,
            column,
            lambda text: parse_date(text, order),
            pa.timestamp("us"),
        )
    return values


def _trim(values: pa.ChunkedArray, categories: Any) -> pa.ChunkedArray:
    """Return texts without spaces around, unless a model was trained with such categories.

    A text that means missing to pandas is missing, unless the model knows it as a category.
    """
    if any(text != text.strip() for text in categories):
        return values
    trimmed = pc.utf8_trim_whitespace(values)
    markers = [text for text in NULLS if text not in categories]
    return with_nulls(trimmed, markers)


def _parse(
    values: pa.ChunkedArray,
    column: Mapping[str, Any],
    parse: Callable[[str], Any],
    arrow: pa.DataType,
) -> pa.ChunkedArray:
    """Return texts as values of another type; what meant missing in training is missing."""
    rows = coded(values)
    texts = ["" if text is None else str(text).strip() for text in rows.values]
    known = {*column.get("reading", {}).get("missing", ()), *NULLS}
    read = [None if text in known else parse(text) for text in texts]
    odd = [
        code
        for code, text in enumerate(texts)
        if read[code] is None and text not in known and not is_placeholder(text)
    ]
    _check_odd(column["name"], texts, odd, rows.counts)
    return rows.spread(read, arrow)


def _check_odd(name: str, texts: list[str], odd: list[int], counts: Any) -> None:
    """Warn of a few values that cannot be read, and refuse more than half."""
    if not odd:
        return
    found, total = int(counts[odd].sum()), int(counts.sum())
    if 2 * found > total:
        raise JobError(
            f"column {name!r} has {texts[odd[0]]!r}, which is not written as the column was when "
            "the model was trained"
        )
    logger.warning(
        "column %r has %s that cannot be read as in training (%r): missing",
        name,
        count(found, "value"),
        texts[odd[0]],
    )
