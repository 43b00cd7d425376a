"""Write a table as a CSV file, in the dialect of another one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.reading.dialect import Dialect


def as_csv(table: pa.Table, dialect: Dialect) -> bytes:
    """Return a table as the UTF-8 text of a CSV file; only what is no number has quotes.

    Args:
        table: its columns; a missing value is an empty cell.
        dialect: the separator and the decimal mark to write.

    Raises:
        pyarrow.ArrowException: for a column that no text can hold, such as lists.
    """
    names = pa.array(table.column_names, pa.string())
    head = dialect.separator.join(_quoted(names).to_pylist())
    columns = [_cells(column, dialect.decimal) for column in table.columns]
    rows = pc.binary_join_element_wise(*columns, dialect.separator).to_pylist()
    return "\n".join([head, *rows, ""]).encode()


def _cells(column: pa.ChunkedArray, decimal: str) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    texts = column.cast(pa.string())
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return pc.fill_null(texts, "")
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return pc.fill_null(pc.replace_substring(texts, ".", decimal), "")
    return pc.fill_null(_quoted(texts), "")


def _quoted(texts: Any) -> Any:
    escaped = pc.replace_substring(texts, '"', '""')
    return pc.binary_join_element_wise('"', escaped, '"', "")
