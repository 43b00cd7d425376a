"""Read all rows of a table, whose validation and test rows may be tables of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.reading.dialect import Dialect
from tune_jobs.engine.data.reading.refine import Reading, Wanted, refine, with_plain_times
from tune_jobs.engine.data.sources import Found, Source, Written, read_source
from tune_jobs.engine.data.splitting import OWN, Array
from tune_jobs.engine.data.target import find_missing
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.formatting import count


@dataclass(frozen=True)
class Rows:
    """The rows of all sources, one after the other.

    Attributes:
        found: the rows as they were read.
        origins: which source each row is from: OWN, VALIDATION or TEST.
    """

    found: Found
    origins: Array


@dataclass(frozen=True)
class Whole:
    """Rows with the types that their texts mean, and a target each if that is wanted.

    Attributes:
        table: the rows.
        origins: which source each row is from.
        readings: how columns of texts were read, by name.
        notes: how the source was read, one line each.
        warnings: what is allowed but probably not meant, one line each.
    """

    table: pa.Table
    origins: Array
    readings: Mapping[str, Reading]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def read_rows(
    source: Source,
    others: Mapping[int, tuple[str, Source]],
    *,
    ignore: Collection[str],
    written: Written,
) -> Rows:
    """Read a table, and the tables of its validation and its test set if it has any.

    Args:
        source: the table.
        others: a name for messages and the table, by the origin of its rows.
        ignore: columns to leave out.
        written: how CSV files are written.

    Raises:
        JobError: if one cannot be read, or lacks a column of the first.
    """
    found = read_source(source, ignore=ignore, written=written)
    names = found.table.column_names
    tables, origins = [found.table], [np.full(found.table.num_rows, OWN)]
    for origin, (name, other) in others.items():
        read = read_source(other, written=written).table
        if absent := [column for column in names if column not in read.column_names]:
            raise JobError(f"{name} has no column {absent[0]!r}, which the training table has")
        tables.append(read.select(names))
        origins.append(np.full(read.num_rows, origin))
    return Rows(Found(_join(tables), found.dialect), np.concatenate(origins))


def _join(tables: Sequence[pa.Table]) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise JobError(
            "the training table and that of the validation or test set have other types in a "
            f"column: {first_line(error)}"
        ) from None


def refine_rows(rows: Rows, wanted: Wanted, *, without_missing: Sequence[str] = ()) -> Whole:
    """Return the rows with the types that their texts mean.

    Args:
        rows: as they were read.
        wanted: what the user says of texts.
        without_missing: targets; rows that lack one are left out.

    Raises:
        JobError: for dates that can be read in two ways, or a set of which no row has a target.
    """
    dialect = rows.found.dialect
    refined = refine(with_plain_times(rows.found.table), wanted, from_text=dialect is not None)
    said = _say_dialect(dialect)
    notes, warnings = [*said.notes, *refined.notes], [*said.warnings, *refined.warnings]
    table, origins = refined.table, rows.origins
    kept = ~find_missing(table, without_missing)
    if 0 < kept.sum() < len(kept):  # of rows that all lack it, the target itself is refused
        table, origins = table.filter(pa.array(kept)), origins[kept]
        notes.append(_say_dropped(len(kept) - table.num_rows, len(kept)))
    if len(np.unique(origins)) < len(np.unique(rows.origins)):
        raise JobError("no row of the validation or the test table has a target")
    return Whole(table, origins, refined.readings, tuple(notes), tuple(warnings))


@dataclass(frozen=True)
class _Said:
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def _say_dialect(dialect: Dialect | None) -> _Said:
    """Say how a CSV file is written, if not as usual."""
    if dialect is None:
        return _Said()
    guessed = (
        f"the file is not UTF-8 and was read as {dialect.encoding}; if letters are wrong, "
        "name its encoding (--set data.encoding=cp1250)"
    )
    return _Said(
        notes=(f"the file is {dialect}",) if str(dialect) else (),
        warnings=(guessed,) if dialect.is_guessed else (),
    )


def _say_dropped(dropped: int, total: int) -> str:
    verb = "is" if dropped == 1 else "are"
    return f"{count(dropped, 'row')} of {total:,} without a target {verb} left out"
