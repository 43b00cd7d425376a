"""The columns of a table: their kinds, what is learnt from the training rows, and the matrix.

What is learnt is plain JSON, one dict a column, so that an exported model can repeat it:
``{"name", "kind": "numeric" or "boolean", "mean", "scale", "fill", "indicator"}``, or
``{"name", "kind": "categorical", "categories"}`` where category ``i`` has the code ``i + 1`` and
the code 0 means missing, rare or never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.dataset import digest, standardisation
from tune_jobs.engine.data.sources import find_column
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError

Kind = Literal["numeric", "boolean", "categorical", "empty"]
Column = dict[str, Any]

LARGEST = float(np.finfo(np.float32).max)
IDENTIFIER_SHARE, IDENTIFIER_ROWS = 0.9, 20  # distinct values among how many: a name, not a class

DATE_ADVICE = "a date or time: make it a number, such as days since a start"
OTHER_ADVICE = "no number, boolean or text: take it apart into such columns"


@dataclass(frozen=True)
class Coded:
    """A column as whole numbers: ``values[codes[row]]``, or -1 where the value is missing."""

    codes: Array
    values: list[Any]


def column_kinds(table: pa.Table) -> dict[str, Kind]:
    """The kind of each column, by its Arrow type; a dictionary's is that of its values.

    Raises:
        JobError: for dates, times, and types that hold more than one value.
    """
    return {field.name: _known_kind(field) for field in table.schema}


def kind_of(arrow: pa.DataType) -> Kind | None:
    """The kind of an Arrow type, or None where it is none that a model can take."""
    types = pa.types
    if types.is_dictionary(arrow):
        return kind_of(arrow.value_type)
    if types.is_boolean(arrow):
        return "boolean"
    if types.is_integer(arrow) or types.is_floating(arrow) or types.is_decimal(arrow):
        return "numeric"
    if types.is_string(arrow) or types.is_large_string(arrow) or types.is_string_view(arrow):
        return "categorical"
    return "empty" if types.is_null(arrow) else None


def fit_columns(
    table: pa.Table, train: Array, max_categories: int
) -> tuple[list[Column], list[str]]:
    """Learn the preprocessing from the rows ``train`` alone: numbers first, then categories.

    Returns:
        The columns that are kept, and a warning for each that is dropped or looks wrong.

    Raises:
        JobError: for a column of no known kind, infinite values, or a table without any use.
    """
    columns, warnings = [], []
    for name, kind in column_kinds(table).items():
        if kind == "categorical":
            column, warning = _fit_categories(name, coded(table[name]), train, max_categories)
        else:
            column, warning = _fit_numbers(name, kind, numbers(name, table[name])[train])
        columns += [column] if column else []
        warnings += [warning] if warning else []
    if not columns:
        raise JobError(f"no column is left to learn from: {'; '.join(warnings) or 'there is none'}")
    return sorted(columns, key=lambda column: column["kind"] == "categorical"), warnings


def encode(table: pa.Table, columns: Sequence[Column], parts: Sequence[Array]) -> list[Array]:
    """One float32 matrix of shape (rows, features) for each part, a part being row numbers.

    The features are the numbers, then 0/1 indicators of where they were missing, then codes.
    """
    places = _places(columns)
    matrices = [np.empty((len(part), len(places)), np.float32) for part in parts]
    for column in columns:
        for role, feature in _features(table[column["name"]], column).items():
            place = places[column["name"], role]
            for matrix, part in zip(matrices, parts, strict=True):
                matrix[:, place] = feature[part]
    return matrices


def raw_inputs(table: pa.Table, preprocessing: dict[str, Any]) -> dict[str, Array]:
    """The columns as the exported model takes them, each of shape (rows, 1).

    Numbers and booleans are float64 with NaN where missing; categories are strings, "" where
    missing. Other columns of the table, the target among them, are left alone.

    Raises:
        JobError: where a column is missing, of another kind than in training, or infinite.
    """
    return {
        column["name"]: _raw(table, column)[:, np.newaxis] for column in preprocessing["columns"]
    }


def string_columns(preprocessing: dict[str, Any]) -> list[str]:
    """The columns that a CSV file must give as strings, whatever they look like."""
    return [column["name"] for column in preprocessing["columns"] if "categories" in column]


def prediction_table(outputs: Array, preprocessing: dict[str, Any]) -> pa.Table:
    """What a model's outputs mean: a column ``prediction``, and the probabilities of classes.

    Args:
        outputs: shape (rows, 1), or (rows, classes).
        preprocessing: says what the target was.
    """
    target = preprocessing["target"]
    if target["task"] == "regression":
        return pa.table({"prediction": outputs[:, 0].astype(float)})
    if target["task"] == "binary":
        probability = outputs[:, 0].astype(float)
        predicted = _take(target["classes"], probability > 0.5)
        return pa.table({"prediction": predicted, "probability": probability})
    named = {
        f"probability_{value}": outputs[:, place].astype(float)
        for place, value in enumerate(target["classes"])
    }
    return pa.table({"prediction": _take(target["classes"], outputs.argmax(axis=1)), **named})


def numbers(name: str, column: pa.ChunkedArray, what: str = "column") -> Array:
    """The values as float64, NaN where missing.

    Raises:
        JobError: for values that are infinite, or that a 32-bit number cannot hold.
    """
    values: Array = without_dictionary(column).cast(pa.float64(), safe=False).to_numpy()
    if beyond := int((np.abs(values) > LARGEST).sum()):
        raise JobError(
            f"{what} {name!r} has {beyond:,} of {len(values):,} values that are infinite "
            f"or beyond {LARGEST:.1e}; replace them or drop their rows"
        )
    return values


def coded(column: pa.ChunkedArray) -> Coded:
    """The column's distinct values and which row has which; an empty string is missing."""
    encoded = without_dictionary(column).dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return Coded(np.empty(0, np.int32), [])
    values = encoded.chunk(0).dictionary.to_pylist()
    indices = pa.chunked_array([chunk.indices for chunk in encoded.chunks])
    codes = pc.fill_null(indices, -1).to_numpy().copy()
    for place, value in enumerate(values):
        if value is None or value == "":
            codes[codes == place] = -1
    return Coded(codes, values)


