"""The columns of a table: what is learnt from the training rows, and the matrix made of it.

What is learnt is plain JSON, one dict per column, so that an exported model can repeat it:
``{"name", "kind": "numeric" or "boolean", "mean", "scale", "fill", "indicator"}``;
``{"name", "kind": "categorical", "categories"}`` where category ``i`` has the code ``i + 1`` and
the code 0 means missing, rare or never seen;
``{"name", "kind": "date", "first", "fill", "indicator", "parts", "means", "scales"}``; or
``{"name", "kind": "words", "words"}``. A column that was text has its ``"reading"`` too. What
depends on the kind of a column is in :mod:`~tune_jobs.engine.data.column_kinds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.arrays import value_type
from tune_jobs.engine.data.column_kinds import EMPTY, kind_named, kind_of
from tune_jobs.engine.data.dataset import digest
from tune_jobs.engine.data.kinds.kind import ROLES, Column, Fitted, Kind
from tune_jobs.engine.data.sources import find_column
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import ignoring

TIME_ADVICE = "a time: make it a number, such as hours since a start"
OTHER_ADVICE = "not a number, boolean or text: split it into such columns"


def fit_columns(
    table: pa.Table, train: Array, max_categories: int
) -> tuple[list[Column], list[str]]:
    """Learn the preprocessing from the rows ``train`` alone: numbers first, then codes.

    Returns:
        The columns that are kept, and a warning for each that is dropped or looks wrong.

    Raises:
        JobError: for a column of no known kind, infinite values, or a table without any use.
    """
    return choose_columns(fit_each(table, train, max_categories))


def fit_each(table: pa.Table, train: Array, max_categories: int) -> dict[str, Fitted]:
    """Learn the preprocessing of each column, by its name, from the rows ``train`` alone.

    Raises:
        JobError: for a column of no known kind, or infinite values.
    """
    return {
        name: kind.fit(name, table[name], train, max_categories)
        for name, kind in _kinds(table).items()
    }


def choose_columns(fitted: Mapping[str, Fitted]) -> tuple[list[Column], list[str]]:
    """Return the columns that are kept, numbers first, and a warning for each other or odd one.

    Raises:
        JobError: if none is kept.
    """
    columns = [each.column for each in fitted.values() if each.column]
    said = [
        f"column {name!r} is dropped: {each.dropped}" if each.dropped else each.warning
        for name, each in fitted.items()
    ]
    warnings = [warning for warning in said if warning]
    if not columns:
        why = "; ".join(warnings) or "the table has no other column than the target"
        raise JobError(f"no column is left to learn from: {why}")
    return sorted(
        columns, key=lambda column: bool(kind_named(column["kind"]).count_codes(column))
    ), warnings


def encode(table: pa.Table, columns: Sequence[Column], parts: Sequence[Array]) -> list[Array]:
    """Return a float32 matrix of shape (rows, features) for each part, a part being row numbers.

    The features are the numbers, then 0/1 indicators of missing ones, the parts of dates, words and
    codes.
    """
    places = _places(columns)
    matrices = [np.empty((len(part), len(places)), np.float32) for part in parts]
    for number, column in enumerate(columns):
        made = kind_named(column["kind"]).encode(column, table[column["name"]])
        for feature, values in enumerate(made):
            for matrix, part in zip(matrices, parts, strict=True):
                matrix[:, places[number, feature]] = values[part]
    return matrices


def list_features(columns: Sequence[Column]) -> list[tuple[int, Column]]:
    """Return the place of each feature in the matrix, and its column."""
    return [(place, columns[number]) for (number, _), place in _places(columns).items()]


def count_codes(columns: Iterable[Column]) -> list[int]:
    """Return how many codes each of the last features of the matrix has."""
    return [count for column in columns for count in kind_named(column["kind"]).count_codes(column)]


def raw_inputs(table: pa.Table, preprocessing: dict[str, Any]) -> dict[str, Array]:
    """Return the columns as the exported model takes them, each of shape (rows, 1).

    Numbers and booleans are float64 with NaN if missing, and so are dates, as days since 1970 in
    UTC; texts are strings, "" if missing.
    Other columns of the table, the target among them, are left alone.

    Raises:
        JobError: if a column is missing, of another kind than in training, or infinite.
    """
    fields = {field.name: field.type for field in table.schema}  # of a wide table, read once
    return {
        column["name"]: _read_raw(table, fields, column)[:, np.newaxis]
        for column in preprocessing["columns"]
    }


def string_columns(preprocessing: dict[str, Any]) -> list[str]:
    """Return the columns that a CSV file must give as text, whatever they look like."""
    return [
        column["name"]
        for column in preprocessing["columns"]
        if kind_named(column["kind"]).is_text or column.get("reading")
    ]


def fingerprint(table: pa.Table) -> str:
    """Hash names, kinds and values: the same for a CSV and a Parquet file of one content."""
    parts: list[object] = []
    for name, kind in _kinds(table).items():
        parts += [name, kind.name, *kind.content(name, table[name])]
    return digest(parts)


def _kinds(table: pa.Table) -> dict[str, Kind]:
    return {field.name: _known_kind(field) for field in table.schema}


def _known_kind(field: pa.Field) -> Kind:
    if kind := kind_of(field.type):
        return kind
    advice = TIME_ADVICE if pa.types.is_temporal(value_type(field.type)) else OTHER_ADVICE
    raise JobError(
        f"column {field.name!r} has the type {field.type}, {advice}, "
        f"or leave it out with {ignoring(field.name)}"
    )


def _places(columns: Sequence[Column]) -> dict[tuple[int, int], int]:
    """Return where each feature lies in the matrix, by the numbers of column and feature."""
    features = [
        (ROLES.index(role), number, feature)
        for number, column in enumerate(columns)
        for feature, role in enumerate(kind_named(column["kind"]).features(column))
    ]
    return {each[1:]: place for place, each in enumerate(sorted(features))}


def _read_raw(table: pa.Table, fields: Mapping[str, pa.DataType], column: Column) -> Array:
    name, wanted = column["name"], kind_named(column["kind"])
    if name not in fields:
        find_column(name, fields, "which the model was trained with")
    arrow = fields[name]
    if not (wanted.takes(value_type(arrow)) or EMPTY.takes(arrow)):
        raise JobError(
            f"column {name!r} is {arrow}, but was {wanted.name} when the model was trained"
        )
    return wanted.read_raw(name, table[name])
