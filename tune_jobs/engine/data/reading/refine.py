"""Give the text columns of a table the types that they mean: numbers, dates or texts.

How a column was read is kept as plain JSON, so that new rows are read exactly like it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.arrays import Coded, coded, is_text
from tune_jobs.engine.data.reading.calendar_texts import (
    DateOrder,
    Evidence,
    find_evidence,
    parse_date,
)
from tune_jobs.engine.data.reading.missing import NULLS, is_placeholder
from tune_jobs.engine.data.reading.numerals import (
    Notation,
    is_plain,
    parse_number,
    read_numerals,
)
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.formatting import count
from tune_jobs.engine.names import ignoring

# A column with texts among its numbers is numbers if the texts are known placeholders, ...
PLACED_SHARE = 0.2  # ... with this share of numbers,
# ... or if nearly all values are numbers, many of them distinct.
SURE_SHARE, SURE_VALUES = 0.95, 20
LIKELY_SHARE = 0.5  # of numbers in a text column, from which it is worth a warning

SAMPLE = 50  # distinct texts looked at first; if none is a number or a date, no other is
SHOWN = 3  # examples in a message
MOST_MISSING = 30  # texts that mean missing, kept with a model

FIRST_DAY, LAST_DAY = 19_000_101, 21_001_231  # whole numbers that may be days: 20260131
FEWEST_DAYS = 5  # distinct ones


SAID = {"dmy": "day/month/year", "mdy": "month/day/year"}


class Reading(TypedDict, total=False):
    """How a column of texts was read; its keys depend on its form."""

    form: Literal["number", "date", "day"]
    decimal: str
    thousands: str
    order: DateOrder | None
    missing: list[str]


@dataclass(frozen=True)
class Wanted:
    """What the user says of the values.

    Attributes:
        decimal: the mark before fractions that is expected.
        order: of day and month, in dates that do not decide it; None to refuse them.
        missing: texts that mean a missing value in every column.
    """

    decimal: str = "."
    order: DateOrder | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refined:
    """A column with the type that its texts mean.

    Attributes:
        column: its values.
        reading: how they were read; None if they were not texts, or are still.
        notes: what was done with it.
        warnings: what was done with it that may not be meant.
    """

    column: pa.ChunkedArray
    reading: Reading | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RefinedTable:
    """A table whose columns have the types that their texts mean."""

    table: pa.Table
    readings: Mapping[str, Reading] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def refine(table: pa.Table, wanted: Wanted, *, from_text: bool) -> RefinedTable:
    """Give every column the type that its texts mean.

    Args:
        table: as it was read.
        wanted: what the user says of the values.
        from_text: True for a CSV file, where a text of digits is a number, and NA no text.

    Raises:
        JobError: for dates that can be read in two ways.
    """
    columns, names = list(table.columns), table.column_names
    readings, notes, warnings = {}, [], []
    for place, name in enumerate(names):
        found = _refine(name, columns[place], wanted, from_text=from_text)
        if found is None:
            continue
        columns[place] = found.column
        notes += [f"column {name!r} {note}" for note in found.notes]
        warnings += [f"column {name!r} {warning}" for warning in found.warnings]
        if found.reading:
            readings[name] = found.reading
    refined = pa.Table.from_arrays(columns, names=names)
    return RefinedTable(refined, readings, tuple(notes), tuple(warnings))


def with_plain_times(table: pa.Table) -> pa.Table:
    """Return the table with times of the day as hours, and durations as days."""
    for place, each in enumerate(table.schema):
        if pa.types.is_time(each.type) or pa.types.is_duration(each.type):
            table = table.set_column(place, each.name, _as_numbers(table[place]))
    return table


def _as_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    unit = column.type.unit
    wide = pa.time64("us") if pa.types.is_time(column.type) else pa.duration("us")
    steps = column.cast(wide if unit != "ns" else column.type).cast(pa.int64())
    hours = {"ns": 3.6e12}.get(unit, 3.6e9)
    per = hours if pa.types.is_time(column.type) else 24 * hours
    return pc.divide(steps.cast(pa.float64()), per)


def _refine(
    name: str, column: pa.ChunkedArray, wanted: Wanted, *, from_text: bool
) -> Refined | None:
    """Return a column as what it means; None if it is that already."""
    if pa.types.is_integer(column.type):
        return _refine_days(column)
    if pa.types.is_floating(column.type) and wanted.decimal != "." and from_text:
        return Refined(column, {"form": "number", "decimal": wanted.decimal, "thousands": ""})
    if not is_text(column.type):
        return None
    trimmed, notes = _trim(column)
    texts = with_nulls(trimmed, (*wanted.missing, *(NULLS if from_text else ())))
    found = Texts.of(texts)
    refined = found and (
        _refine_numbers(found, wanted, from_text=from_text) or _refine_dates(name, found, wanted)
    )
    if refined:
        return refined
    warning = _likely_numbers(found) if found else None
    return Refined(texts, None, notes, (warning,) if warning else ())


@dataclass(frozen=True)
class Texts:
    """The distinct texts of a column.

    Attributes:
        rows: which row has which.
        values: the distinct texts.
        counts: the rows of each.
    """

    rows: Coded
    values: list[str]
    counts: Array

    @staticmethod
    def of(column: pa.ChunkedArray) -> Texts | None:
        """Read a column; None if nothing of a sample could be a number or a date."""
        rows = coded(column)
        values = ["" if value is None else str(value) for value in rows.values]
        known = [value for value in values if value]
        if not any(_has_digit(value) for value in known[:SAMPLE]):
            return None
        return Texts(rows, values, rows.counts)

    @property
    def total(self) -> int:
        """The rows with a value."""
        return int(self.counts.sum())

    def sample(self) -> list[str]:
        """Return some of the texts."""
        return [value for value in self.values if value][:SAMPLE]


@dataclass(frozen=True)
class Read:
    """Texts as values of another type.

    Attributes:
        values: one for each text, None if it cannot be read.
        unread: the texts that have a value and cannot be read, the most frequent first.
        share: of rows with a value, those that can be read.
        rows: of those that cannot.
    """

    values: Sequence[Any]
    unread: list[str]
    share: float
    rows: int

    @staticmethod
    def of(texts: Texts, values: Sequence[Any]) -> Read:
        """Compare texts with what they were read as."""
        unread = [n for n, value in enumerate(values) if value is None and texts.counts[n]]
        rows = int(texts.counts[unread].sum())
        often = sorted(unread, key=lambda n: -texts.counts[n])
        total = max(1, texts.total)
        return Read(values, [texts.values[n] for n in often], 1 - rows / total, rows)

    @property
    def is_sure(self) -> bool:
        """True if the column is meant so, and what cannot be read means missing."""
        distinct = len({value for value in self.values if value is not None})
        if not distinct:
            return False
        if all(map(is_placeholder, self.unread)):
            return not self.unread or (self.share >= PLACED_SHARE and distinct >= 2)
        return self.share >= SURE_SHARE and distinct >= SURE_VALUES

    def warnings(self, what: str) -> tuple[str, ...]:
        """Say how many values are missing because of what they are."""
        if not self.unread:
            return ()
        said = f"has {count(self.rows, 'value')} that are not {what} ({_some(self.unread)})"
        return (f"{said.replace('that are', 'that is') if self.rows == 1 else said}: missing",)


def _refine_numbers(texts: Texts, wanted: Wanted, *, from_text: bool) -> Refined | None:
    if not any(value is not None for value in read_numerals(texts.sample()).values):
        return None
    found = read_numerals(texts.values, wanted.decimal)
    read = Read.of(texts, found.values)
    if not read.is_sure or any(map(_is_code, texts.values)):
        return None
    if not from_text and not read.unread and all(map(is_plain, filter(None, texts.values))):
        return None  # a DataFrame's reader would have made numbers of them: texts are meant
    notation = found.notation
    reading: Reading = {
        "form": "number",
        "decimal": notation.decimal,
        "thousands": notation.thousands,
    }
    warnings = read.warnings("numbers")
    if found.other:
        warnings += (_say_ambiguous(texts, notation, found.other),)
    return Refined(
        _whole_if_possible(texts.rows.spread(found.values, pa.float64())),
        _with_missing(reading, read.unread),
        _say_notation(texts, notation),
        warnings,
    )


def _refine_dates(name: str, texts: Texts, wanted: Wanted) -> Refined | None:
    sample = texts.sample()
    if not any(parse_date(text, order) for text in sample for order in ("dmy", "mdy")):
        return None
    evidence = find_evidence(texts.values)
    order = _order_of(evidence) or wanted.order
    other = "mdy" if evidence.dmy and evidence.mdy else order
    values = [parse_date(text, order) or parse_date(text, other) for text in texts.values]
    read = Read.of(texts, values)
    if not read.is_sure:
        return None
    _check_order(name, evidence, order)
    reading: Reading = {"form": "date", "order": order}
    return Refined(
        texts.rows.spread(read.values, pa.timestamp("us")),
        _with_missing(reading, read.unread),
        (f"is read as {SAID[order]}",) if order else (),
        read.warnings("dates"),
    )


def _order_of(evidence: Evidence) -> DateOrder | None:
    if evidence.dmy:
        return "dmy"
    return "mdy" if evidence.mdy else None


def _check_order(name: str, evidence: Evidence, order: DateOrder | None) -> None:
    if evidence.dmy and evidence.mdy:
        raise JobError(
            f"column {name!r} has dates in two orders: {evidence.dmy!r} is day/month and "
            f"{evidence.mdy!r} month/day; write them alike, or leave it out with "
            f"{ignoring(name)}"
        )
    if evidence.both and order is None:
        texts = [parse_date(evidence.both, each) for each in ("dmy", "mdy")]
        one, two = (f"{each:%-d %B %Y}" for each in texts if each)
        raise JobError(
            f"column {name!r} has dates such as {evidence.both!r}, which is {one} or {two}, and no "
            "value decides; give date_order='dmy' or 'mdy' (--set data.date_order=dmy), or leave "
            f"the column out with {ignoring(name)}"
        )


def _refine_days(column: pa.ChunkedArray) -> Refined | None:
    """Return whole numbers such as 20260131 as days, if each is one."""
    ends = pc.min_max(column).as_py()
    if ends["min"] is None or ends["min"] < FIRST_DAY or ends["max"] > LAST_DAY:
        return None
    distinct = pc.unique(column.drop_null())
    if len(distinct) < FEWEST_DAYS or not all(map(_day_of, distinct.to_pylist())):
        return None
    return Refined(parse_days(column), {"form": "day"}, ("is read as days (20260131)",))


def parse_days(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return whole numbers or texts such as 20260131 as days; null if they are not."""
    values = [None if each is None else _day_of(each) for each in column.to_pylist()]
    return pa.chunked_array([pa.array(values, pa.timestamp("us"))])


