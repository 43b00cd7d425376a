"""Read a CSV file of any dialect into Arrow memory."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from tune_jobs.engine.data.reading.dialect import FALLBACK, Dialect, sniff
from tune_jobs.engine.data.reading.missing import NULLS
from tune_jobs.engine.errors import JobError, first_line

# A row of a CSV file has to fit into this many bytes; if it does not, more are tried.
BLOCK, MOST_BLOCK = 2**20, 2**28

UNNAMED = "Unnamed: "  # before the place of a column without a name

PADDED = re.compile(rb'(?:^|[,;\t|"\n\r ])0\d')
PIECE = 2**22


class NotUtf8Error(Exception):
    """Bytes that are not UTF-8."""


def read_csv(
    path: Path,
    *,
    strings: Collection[str] = (),
    encoding: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
) -> tuple[pa.Table, Dialect]:
    """Read a file, and return how it is written.

    Whole numbers with leading zeros, such as zip codes, stay texts.

    Args:
        path: the file, which may be compressed.
        strings: columns that are texts, even if they look like numbers.
        encoding: as Python calls it; None to find it.
        separator: between columns; None to find it.
        decimal: the mark before fractions; None to find it.

    Raises:
        JobError: if the file is empty, cannot be decoded, or has a row of another length.
    """
    try:
        dialect = sniff(path, encoding=encoding, separator=separator, decimal=decimal)
    except LookupError:
        raise JobError(f"encoding is {encoding!r}, but must be one that Python knows") from None
    types = dict.fromkeys(strings, pa.string())
    if any(name.startswith(UNNAMED) for name in strings):
        types[""] = pa.string()
    for each in _attempts(dialect, is_given=encoding is not None):
        try:
            table = _parse(path, each, types)
            return _named(_with_padded_numbers(table, path, each)), each
        except (NotUtf8Error, UnicodeError) as error:
            reason = first_line(error)
    raise JobError(
        f"{path} is not {dialect.encoding.upper()}: {reason}; name its encoding, such as "
        "encoding='cp1250' (--set data.encoding=cp1250)"
    )


def _named(table: pa.Table) -> pa.Table:
    """Return the table with columns without a name called as pandas calls them."""
    if "" not in table.column_names:
        return table
    names = [name or f"{UNNAMED}{place}" for place, name in enumerate(table.column_names)]
    return table.rename_columns(names)


def _attempts(dialect: Dialect, *, is_given: bool) -> list[Dialect]:
    if is_given or dialect.encoding != "utf8":
        return [dialect]
    guesses = (FALLBACK, "latin-1")
    return [dialect, *(replace(dialect, encoding=name, is_guessed=True) for name in guesses)]


def _parse(path: Path, dialect: Dialect, types: dict[str, Any], block: int = BLOCK) -> pa.Table:
    try:
        table = csv.read_csv(
            str(path),
            read_options=csv.ReadOptions(
                block_size=block, encoding=dialect.encoding, skip_rows=dialect.skipped
            ),
            parse_options=csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=types, null_values=NULLS, decimal_point=dialect.decimal
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise JobError(f"{path} is empty") from None
        if "UTF8" in str(error):
            raise NotUtf8Error(first_line(error)) from None
        if "straddl" in str(error) and block < MOST_BLOCK:
            return _parse(path, dialect, types, min(block * 16, MOST_BLOCK))
        if "straddl" in str(error):
            raise JobError(
                f"{path} has a row of more than {MOST_BLOCK // 2**20} MiB; is a quote not closed?"
            ) from None
        raise
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_binary(column.type):
            raise NotUtf8Error(f"see column {name!r}")
    return table


def _with_padded_numbers(table: pa.Table, path: Path, dialect: Dialect) -> pa.Table:
    """Return the table with whole numbers that have leading zeros as texts."""
    whole = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    if not whole or len(set(whole)) < len(whole) or not _may_be_padded(path, dialect):
        return table
    texts = _parse(path, dialect, {name: pa.string() for name in table.column_names})
    for name in whole:
        column = texts[name]
        if pc.any(pc.match_substring_regex(column, r"^\s*[-+]?0[0-9]")).as_py():
            table = table.set_column(table.column_names.index(name), name, column)
    return table


def _may_be_padded(path: Path, dialect: Dialect) -> bool:
    """Return whether a field of the file may begin with a zero and another digit."""
    if dialect.encoding.startswith(("utf-16", "utf-32")):
        return True
    with pa.input_stream(str(path), compression="detect") as stream:
        last = b""
        while piece := stream.read(PIECE):
            if PADDED.search(last + piece):
                return True
            last = piece[-2:]
    return False