def without_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without Arrow's dictionary, whose unused and reordered entries mean nothing."""
    return column.cast(_value_type(column.type))


def fingerprint(table: pa.Table) -> str:
    """A hash of names, kinds and values: the same for a CSV and a Parquet file of one content."""
    parts: list[Any] = []
    for name, kind in column_kinds(table).items():
        parts += [name, kind]
        if kind == "categorical":
            column = coded(table[name])
            parts += [*column.values, column.codes]
        else:
            parts.append(numbers(name, table[name]))
    return digest(parts)


def _known_kind(field: pa.Field) -> Kind:
    if kind := kind_of(field.type):
        return kind
    advice = DATE_ADVICE if pa.types.is_temporal(_value_type(field.type)) else OTHER_ADVICE
    raise JobError(
        f"column {field.name!r} has the type {field.type}, {advice}, "
        f"or leave it out with ignore=({field.name!r},)"
    )


def _value_type(arrow: pa.DataType) -> pa.DataType:
    return arrow.value_type if pa.types.is_dictionary(arrow) else arrow


def _fit_numbers(name: str, kind: Kind, values: Array) -> tuple[Column | None, str | None]:
    known = values[~np.isnan(values)]
    if not len(known):
        return None, f"column {name!r} is dropped: it has no value in the training part"
    if len(known) == len(values) and known.min() == known.max():
        return None, f"column {name!r} is dropped: it is {known[0]:g} throughout the training part"
    mean, scale = standardisation(known)
    return {
        "name": name,
        "kind": kind,
        "mean": mean,
        "scale": scale,
        "fill": float(np.median(known)),
        "indicator": len(known) < len(values),
    }, None


def _fit_categories(
    name: str, column: Coded, train: Array, most: int
) -> tuple[Column | None, str | None]:
    codes = column.codes[train]
    found, counts = np.unique(codes[codes >= 0], return_counts=True)
    if not len(found):
        return None, f"column {name!r} is dropped: it has no value in the training part"
    values = [column.values[code] for code in found]
    if len(found) == 1 and counts[0] == len(codes):
        return None, f"column {name!r} is dropped: it is {values[0]!r} throughout the training part"
    # No string of numpy's or Keras' can end in a NUL, so such a value stays without a code.
    codable = [pair for pair in zip(-counts, values, strict=True) if not pair[1].endswith("\0")]
    often = sorted(codable)[:most]
    categories = sorted(value for _, value in often)
    return {"name": name, "kind": "categorical", "categories": categories}, _suspicion(name, counts)


def _suspicion(name: str, counts: Array) -> str | None:
    rows = int(counts.sum())
    if rows < IDENTIFIER_ROWS or len(counts) < IDENTIFIER_SHARE * rows:
        return None
    return (
        f"column {name!r} looks like an identifier: {len(counts):,} distinct values in {rows:,} "
        f"rows; leave it out with ignore=({name!r},)"
    )


def _places(columns: Sequence[Column]) -> dict[tuple[str, str], int]:
    """Where each feature lies in the matrix, by the column's name and its role there."""
    measured = [column for column in columns if "mean" in column]
    order = [(column["name"], "number") for column in measured]
    order += [(column["name"], "missing") for column in measured if column["indicator"]]
    order += [(column["name"], "code") for column in columns if "categories" in column]
    return {feature: place for place, feature in enumerate(order)}


def _features(values: pa.ChunkedArray, column: Column) -> dict[str, Array]:
    if "categories" in column:
        return {"code": _codes(coded(values), column["categories"])}
    number = numbers(column["name"], values)
    missing = np.isnan(number)
    filled = np.where(missing, column["fill"], number)
    with np.errstate(over="ignore"):
        encoded = ((filled - column["mean"]) / column["scale"]).astype(np.float32)
    if not np.isfinite(encoded).all():
        raise JobError(
            f"column {column['name']!r} has values too far from the training part's mean of "
            f"{column['mean']:g}, at a standard deviation of {column['scale']:g}; drop their rows"
        )
    return {"number": encoded} | ({"missing": missing} if column["indicator"] else {})


def _codes(column: Coded, categories: list[str]) -> Array:
    known = {value: place for place, value in enumerate(categories, start=1)}
    # One entry more than there are values: -1, a missing value, takes the last, which is 0.
    table = np.array([*(known.get(value, 0) for value in column.values), 0], np.float32)
    coded_rows: Array = table[column.codes]
    return coded_rows


def _raw(table: pa.Table, column: Column) -> Array:
    name, wanted = column["name"], column["kind"]
    find_column(name, table.column_names, "which the model was trained with")
    arrow = table.schema.field(name).type
    if kind_of(arrow) not in (wanted, "empty"):
        raise JobError(f"column {name!r} is {arrow}, but was {wanted} when the model was trained")
    if wanted != "categorical":
        return numbers(name, table[name])
    texts = pc.fill_null(without_dictionary(table[name]).cast(pa.large_string()), "")
    return np.array(texts.to_pylist(), dtype=object)


def _take(values: list[Any], places: Array) -> pa.Array:
    return pa.array(values).take(pa.array(places.astype(np.int64)))