def _day_of(value: object) -> Any:
    return parse_date(str(value), None)


def _trim(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, tuple[str, ...]]:
    trimmed = pc.utf8_trim_whitespace(column)
    changed = int(pc.sum(pc.not_equal(trimmed, column)).as_py() or 0)
    if not changed:
        return column, ()
    return trimmed, (f"has {count(changed, 'value')} with spaces around, which are left out",)


def with_nulls(column: pa.ChunkedArray, markers: Sequence[str]) -> pa.ChunkedArray:
    """Return texts without those that mean a missing value."""
    if not markers:
        return column
    found = pc.is_in(column, pa.array(markers, column.type))
    return (
        pc.if_else(found, pa.scalar(None, column.type), column) if pc.any(found).as_py() else column
    )


def _whole_if_possible(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers without fractions as whole numbers, so that a target of few has classes."""
    values = column.drop_null().to_numpy()
    is_whole = bool((np.abs(values) < 2**53).all()) and bool((np.mod(values, 1) == 0).all())
    return column.cast(pa.int64()) if is_whole else column


def _with_missing(reading: Reading, unread: Sequence[str]) -> Reading:
    return {**reading, "missing": list(unread[:MOST_MISSING])} if unread else reading


def _say_notation(texts: Texts, notation: Notation) -> tuple[str, ...]:
    """Show one number that had to be read; nothing if all are plain."""
    for text in texts.values:
        if not text or is_plain(text) or is_placeholder(text):
            continue
        value = parse_number(text, notation)
        if value is not None:
            return (f"is read as numbers: {text!r} is {value:.12g}",)
    return ()


def _say_ambiguous(texts: Texts, notation: Notation, other: Notation) -> str:
    """Say how a number was read that could be another."""
    text = next(t for t in texts.values if parse_number(t, notation) != parse_number(t, other))
    return (
        f"has {text!r}, which is read as {parse_number(text, notation):.12g} but could be "
        f"{parse_number(text, other):.12g}; if so, give decimal={other.decimal!r} "
        f"(--set data.decimal={other.decimal})"
    )


def _likely_numbers(texts: Texts) -> str | None:
    """Return a warning of a text column that is mostly numbers; None if it is not."""
    if not any(value is not None for value in read_numerals(texts.sample()).values):
        return None
    read = Read.of(texts, read_numerals(texts.values).values)
    if read.share < LIKELY_SHARE or not read.unread or any(map(_is_code, texts.values)):
        return None
    return (
        f"is text although {100 * read.share:.0f} % of its values are numbers: "
        f"{_some(read.unread)} {'is' if len(read.unread) == 1 else 'are'} not; if that means "
        f"missing, give missing=({read.unread[0]!r},)"
    )


def _some(texts: Sequence[str]) -> str:
    shown = ", ".join(repr(text[:30]) for text in texts[:SHOWN])
    return f"{shown}, ..." if len(texts) > SHOWN else shown


def _has_digit(text: str) -> bool:
    return any(letter.isdigit() for letter in text)


def _is_code(text: str) -> bool:
    """Return whether a text of digits has a leading zero, as zip codes have."""
    return len(text) > 1 and text[0] == "0" and text.isdigit()
